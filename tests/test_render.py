"""Everything that shows itself does so through tunix_rt.render; these objects carry just the attributes it reads."""

import ast
import re
import time
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from tunix_rt import render
from tunix_rt.errors import SourceInvalid
from tunix_rt.render.characters import folded, visible, width
from tunix_rt.render.segments import segments

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ID = UUID("019b76e9-1a2b-7c3d-8e4f-0123456789ab")

# One of each way out of a place in HTML, in TeX and in a terminal.
HOSTILE = (
    '"\'><img src=x onerror="alert(1)"><script>alert(2)</script></style></pre></code></details></table>'
    '<a href="javascript:alert(3)">x</a><svg/onload=alert(4)> ' + r"\(\href{javascript:alert(5)}{x}\) "
    r"$\style{position:fixed}{y}$ \[\unicode{x41}\class{trt}{z}\] \(</span><img src=x onerror=alert(6)>^2\) "
    "{{ 7 * 7 }} {% raw %} \x1b[2J\x1b]0;title\x07 \x9b31m \u202egnp.exe \ud800 \x00 ```"
)


def a_step(i=0, type="compute", content="1 + 1 = 2"):
    return SimpleNamespace(i=i, type=type, content=content)


def a_trace(prompt="How many?", steps=None, final_answer="2", meta=None, trace_version="1.0"):
    steps = [a_step()] if steps is None else steps
    return SimpleNamespace(
        trace_version=trace_version, prompt=prompt, steps=steps, final_answer=final_answer, meta=meta
    )


def a_score(value=None, label=None, reason=None, *, flag=False, answer=None, explanation=None, metadata=None):
    return SimpleNamespace(
        value=value, label=label, reason=reason, flag=flag, answer=answer, explanation=explanation, metadata=metadata
    )


def a_summary(n=0, *, preview="How many eggs?", answer="72", source="gsm8k", id=None, scores=None, facts=None):
    id = id or UUID(int=((0x019B76E91A2B + 60_000 * n) << 80) | (7 << 76) | (8 << 60) | n)  # noqa: A001
    return SimpleNamespace(
        id=id,
        created_at=AT,
        trace_version="1.0",
        preview=preview,
        answer=answer,
        n_steps=3,
        n_chars=1234,
        source=source,
        scores=scores or {},
        facts=facts or {},
    )


def a_page(records=(), *, next=None, offset=0, filters=None, scores=()):
    records = tuple(records)
    return SimpleNamespace(
        records=records,
        shown=records,
        next=next,
        limit=20,
        offset=offset,
        filters=filters or {},
        order="newest first",
        note=None,
        scores=scores,
    )


def a_rejected(file="a.jsonl", line=7, field="steps.3.content", reason="it is empty", text='{"prompt": 1}'):
    return SimpleNamespace(file=file, line=line, field=field, reason=reason, text=text)


def a_report(rejected=(), *, count=None, source="a.jsonl", format="trace", samples=()):
    return SimpleNamespace(
        source=source,
        format=format,
        added=12345,
        already_stored=3,
        rejected=tuple(rejected),
        rejected_count=len(rejected) if count is None else count,
        mappings=[],
        help={},
        passed_over=[],
        samples=samples,
        scores_added=0,
    )


def an_info(sources=(("gsm8k", 700), (None, 300)), path="traces.duckdb", *, compact_due=False):
    return SimpleNamespace(
        path=path,
        n_traces=1000,
        size_bytes=831 * 1024**2,
        oldest=AT,
        newest=AT,
        schema_version=3,
        sources=sources,
        compact_due=compact_due,
    )


def a_table(columns=("source", "n"), types=("VARCHAR", "BIGINT"), rows=(("gsm8k", 7473),), n_rows=None):
    return SimpleNamespace(columns=columns, types=types, rows=rows, n_rows=len(rows) if n_rows is None else n_rows)


def shown_with(text):
    """Every object with the text in every field that can hold it, and its two renderings."""
    trace = a_trace(text, [a_step(type=text[:64] or "step", content=text)], text, {text: text, "source": text}, text)
    trace.meta["nested"] = {text: [text]}
    facts = {"model": text, "reward": text, "training_step": text, "expected_answer": text, "correct": False}
    said = {text: a_score(label=text), "flag": a_score(1, flag=True), f"{text}f": a_score(1, flag=True)}
    said["answer"] = a_score(reason=text, answer=text, explanation=text, metadata={text: text, "expected": text})
    summary = a_summary(preview=text[:80], answer=text[:80], source=text, scores=said, facts=facts)
    page = a_page([summary], next=text, filters={"text": text}, scores=[text])
    empty = a_page(filters={text: text})
    report = a_report([a_rejected(*[text] * 1, reason=text, field=text, text=text[:200]), a_rejected()], source=text)
    report.format, report.samples = text, (trace,)
    report.mappings = [{text: text, "prompt": [text, text], "meta.model": {"value": text}}]
    report.help = {text: SourceInvalid(f"{text}\n{text}\n{text}", mappings=[{"prompt": text}])}
    info = an_info(((text, 2), (None, 1)), path=text)
    table = a_table((text, "n"), (text, "INTEGER"), [(text, 1), ([text], None), ({text: text}, 2)])
    yield render.trace_html(trace, id=ID, created_at=AT), render.trace_text(trace, id=ID, created_at=AT)
    record = SimpleNamespace(id=ID, created_at=AT, scores=said, payload=a_trace(text, meta=facts))
    yield render.record_html(record), render.record_text(record)
    yield render.page_html(page), render.page_text(page)
    yield render.page_html(empty), render.page_text(empty)
    yield render.report_html(report), render.report_text(report)
    yield render.info_html(info), render.info_text(info)
    yield render.table_html(table), render.table_text(table)


ELEMENTS = {
    *("div", "style", "article", "header", "section", "details", "summary", "small", "span", "time", "code", "pre"),
    *("table", "thead", "tbody", "tr", "th", "td", "b", "i", "bdi", "br", "wbr"),
}
ATTRIBUTES = {
    *("class", "dir", "title", "datetime", "open", "style", "scope"),
    *("aria-label", "aria-hidden", "data-lm-suppress-shortcuts"),
}
VOID = {"br", "hr", "wbr"}


class Reader(HTMLParser):
    """What a browser would find: elements, attributes, and the text that is seen."""

    elements = ELEMENTS
    attributes = ATTRIBUTES

    def __init__(self, markup):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.pieces: list[str] = []
        self.tex: list[str] = []
        self.classes: set[str] = set()
        self.feed(markup)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        assert tag in self.elements, tag
        attributes = dict(attrs)
        assert attributes.keys() <= self.attributes, attributes
        assert len(attributes) == len(attrs)
        if "style" in attributes:
            assert re.fullmatch(r"width:\d{1,3}%", attributes["style"])
        self.classes |= set((attributes.get("class") or "").split())
        if tag == "br":
            self.pieces.append("\n")
        if tag not in VOID:
            self.open.append("tex" if "mathjax_process" in (attributes.get("class") or "") else tag)

    def handle_endtag(self, tag):
        assert self.open.pop() in {tag, "tex"}

    def handle_data(self, data):
        if "style" not in self.open:
            self.pieces.append(data)
        if "tex" in self.open:
            self.tex.append(data)

    @property
    def text(self):
        return "".join(self.pieces)


def bare(text):
    return re.sub(r"\s+", "", text)


# -- any text is only text -------------------------------------------------------------------------------------------


def test_hostile_text_stays_text_wherever_it_stands():
    for markup, text in shown_with(HOSTILE):
        assert isinstance(markup, Markup)
        seen = Reader(markup)
        assert all(re.fullmatch(r"trt(-[a-z]+)*|(mathjax|tex2jax)_(ignore|process)", each) for each in seen.classes)
        markup.encode()
        text.encode()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", markup + text)
        # Markup that a reader sees as text, up to where a cell or a caption cuts it.
        assert "<img src=x onerror" in seen.text


@pytest.mark.slow
@given(
    st.text(alphabet=st.characters(codec=None), max_size=300)
    | st.text(alphabet="<>&'\"$\\()[]{}`~ \nax1^", max_size=300)
)
def test_no_text_makes_an_element_or_an_attribute(text):
    for markup, plain in shown_with(text or "x"):
        Reader(markup)
        (markup + plain).encode()


@given(st.text(max_size=400) | st.text(alphabet="$\\()[]`~ \n\r\tax1^_{}", max_size=400))
@example("\r\r\n")
def test_no_character_of_a_text_is_lost(text):
    source = visible(text)
    seen = Reader(render.trace_html(a_trace("p", [a_step(content=text)], "a"))).text
    # What is not a delimiter of code or mathematics, in order: these may go or be written in the other way.
    delimiters = str.maketrans("", "", "$\\()[]`~")
    assert bare(source).translate(delimiters) in bare(seen).translate(delimiters)


TOKENS = [
    "costs $5 ",
    "$",
    "$$",
    "x^2",
    "a",
    r"\(",
    r"\)",
    r"\[",
    r"\]",
    "```",
    "~~~",
    "`",
    "py",
    " ",
    "\n",
    "\n\n",
    "%",
]


@given(st.lists(st.sampled_from(TOKENS), max_size=40).map("".join), st.sampled_from([1, 40, 200]))
@example(r"\[x\]a", 1)
@example(r"\(x^2x\)a", 400)
def test_no_character_is_lost_around_code_and_formulas_and_cuts(text, times):
    source = text * times
    seen = Reader(render.trace_html(a_trace("p", [a_step(content=source)], "a"))).text
    seen = re.sub(r"… [\d,]+ more characters?\n", "", seen)
    delimiters = str.maketrans("", "", "$\\()[]`~")
    assert bare(source).translate(delimiters) in bare(seen).translate(delimiters)


def test_a_long_text_is_cut_in_two_and_complete():
    text = "".join(f"line {n} costs ${n}\n" for n in range(2000)).rstrip()
    markup = render.trace_html(a_trace(text))
    seen = Reader(markup).text
    first, said, rest = re.split(r"(… [\d,]+ more characters\n)", seen, maxsplit=1)
    n_rest = int(re.sub(r"\D", "", said))
    assert first.endswith(text[: len(text) - n_rest])
    assert rest.startswith(text[len(text) - n_rest :])
    assert text[len(text) - n_rest - 1] == "\n"
    assert 1000 < len(text) - n_rest <= 2000


def test_a_cut_leaves_code_code_and_a_formula_whole():
    code = "x = '$a^2$'\n" * 400
    fenced = render.trace_html(a_trace(f"```python\n{code}```\nend"))
    assert fenced.count("<pre") == 2
    assert fenced.count(">python<") == 1
    assert Reader(fenced).text.count("x = '$a^2$'") == 400
    formula = render.trace_html(a_trace("w " * 995 + r"\(" + "x+" * 100 + r"x\)" + " w" * 1000))
    assert Reader(formula).tex == [r"\(" + "x+" * 100 + r"x\)"]


# -- money and mathematics -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "She has $48/2 = $<<48/2=24>>24 left.",
        "$5x2=$10",
        "between $5 and $6",
        "costs $5 for item_a and $6 for item_b",
        "echo $HOME/my_dir:$PATH and ${A}_$B and ${x}$",
        r"\$5_000 and 6_000\$",
        r"a path C:\(new\folder",
        r"the line break \\[2pt] and \\(x\\)",
        "`$x^2$`",
        "```\n$x^2$\n```",
        "$a_1\n\nb_1$",
        "He pays $100_000 and then he owes the rest$",
    ],
)
def test_money_and_code_are_never_typeset(text):
    markup = render.trace_html(a_trace(text))
    assert 'class="trt mathjax_ignore tex2jax_ignore"' in markup
    assert Reader(markup).tex == []


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        (r"so \(x^2\), then", r"\(x^2\)"),
        ("so $x^2$, then", r"\(x^2\)"),
        ("the $n$th, $n = 3$", r"\(n\)"),
        ("so $$x^2$$ then", r"\[x^2\]"),
        ("so\n\\[\nx \\\\[2pt] y\n\\]\nthen", "\\[\nx \\\\[2pt] y\n\\]"),
        (r"\begin{align*}a&=b\end{align*}", r"\begin{align*}a&=b\end{align*}"),
        (r"$a < b_1$ & more", r"\(a < b_1\)"),
        (r"$\frac{1}{2} \text{ of the eggs}$", r"\(\frac{1}{2} \text{ of the eggs}\)"),
    ],
)
def test_mathematics_is_typeset(text, tex):
    assert Reader(render.trace_html(a_trace(text))).tex[0] == tex


@pytest.mark.parametrize(
    "tex",
    [
        r"x = \frac{-b \pm \sqrt[3]{b^2-4ac}}{2a} \implies \boxed{\text{(C) } 42}, \quad 50\%",
        r"f(x) = \begin{cases} x^2 & \text{if } x \ge 0, \\[4pt] -x & \text{otherwise.} \end{cases}",
        r"\left[\begin{array}{c|c} 1 & 2 \\ \hline 4 & 5 \end{array}\right] \begin{pmatrix} 1 \\ 0\end{pmatrix}",
        r"\begin{aligned} 7^{100} &\equiv 1 \pmod{10} \tag{1} \\ &= \left\lfloor \tfrac n2 \right\rfloor\end{aligned}",
        r"\int_0^{\pi}\!\sin x\,dx\hspace{1cm}\lim_{x\to\infty}\bigl(1+\tfrac1x\bigr)^x \approx e \left. \right|",
        r"\underbrace{1+\cdots+1}_{n\text{ times}} \in \mathbb{Z}, \; \operatorname*{argmax}_{\theta} \mathcal{L}",
        r"\cfrac{1}{1+\cfrac{1}{1+\cfrac{1}{1+\cfrac{1}{1+x}}}} \overset{\text{AM-GM}}{\le} {n \choose k}, 90^\circ",
        r"\sum_{\substack{d \mid n \\ d > 1}} \cancel{x} \xrightarrow[n\to\infty]{} \mathbf{v} \times \vec{w}",
    ],
)
def test_what_models_write_is_typeset(tex):
    assert Reader(render.trace_html(a_trace(rf"\[{tex}\]"))).tex == [rf"\[{tex}\]"]


@pytest.mark.parametrize(
    "tex",
    [
        *(r"\href{javascript:alert(1)}{x}", r"\url{x}", r"\style{color:red}{x}", r"\class{a}{x}", r"\cssId{a}{x}"),
        *(r"\require{html}x", r"\def\x{1}", r"\newcommand{\x}{1}", r"\renewcommand{\x}{1}", r"\let\x=y"),
        *(r"\htmlData{a=b}{x}", r"\mmlToken{mi}[href=a]{x}", r"\unicode{x41}", r"\rule{9em}{9em}"),
        *(r"\color{white}{x}", r"\phantom{x}", r"x % y", r"x \\% y", r"\unknown x", "x \\\n y"),
        # What paints over other text, or far away.
        *(r"\rlap x", r"\llap{x}", r"\crampedrlap{x}", r"\text{\rlap{x}}", r"\mathmakebox[0pt]{x}", r"\smash{x}"),
        *(r"\raise 9em x", r"\kern-9em x", r"\hspace{-9em}x", r"\hspace{9999em}x", r"\mspace{-9mu}x"),
        *(r"x \\[-90em] y", "x \\\\ \n[-9em] y", r"x \\*[-9em] y", r"\genfrac{}{}{9em}{}{1}{2}", r"\leftroot{-99}"),
        *(r"\!" * 240 + "x", r"1\!\!2", r"1\!{} \!2", r"1\!\text{}\!2", r"1\!\left.\negthinspace2\right.", r".\!" * 21),
        *(r"1\!\operatorname*{}\!2", "1\\!\u0301\\!2", r"\large" * 3 + " x", r"\hat" * 21 + "x"),
        *(r"\qquad" * 9 + "x", "~" * 9 + "x", r"\hspace{1em}" * 9 + "x", "{" * 21 + "x" + "}" * 21),
        *(r"\shoveleft[-90em]{x}", r"\MoveEqLeft[90] x", r"\tag{" + "x" * 21 + "}", r"\begin {array}{c}1\end{array}"),
        *(r"\begin{array}{c@{x}c}1\end{array}", r"\begin{array}{p{99em}}1\end{array}"),
        *(r"\begin{multlined}[c][-9em]1\end{multlined}", r"\begin{matrix}" * 21 + r"\end{matrix}" * 21),
    ],
)
@pytest.mark.parametrize("form", [r"\({}\)", "${}^2$", r"\[{}\]", "$${}$$", r"\begin{{align}}{}\end{{align}}"])
def test_tex_that_acts_or_hides_is_shown_as_source(tex, form):
    text = form.format(tex)
    seen = Reader(render.trace_html(a_trace(text)))
    assert seen.tex == []
    assert text in seen.text


def test_only_so_many_formulas_are_typeset_and_the_rest_is_readable():
    seen = Reader(render.trace_html(a_trace("$x^2$ " * 400, [a_step(content="$y^2$ " * 400)], "$z^2$")))
    assert len(seen.tex) == 500
    assert r"\(z^2\)" in seen.tex
    assert "$y^2$" in seen.text


@given(st.text(alphabet="$\\()[]`~ \nax1^_{}", max_size=200))
def test_the_sources_of_the_segments_are_the_text(text):
    assert "".join(segment.source for segment in segments(text, most=500)) == text


@pytest.mark.parametrize(
    "unit", ["$", "$x_ ", r"\(", r"\[a", "```\n", "`a", r"\begin{align}", r"\begin{align}a\begin{gather}"]
)
def test_a_megabyte_of_delimiters_takes_no_longer_than_its_length(unit):
    def seconds(n_chars):
        text = unit * (n_chars // len(unit))
        start = time.perf_counter()
        segments(text, most=500)
        return time.perf_counter() - start

    # Ten times the text takes a hundred times as long when the time is quadratic.
    assert min(seconds(1_000_000) for _ in range(3)) < 50 * max(seconds(100_000), 0.005)


# -- a trace ---------------------------------------------------------------------------------------------------------


def test_a_trace_shows_its_parts_in_order():
    steps = [a_step(0, "parse", "16 eggs"), a_step(7, "tool_call", "16 - 7\n= 9")]
    trace = a_trace("How many\neggs?", steps, "9", {"source": "gsm8k", "scores": {"exact": 1.0}})
    text = render.trace_text(trace, id=ID, created_at=AT)
    assert text.split("\n") == [
        f"Trace {ID}",
        "2026-01-02 03:04:05 UTC · gsm8k · 2 steps · 32 characters · format 1.0",
        "",
        "Prompt",
        "  How many",
        "  eggs?",
        "",
        "Steps",
        "  [0] parse",
        "      16 eggs",
        "",
        "  [7] tool_call",
        "      16 - 7",
        "      = 9",
        "",
        "Answer",
        "  9",
        "",
        "Meta",
        "  source: gsm8k",
        '  scores: {"exact": 1.0}',
    ]
    markup = render.trace_html(trace, id=ID, created_at=AT)
    parts = [
        "019b76e9…",
        "2 steps",
        "Prompt",
        "eggs?",
        "parse",
        "16 eggs",
        "tool_call",
        "= 9",
        "Answer",
        str(ID),
        '"exact": 1.0',
    ]
    places = [Reader(markup).text.index(part) for part in parts]
    assert places == sorted(places)
    assert 'datetime="2026-01-02T03:04:05.678901+00:00"' in markup
    assert "trt-is-parse" in markup
    assert "trt-is-other" in markup


def test_a_trace_cut_short_says_so():
    trace = a_trace(steps=[], final_answer=None, trace_version="1.1")
    for shown in render.trace_text(trace), Reader(render.trace_html(trace)).text:
        assert "no final answer (truncated)" in shown
        assert "no steps" in shown


def test_only_the_first_steps_of_a_long_trace_are_open():
    markup = render.trace_html(a_trace(steps=[a_step(n, content="word " * 200) for n in range(30)]))
    assert re.findall(r'trt-is-compute"( open)?>', markup) == [" open"] * 6 + [""] * 24
    assert 'class="trt-peek">word word' in markup


def test_a_thousand_steps_stand_in_folds_and_none_is_lost():
    trace = a_trace(steps=[a_step(n, content=f"step number {n}.") for n in range(1000)])
    seen = Reader(render.trace_html(trace)).text
    assert "steps 40 to 89 · 50 steps" in seen
    assert all(f"step number {n}." in seen for n in range(1000))
    text = render.trace_text(trace)
    assert "… 900 more steps in trace.steps" in text


def test_a_trace_reads_without_its_style():
    markup = re.sub(r"<style>.*?</style>", "", render.trace_html(a_trace("a\nb", [a_step(3, "verify", "ok")])))
    assert "a<br>b" in markup
    assert re.search(r"3\s+✓ verify", Reader(markup).text)


def test_code_keeps_its_spaces_and_names_its_language():
    markup = render.trace_html(a_trace("run:\n```python\nif x:\n    y = '<b>'\n```\nthen"))
    assert "<code>if x:\n    y = &#39;&lt;b&gt;&#39;</code>" in markup
    assert ">python<" in markup


# -- pages, reports, stores, tables ----------------------------------------------------------------------------------


def test_a_page_lists_its_traces_and_says_how_to_go_on():
    page = a_page([a_summary(n) for n in range(5)], next="cursor", filters={"text": "eggs", "since": AT})
    for shown in render.page_text(page), Reader(render.page_html(page)).text:
        assert "5 traces, newest first · filters: text=eggs, since=2026-01-02 03:04:05" in shown
        assert "1,234" in shown
        assert "more: page.next_page()" in shown
        assert "019b76e9-1a2b" in shown


def test_a_page_shows_the_answers_beside_the_prompts():
    page = a_page([a_summary(answer="72"), a_summary(1, answer=None), a_summary(2, answer="because " * 9 + "…")])
    assert re.findall(r"eggs\? +(\S.*?) +3 ", render.page_text(page)) == ["72", "–", "because because beca…"]
    shown = render.page_html(page)
    assert ">72<" in shown
    # What is cut stands whole in the title.
    assert f'title="{"because " * 9}…">because because because because because…<' in shown


def test_a_terminal_shows_no_answers_where_they_would_squeeze_the_prompts():
    prompt = "How many eggs does the farmer's wife sell at the market?"
    for source, header in (("gsm8k", "prompt +answer +steps"), ("rollouts/run-17", "prompt +steps")):
        page = a_page([a_summary(preview=prompt, answer="because " * 9, source=source)])
        lines = render.page_text(page).splitlines()
        assert re.search(header, lines[2])
        assert "  How many eggs does the" in lines[4]


def test_ids_on_a_page_are_long_enough_to_tell_its_traces_apart():
    ids = [UUID(f"019b76e9-1a2b-7c3d-8e4f-01234567{n:04x}") for n in (0x1000, 0x1001, 0x2000)]
    page = a_page([a_summary(id=each) for each in ids])
    shown = re.findall(r"<code[^>]*>([0-9a-f-]+)</code>", render.page_html(page))
    assert shown == [str(each) for each in ids]
    alone = re.findall("019b76e9[0-9a-f-]*", render.page_text(a_page([a_summary()])))
    assert [len(each) for each in alone] == [18]


@pytest.mark.parametrize(
    ("filters", "hint"),
    [({}, "store.add(...) or store.load(...)"), ({"text": "eggs"}, "no trace matches text=eggs")],
)
def test_an_empty_page_says_what_to_do(filters, hint):
    page = a_page(filters=filters)
    assert hint in render.page_text(page)
    assert hint in Reader(render.page_html(page)).text


def test_a_report_says_what_was_added_and_why_a_row_was_not():
    report = a_report([a_rejected(), a_rejected(line=None, field=None, reason="not JSON")])
    for shown in render.report_text(report), Reader(render.report_html(report)).text:
        assert "12,345 added · 3 already stored · 2 rejected" in shown
        assert "steps.3.content" in shown
        assert "not JSON" in shown
        assert "report.rejected" not in shown


def test_a_report_shows_samples_to_check_what_was_guessed():
    samples = (a_trace("How many\nclips?", final_answer="1,024"), a_trace("<b>no answer</b>", [], None))
    report = a_report(format="gsm8k", samples=samples)
    for shown in render.report_text(report), Reader(render.report_html(report)).text:
        for part in "How many clips?", "1,024", "<b>no answer</b>", "–":
            assert part in shown
    for shown in render.report_text(report), str(render.report_html(report)):
        assert "check by eye" in shown
    own = a_report(format="trace", samples=samples)
    assert "How many" not in render.report_text(own) + render.report_html(own)


def test_a_report_shows_twenty_rejected_rows_and_where_the_rest_is():
    report = a_report([a_rejected(file=f"part-{n % 2}.jsonl", line=n) for n in range(1000)], count=1234)
    markup = render.report_html(report)
    assert markup.count("<tr>") == 21
    for shown in render.report_text(report), Reader(markup).text:
        assert "1,214 more in report.rejected, which keeps the first 1,000" in shown
        assert "part-1.jsonl" in shown


def test_a_store_shows_its_size_and_sources():
    info = an_info([("gsm8k", 500), (None, 100), *((f"run-{n}", 1) for n in range(20))])
    for shown in render.info_text(info), Reader(render.info_html(info)).text:
        for part in "traces.duckdb", "1,000", "831 MiB", "2026-01-02 03:04:05 UTC", "gsm8k", "no source", "and 12 more":
            assert part in shown


def test_a_sql_result_shows_its_values_as_they_are():
    rows = [("a", 7473, 0.1 + 0.2, None), ("x" * 500, 2026, 1e-9, Decimal("1.50"))]
    table = a_table(("s", "n", "f", "d"), ("VARCHAR", "BIGINT", "DOUBLE", "DECIMAL(5,2)"), rows, n_rows=1234)
    markup = render.table_html(table)
    assert 'title="DECIMAL(5,2)"' in markup
    assert 'title="' + "x" * 500 in markup
    for shown in render.table_text(table), Reader(markup).text:
        for part in "7473", "2026", "0.3", "1e-09", "NULL", "1.50", "showing 2 of 1,234 rows":
            assert part in shown
    assert "column" in render.table_text(a_table(["c"] * 40, ["INTEGER"] * 40, [[1] * 40])).split(" · ")[-1]


# -- text for a terminal ---------------------------------------------------------------------------------------------


def test_tables_in_text_fit_a_terminal_of_100_columns():
    wide = "日本語の長いテキスト" * 20
    page = a_page([a_summary(n, preview=wide[:80], source=wide) for n in range(3)], next="c")
    report = a_report(
        [a_rejected(file=f"rollouts/{n}/" + "x" * 60, reason="because " * 20, text="y" * 200) for n in range(3)]
    )
    table = a_table(["column"] * 12, ["VARCHAR"] * 12, [["a long value indeed"] * 12])
    for text in render.page_text(page), render.report_text(report), render.table_text(table):
        assert max(width(line) for line in text.split("\n")) <= 100
        assert all(line == line.rstrip() for line in text.split("\n"))


def test_what_hides_in_a_word_is_shown_and_what_a_language_needs_stays():
    hidden = "pass\u200bword \u200dx a\u200c\u200cb \u2060y \ufeffz \u3164 \U000e0041\U000e0042"
    assert not set(visible(hidden)) & set("\u200b\u200c\u200d\u2060\ufeff\u3164\U000e0041\U000e0042")
    for text in (
        "שלום עולם 123 (abc)",
        "مرحبا \u200f!",
        "می\u200cخواهم",
        "क्\u200dष",
        "👩\u200d💻",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ):
        assert visible(text) == text


@pytest.mark.parametrize("unit", ["\u0301", "\u202e", "\u200d", "\U000e0041", "\U0001f3f4\U000e0041", "\x1b[2J"])
def test_a_text_of_nothing_but_what_acts_or_has_no_width_is_shown(unit):
    trace = a_trace("x" + unit * (2**17 // len(unit)), [a_step(type=("v" + unit * 64)[:64])], unit, {unit: unit})
    html, text = render.trace_html(trace), render.trace_text(trace, columns=80)
    assert not set(html + text) & set("\u202e\U000e0041\x1b")
    assert len(text) < 2**16


def test_a_terminal_gets_no_escape_sequence():
    assert visible("\x1b[31m\r\n\x7f\x85\u2028\ud800") == "␛[31m\n␡‹U+0085›‹U+2028›‹U+D800›"


# -- the room --------------------------------------------------------------------------------------------------------


def test_a_store_says_when_it_should_be_compacted():
    for due in (False, True):
        info = an_info(compact_due=due)
        for shown in render.info_text(info), Reader(render.info_html(info)).text:
            assert ("store.compact() makes pages fast again" in shown) is due


def test_the_style_is_small_and_stays_inside():
    style = re.search(r"<style>(.*?)</style>", render.info_html(an_info()))[1]
    assert len(style) < 8 * 1024
    assert "url(" not in style
    assert "@import" not in style
    selectors = (
        re.sub(r"@container[^{]*|:is\([^)]*\)", "", re.sub(r"\{[^{}]*\}", ",", style))
        .replace("{", ",")
        .replace("}", ",")
    )
    assert all(each.strip().startswith(".trt.trt.trt") for each in selectors.split(",") if each.strip())


def test_the_room_imports_no_other_room():
    folder = Path(render.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tunix_rt"):
                assert node.module.startswith("tunix_rt.render"), f"{file.name} imports {node.module}"


def test_showing_the_same_twice_gives_the_same():
    page = a_page([a_summary(n) for n in range(20)])
    assert render.page_html(page) == render.page_html(page)
    assert render.page_text(page) == render.page_text(page)


@given(st.text(st.sampled_from("ab  é日ü\u0301"), max_size=200), st.integers(2, 30))
def test_a_folded_line_fits_and_loses_nothing_but_spaces(line, columns):
    lines = folded(line, columns)
    assert all(width(part) <= columns for part in lines)
    assert "".join(lines).replace(" ", "") == line.replace(" ", "")
    assert folded(line, 1_000) == [line]


def test_texts_take_the_width_that_they_are_given():
    page = a_page([a_summary(preview="many words " * 8, answer="an answer")])
    for columns in (60, 80, 160):
        assert max(map(len, render.page_text(page, columns=columns).splitlines())) <= columns
    assert "chars" not in render.page_text(page, columns=60)
    step = SimpleNamespace(i=0, type="step", content="s" * 5_000)
    trace = SimpleNamespace(trace_version="1.1", prompt="word " * 100, steps=[step], final_answer="a", meta=None)
    assert max(map(len, render.trace_text(trace, columns=70, whole=True).splitlines())) == 70
    assert "more characters" in render.trace_text(trace)
    assert "more characters" not in render.trace_text(trace, whole=True)
