"""Texts of a trace as Markdown: what is Markdown is laid out, and everything else stays text that can be read."""

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.test_render import ATTRIBUTES, ELEMENTS, HOSTILE, a_step, a_trace, bare
from tests.test_render import Reader as AnyReader
from tunix_rt import render
from tunix_rt.render.characters import visible
from tunix_rt.render.markdown import markdown
from tunix_rt.render.segments import segments


class Reader(AnyReader):
    """What a browser would find, with the addresses of links."""

    elements = ELEMENTS | {"p", "a", "em", "strong", "s", "ul", "ol", "li", "blockquote", "hr"}
    attributes = ATTRIBUTES | {"href", "target", "rel", "role", "aria-level", "start"}

    def __init__(self, markup):
        self.links: list[str] = []
        self.titles: list[str] = []
        super().__init__(markup)

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        attributes = dict(attrs)
        if tag == "a":
            assert re.match("https?://|mailto:", attributes["href"], re.IGNORECASE)
            assert attributes["title"].split("\n")[0] == attributes["href"]
            assert (attributes["target"], attributes["rel"]) == ("_blank", "noopener noreferrer nofollow")
            self.links.append(attributes["href"])
            self.titles.append(attributes["title"])
        else:
            assert not attributes.keys() & {"href", "target", "rel"}
        if "role" in attributes:
            assert (tag, attributes["role"]) == ("div", "heading")
        if "class" in attributes:
            assert re.fullmatch(
                r"(?:(?:trt(?:-[a-z]+\d?)*|(?:mathjax|tex2jax)_(?:ignore|process)) ?)+", attributes["class"]
            )


def rendered(text):
    return markdown(segments(text, most=len(text)), most=500)


def shown(text, **meta):
    return render.trace_html(a_trace("p", [a_step(content=text)], "a", meta or None), text="markdown")


# -- what is Markdown ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("*a* **b** ~~c~~ `d`", '<p dir="auto"><em>a</em> <strong>b</strong> <s>c</s> <code>d</code></p>'),
        ("a\nb", '<p dir="auto">a<br>b</p>'),
        ("- a\n- b", '<ul dir="auto"><li>a</li><li>b</li></ul>'),
        ("3. a\n4. b", '<ol dir="auto" start="3"><li>a</li><li>b</li></ol>'),
        ("> a", '<blockquote dir="auto"><p dir="auto">a</p></blockquote>'),
        ("a\n\n---", '<p dir="auto">a</p><hr>'),
        ("    a <b>", '<div class="trt-code"><pre dir="ltr"><code>a &lt;b&gt;</code></pre></div>'),
    ],
)
def test_markdown_is_laid_out(text, markup):
    assert rendered(text) == markup


def test_headings_are_no_chapters_of_the_notebook():
    markup = rendered("# a\n\nb\n-\n\n###### c")
    assert re.findall(r'role="heading" aria-level="(\d)"', markup) == ["1", "2", "6"]
    assert not re.search(r"<h\d", markup)


def test_a_table_keeps_the_cells_that_are_too_many():
    seen = Reader(rendered("| a | b |\n|:--|--:|\n| 1 | 2 |\n| 3 | 4 | 5 \\| 6 | 7 |\n| 8 |"))
    assert "4 | 5 | 6 | 7" in " ".join(seen.text.split())
    assert "8" in seen.text
    assert {"trt-left", "trt-right"} <= seen.classes


def test_code_names_its_language_and_stays_code():
    markup = rendered("1. so\n\n   ```python\n   x = '$a^2$' <b>\n   ```\n\nand `$b^2$` and ``$c^2$``")
    assert ">python<" in markup
    assert "<code>x = &#39;$a^2$&#39; &lt;b&gt;</code>" in markup
    assert "<code>$b^2$</code>" in markup
    assert "<code>$c^2$</code>" in markup
    assert Reader(markup).tex == []


# -- mathematics -----------------------------------------------------------------------------------------------------


def test_mathematics_is_typeset_wherever_text_stands():
    text = "# $a_1$\n\n- **$b_1 * c_1 * d$**\n\n| $|e_1|$ |\n|---|\n| \\(f|g\\) |\n\n[x $h_1$](http://i.j)"
    seen = Reader(rendered(text))
    assert seen.tex == [r"\(a_1\)", r"\(b_1 * c_1 * d\)", r"\(|e_1|\)", r"\(f|g\)", r"\(h_1\)"]
    assert seen.links == ["http://i.j"]


def test_a_formula_in_lines_of_its_own_is_no_part_of_the_markdown_around_it():
    markup = rendered("so\n\\[\nx\n-\n+ y\n= z\n\\]\nthen")
    assert Reader(markup).tex == ["\\[\nx\n-\n+ y\n= z\n\\]"]
    assert markup.startswith('<div class="trt-p" dir="auto">so<br><div class="trt-tex mathjax_process')
    assert markup.endswith("</div>then</div>")


@pytest.mark.parametrize("text", ["$5x2=$10", "costs $5 for item_a and $6 for item_b", r"\(\href{http://a.b}{x}\)"])
def test_prices_and_unsafe_tex_are_never_typeset(text):
    assert Reader(rendered(text)).tex == []


@pytest.mark.parametrize("formula", [r"\(\rlap{a_b}\!\!*c*\)", r"\[x \\[-9em] *y* \]", r"$\phantom{*x*} \_ z_1$"])
def test_a_formula_that_is_not_typeset_shows_its_source_to_the_letter(formula):
    assert Reader(rendered(f"**So** {formula}, *yes*")).text == f"So {formula}, yes"


def test_only_so_many_formulas_are_typeset_and_the_rest_shows_its_source():
    trace = a_trace("$x_1$ " * 400, [a_step(content=r"\(y_1*z*\) " * 400)], "$z^2$")
    seen = Reader(render.trace_html(trace, text="markdown"))
    assert len(seen.tex) == 500
    assert r"\(z^2\)" in seen.tex
    assert seen.text.count(r"\(y_1*z*\)") >= 300


# -- links and images ------------------------------------------------------------------------------------------------


def test_a_link_says_where_it_goes():
    seen = Reader(
        rendered('[a](http://b.c/d "e") <https://f.g> <h@i.j> [k][l]\n\n[l]: HTTPS://m.n "o"\n[unused]: http://q.r')
    )
    assert seen.links == ["http://b.c/d", "https://f.g", "mailto:h@i.j", "HTTPS://m.n", "HTTPS://m.n", "http://q.r"]
    assert seen.titles[0] == "http://b.c/d\ne"
    assert "[unused]: http://q.r" in seen.text


def test_a_name_of_a_server_is_told_in_the_letters_that_it_is_looked_up_with():
    seen = Reader(rendered("[a](http://аpple.com)"))
    assert seen.titles == ["http://xn--pple-43d.com"]


@pytest.mark.parametrize(
    "address",
    [
        *("javascript:alert(1)", "JaVaScRiPt:alert(1)", "&#106;avascript:alert(1)", "java&#10;script:alert(1)"),
        *(
            "java\tscript:alert(1)",
            "\x01javascript:alert(1)",
            "&#x6A;avascript&colon;alert(1)",
            r"javascript\:alert(1)",
        ),
        *("data:text/html,<b>", "data:image/png;base64,AAAA", "vbscript:x", "file:///etc/passwd", "blob:x", "x-y:z"),
        *(
            "//a.b",
            "/lab/tree",
            "tree",
            "?a=b",
            "#a",
            "https:tree",
            "http:/tree",
            "http:///a",
            "%6Aavascript:a",
            "",
            "<>",
        ),
    ],
)
@pytest.mark.parametrize("form", ["[x]({})", "[x](<{}>)", "<{}>", "[x][y]\n\n[y]: {}", "[y]\n\n[y]: <{}>", "![x]({})"])
def test_a_link_to_anything_but_the_web_and_mail_is_text(form, address):
    seen = Reader(rendered(visible(form.format(address))))
    assert seen.links == []
    if "&" not in address and "\\" not in address:
        assert bare(visible(form.format(address))) in bare(seen.text)


@pytest.mark.parametrize("image", ["![x](http://a.b/c.png)", '![x *y*](<http://a.b> "t")', "![x][r]", "![r]", "![r][]"])
def test_an_image_is_its_source(image):
    seen = Reader(rendered(f"{image}\n\n[r]: http://a.b"))
    assert image in seen.text


def test_an_image_in_a_link_is_its_source_too():
    seen = Reader(rendered("[![x](http://a.b)](http://c.d)"))
    assert (seen.text, seen.links) == ("![x](http://a.b)", ["http://c.d"])


# -- any text is only text -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        "<script>alert(1)</script>\n\n<style>*{display:none}</style>\n\n<!-- x -->\n\n<?php ?>\n\n<![CDATA[x]]>",
        "<svg/onload=alert(1)> <img src=x onerror=alert(1)> <a href='javascript:x'>y</a> <b\nonclick=x>",
        "```<b>\"onload='x'\n</code></pre><script>\n```",
        "| <b> | `<i>` |\n|---|---|\n| <script> | </td></table> |",
        '[a](http://b.c/"onclick="x) [a](<http://b.c/"><script>>) [a](http://b.c "\\"><script>")',
        "# </div><h1>x</h1>\n\n> </blockquote>",
        "\x02" + "0\x02 $x^2$ &#2;0&#2; &#x2;0&#x2; \ue0000\ue000",
        "`\x020\x02` [\x020\x02](http://a.b)",
        "[a](http://x.y/$z^2$) <http://x.y/$z^2$> ~~~ $z^2$\n\n- ~~~ $z^2$",
    ],
)
def test_hostile_text_stays_text(text):
    seen = Reader(shown(text))
    for tag in re.findall(r"<\w+(?=[ >/])", text):
        assert tag in seen.text + "".join(seen.titles)
    assert "\x02" not in seen.text


def test_what_an_entity_spells_is_as_visible_as_what_is_typed():
    seen = Reader(rendered("&#x202E;gpj &#27;[2J &lt;b&gt; &#13; `&amp;`"))
    assert seen.text == "‹U+202E›gpj \N{REPLACEMENT CHARACTER}[2J <b> ␍ &amp;"


MARKUP = [
    *(
        "*",
        "**",
        "_",
        "~~",
        "`",
        "``",
        "```",
        "~~~",
        "#",
        "> ",
        ">",
        "- ",
        "-",
        "1. ",
        "|",
        "|-|",
        "---",
        "=",
        "\\",
        "!",
        "[",
    ),
    *(
        "]",
        "](",
        "(",
        ")",
        "]:",
        "<",
        ">",
        "&amp;",
        "&",
        "&#106;",
        "javascript:",
        "http://",
        "https:",
        "mailto:",
        "data:",
    ),
    *(
        "$",
        "$$",
        r"\(",
        r"\)",
        r"\[",
        r"\]",
        "x^2",
        "<b>",
        "</div>",
        "<script>",
        "<!--",
        '"',
        "'",
        " ",
        "  ",
        "    ",
        "\t",
    ),
    *("\n", "\n\n", "\x02", "\r", "\u202e", "a|b\n-|-\n", "\n- ", "\n> ", "\n  ", "[a]: http://b.c/", "\n\n[a]: "),
]


@given(st.lists(st.sampled_from(MARKUP) | st.just("word"), max_size=40))
@example(["a|b\n-|-\n", "word", "|", "word", "|", "word"])
@example([*["> "] * 30, "word", "\n", *["- "] * 30, "word"])
def test_no_word_is_lost_and_no_element_is_made(pieces):
    numbers = itertools.count()
    text = "".join(f"word{next(numbers)}q" if piece == "word" else piece for piece in pieces)
    seen = Reader(shown(text))
    found = set(re.findall(r"word\d+q", seen.text + " ".join(seen.titles)))
    assert found == {f"word{n}q" for n in range(next(numbers))}


@given(st.text(alphabet=st.characters(codec=None), max_size=300))
def test_no_text_breaks_it(text):
    Reader(shown(text or "x", note=text)).text.encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        *(
            "[",
            "![",
            "[](",
            "[a](",
            "<",
            "&",
            "*",
            "**a",
            "*a_",
            "~~",
            "`",
            "`a``",
            "``` ",
            "> ",
            ">",
            "- ",
            "-\n",
            "* * ",
        ),
        *(
            "1. ",
            "#",
            "|",
            "|a",
            "a|b\n-|-\n",
            "\\",
            "[a]: http://b\n",
            "[a\n",
            "![[",
            "[![",
            " $x$ ",
            "a\n",
            "> a\n",
            "  - ",
        ),
    ],
)
def test_a_text_of_nothing_but_signs_is_shown(unit):
    # At the most that is rendered as Markdown: what takes quadratic time here would hold up the whole suite.
    assert rendered(unit * (30_000 // len(unit)))


# -- long texts ------------------------------------------------------------------------------------------------------


def test_a_long_text_is_cut_between_blocks_and_complete():
    text = "".join(f"## Part {n}\n\nIt has **{n}**.\n\n" for n in range(400))
    markup = shown(text)
    head, rest = re.split(r"… [\d,]+ more characters", markup)
    assert head.count('role="heading"') + rest.count('role="heading"') == 400
    assert rest.count("##") == 0
    assert re.search(r"<strong>\d+</strong>\.</p></div>\s*<details", head)


def test_code_that_is_cut_is_code_on_both_sides():
    markup = shown("```python\n" + "x = '**a**'\n" * 400 + "```\n**end**")
    assert markup.count(">python<") == 2
    assert Reader(markup).text.count("x = '**a**'") == 400
    assert "<strong>end</strong>" in markup


@pytest.mark.slow
def test_what_is_too_much_shows_as_it_stands_and_that_is_said_once():
    steps = [a_step(n, content=f"**{n}** and so on. " * 100) for n in range(200)]
    markup = render.trace_html(a_trace("p", steps, "**last**"), text="markdown")
    assert "<strong>last</strong>" in markup
    seen = Reader(markup).text
    (said,) = re.findall(r"too long for Markdown: ([\d,]+) characters", seen)
    plain = "".join(re.findall(r'<div class="trt-prose" dir="auto">(.*?)</div>', markup))
    assert int(said.replace(",", "")) == len(plain)
    assert markup.count("<strong>") - 1 + plain.count("**") // 2 == 200 * 100
    assert "<strong>199</strong>" not in markup
    assert "too long" not in Reader(shown("**short**")).text


# -- around it -------------------------------------------------------------------------------------------------------


def test_meta_is_never_markdown():
    seen = Reader(shown("x", note="**a** $x^2$", scores={"**b**": 1}))
    assert "**a**" in seen.text
    assert "**b**" in seen.text
    assert seen.tex == [r"\(x^2\)"]


def test_the_rules_for_markdown_go_only_where_there_is_some():
    assert "blockquote" in shown("x")
    assert "blockquote" in render.style()
    assert "blockquote" not in render.trace_html(a_trace())
    assert "url(" not in render.style()
    assert len(render.style()) < 10 * 1024
    selectors = re.sub(r"@container[^{]*|:is\([^)]*\)", "", re.sub(r"\{[^{}]*\}", ",", render.style()))
    selectors = selectors.replace("{", ",").replace("}", ",").split(",")
    assert all(each.strip().startswith(".trt.trt.trt") for each in selectors if each.strip())
