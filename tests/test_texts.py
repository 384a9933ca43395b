"""The ways to show the texts of a trace; tests/test_render.py holds the one that is the default."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from tests.test_markdown import Reader
from tests.test_render import HOSTILE, a_step, a_trace
from tunix_rt import render
from tunix_rt.render.characters import visible


def the_step(markup):
    """What the only step of a trace shows, with its elements."""
    return re.search(r"</summary>\s*(.*?)</details>\s*</section>", markup, re.DOTALL)[1]


def test_plain_shows_a_text_as_it_stands():
    text = "\n\n  1 < 2, **so**\t$x^2$\n```py\n'<b>'\n```"
    markup = the_step(render.trace_html(a_trace(steps=[a_step(content=f"{text}\n \n\n")]), text="plain"))
    assert markup.count("<div") == 1
    assert Reader(markup).text == text
    assert "tex" not in markup
    assert "<code" not in markup


@given(
    st.text(alphabet=st.characters(codec=None)) | st.text(alphabet="$\\()[]`~ \n\r\tax1^_{}<&*#"), st.integers(1, 500)
)
def test_plain_loses_no_character_but_blank_lines_at_the_end(text, times):
    markup = the_step(render.trace_html(a_trace(steps=[a_step(content=text * times)]), text="plain"))
    pieces = re.findall(r'<div class="trt-prose" dir="auto">.*?</div>', markup, re.DOTALL)
    assert "".join(Reader(piece).text for piece in pieces) == (visible(text * times).rstrip() or visible(text * times))
    assert len(pieces) <= 2


def test_plain_is_the_same_for_meta_and_keeps_json_readable():
    markup = render.trace_html(a_trace(meta={"note": "$x^2$ `y`", "scores": {"a": 1}}), text="plain")
    assert "$x^2$ `y`" in Reader(markup).text
    assert re.search(r"<code>\{\n  &#34;a&#34;: 1\n\}</code>", markup)


@pytest.mark.parametrize("text", ["typeset", "plain", "markdown"])
def test_hostile_text_stays_text_in_each_way(text):
    trace = a_trace(HOSTILE, [a_step(type=HOSTILE[:64], content=HOSTILE)], HOSTILE, {HOSTILE: HOSTILE, "x": [HOSTILE]})
    seen = Reader(render.trace_html(trace, text=text))
    assert "<img src=x onerror" in seen.text


def test_the_style_can_stand_once_in_a_page():
    trace = a_trace()
    styled, bare = render.trace_html(trace), render.trace_html(trace, styled=False)
    assert isinstance(bare, Markup)
    assert "<style" not in bare
    assert re.sub(r"<style>.*?</style>\n", "", styled) == bare
    assert re.search(r"<style>(.*?)</style>", styled)[1] in render.style()


def test_another_way_is_refused_and_the_ways_are_named():
    with pytest.raises(
        ValueError, match="text=html is not a way to show a text; choose one of typeset, plain, markdown"
    ):
        render.trace_html(a_trace(), text="html")
