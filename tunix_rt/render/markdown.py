"""Markdown as HTML: CommonMark, tables, strikethrough and mathematics; nothing is fetched, no text acts or is lost.

What is no Markdown that is shown here stays text: raw HTML, images, links to anything but the web and mail. All HTML is
made of the constants below; every text is joined to them by `Markup`, which escapes it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block import table as table_rule
from markdown_it.rules_block.table import escapedSplit
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline import image as image_rule
from markdown_it.token import Token
from markupsafe import Markup

from tunix_rt.render.characters import visible
from tunix_rt.render.segments import Kind, Segment

# A formula goes through the parser as its number between two of these. No text has one: visible() shows control
# characters as symbols, and the parser makes none of an entity.
_MARK = "\x02"
_MARKED = re.compile(f"{_MARK}(\\d+){_MARK}")
# `https:path` without slashes leads into the server that shows the notebook.
_ADDRESS = re.compile(r"https?://[^/]|mailto:[^/]", re.IGNORECASE)
# The parser drops what is nested deeper than its limit of 20; a list takes two levels at once.
_DEEPEST = 18

_OPEN = {
    "blockquote_open": Markup('<blockquote dir="auto">'),
    "bullet_list_open": Markup('<ul dir="auto">'),
    "list_item_open": Markup("<li>"),
    "table_open": Markup('<div class="trt-scroll"><table>'),
    "thead_open": Markup("<thead>"),
    "tbody_open": Markup("<tbody>"),
    "tr_open": Markup("<tr>"),
    "em_open": Markup("<em>"),
    "strong_open": Markup("<strong>"),
    "s_open": Markup("<s>"),
    "hr": Markup("<hr>"),
    "hardbreak": Markup("<br>"),
    "softbreak": Markup("<br>"),
}
_CLOSE = {
    "blockquote_close": Markup("</blockquote>"),
    "bullet_list_close": Markup("</ul>"),
    "ordered_list_close": Markup("</ol>"),
    "list_item_close": Markup("</li>"),
    "table_close": Markup("</table></div>"),
    "thead_close": Markup("</thead>"),
    "tbody_close": Markup("</tbody>"),
    "tr_close": Markup("</tr>"),
    "th_close": Markup("</th>"),
    "td_close": Markup("</td>"),
    "em_close": Markup("</em>"),
    "strong_close": Markup("</strong>"),
    "s_close": Markup("</s>"),
    "heading_close": Markup("</b></div>"),
}
_FIXED = _OPEN | _CLOSE
_ORDERED = Markup('<ol dir="auto" start="{}">')
_CELLS = {
    (tag, align): Markup('<{} class="trt-{}" dir="auto">').format(tag, align)
    for tag in ("th", "td")
    for align in ("start", "left", "center", "right")
}
# No h1 to h6: those would become chapters of the notebook. Bold, so that it is a heading without the style too.
_HEADINGS = {
    f"h{n}": Markup('<div class="trt-h trt-h{0}" role="heading" aria-level="{0}" dir="auto"><b>').format(n)
    for n in range(1, 7)
}
_LINK = Markup('<a href="{0}" title="{1}" target="_blank" rel="noopener noreferrer nofollow">')
_LINK_END = Markup("</a>")
_CODE = Markup("<code>"), Markup("</code>")
_LANGUAGE = Markup('<small class="trt-lang"><bdi>{}</bdi></small>')
_BLOCK_OF_CODE = Markup('<div class="trt-code">{}<pre dir="ltr"><code>{}</code></pre></div>')
_INLINE = Markup('<span class="mathjax_process tex2jax_process" dir="ltr">{}</span>')
_DISPLAY = Markup('<div class="trt-tex mathjax_process tex2jax_process" dir="ltr">{}</div>')
# A `<p>` ends where a `<div>` begins, so a paragraph with a formula on its own lines is not a `<p>`.
_PARAGRAPH = Markup('<p dir="auto">'), Markup("</p>")
_PARAGRAPH_WITH_DISPLAY = Markup('<div class="trt-p" dir="auto">'), Markup("</div>")
_DEFINITION = Markup('<p class="trt-quiet">[{}]: {}{}</a> {}</p>')


def markdown(found: Sequence[Segment], *, most: int) -> Markup:
    r"""The text that the segments make, rendered; of its formulas `most` are typeset, and the rest show their source.

    >>> from tunix_rt.render.segments import segments
    >>> print(markdown(segments("**So** $x^2$, <b>", most=9), most=9))
    <p dir="auto"><strong>So</strong> <span class="..." dir="ltr">\(x^2\)</span>, &lt;b&gt;</p>
    """
    page = _Page(most)
    tokens = _parser().parse("".join(map(page.marked, found)))
    return Markup("").join(page.pieces(tokens))


class _Formula(NamedTuple):
    segment: Segment
    is_set: bool


class _Page:
    """One text on its way to HTML, with the formulas that went through the parser as numbers."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._formulas: list[_Formula] = []
        self._numbers: dict[tuple[str, bool], int] = {}
        self._after_display = False
        self._ends: list[Markup] = []

    def marked(self, segment: Segment) -> str:
        """The source for the parser. The same formula has the same number, so that labels of links stay equal."""
        if segment.kind in {Kind.PROSE, Kind.CODE}:
            return segment.source
        is_set = self._most > 0 and segment.kind is not Kind.SOURCE
        self._most -= is_set
        number = self._numbers.setdefault((segment.source, is_set), len(self._formulas))
        if number == len(self._formulas):
            self._formulas.append(_Formula(segment, is_set))
        return f"{_MARK}{number}{_MARK}"

    def pieces(self, tokens: Sequence[Token]) -> Iterator[str]:
        """The HTML, in pieces: Markup, and text that is still to be escaped."""
        for n, token in enumerate(tokens):
            if token.type == "text":
                yield from self._text(token.content)
            elif token.type == "inline":
                yield from self.pieces(token.children or [])
            # A formula on its own lines is already set apart: the line end after it would only widen the gap.
            elif not token.hidden and not (token.type == "softbreak" and self._after_display):
                self._after_display = False
                if token.type in _FIXED:
                    yield _FIXED[token.type]
                else:
                    yield from self._element(token, tokens[n + 1 : n + 2])

    def _text(self, content: str) -> Iterator[str]:
        for n, part in enumerate(_MARKED.split(content)):
            if n % 2 == 0:
                # Entities can spell what visible() took out of the source.
                text = visible(part)
                if text:
                    self._after_display = False
                    yield text
                continue
            formula = self._formulas[int(part)]
            if formula.is_set:
                is_display = formula.segment.kind is Kind.DISPLAY
                self._after_display = is_display
                yield (_DISPLAY if is_display else _INLINE).format(formula.segment.text)
            else:
                yield formula.segment.source

    def _has_display(self, content: str) -> bool:
        found = (self._formulas[int(number)] for number in _MARKED.findall(content))
        return any(each.is_set and each.segment.kind is Kind.DISPLAY for each in found)

    def _source(self, content: str) -> str:
        """The text of code and attributes, with the formulas as they were written."""
        return visible(_MARKED.sub(lambda match: self._formulas[int(match[1])].segment.source, content))

    def _element(self, token: Token, following: Sequence[Token]) -> Iterator[str]:
        match token.type:
            case "paragraph_open":
                start, end = _PARAGRAPH_WITH_DISPLAY if self._has_display(following[0].content) else _PARAGRAPH
                self._ends.append(end)
                yield start
            case "link_open":
                yield self._link(str(token.attrs["href"]), self._source(str(token.attrs.get("title", ""))))
            case "paragraph_close" | "link_close":
                yield self._ends.pop()
            case "code_inline":
                yield from (_CODE[0], self._source(token.content), _CODE[1])
            case "fence" | "code_block":
                language = self._source(token.info).strip()
                code = self._source(token.content).removesuffix("\n")
                yield _BLOCK_OF_CODE.format(_LANGUAGE.format(language) if language else "", code)
            case "heading_open":
                yield _HEADINGS[token.tag]
            case "ordered_list_open":
                yield _ORDERED.format(token.attrs.get("start", 1))
            case "th_open" | "td_open":
                yield _CELLS[token.tag, str(token.attrs.get("style", "text-align:start")).partition(":")[2]]
            case _:
                # The address of a link by reference, which no link may show.
                address, title = token.meta["url"], self._source(token.meta["title"])
                yield _DEFINITION.format(
                    self._source(token.meta["label"]), _LINK.format(address, address), address, title
                )

    def _link(self, address: str, title: str) -> Markup:
        # The parser makes links of `[text]()` too.
        start, end = (_LINK, _LINK_END) if address else (Markup("["), Markup("]()"))
        self._ends.append(end)
        return start.format(address, f"{address}\n{title}" if title else address)


class _Parser(MarkdownIt):
    """The parser, which takes fewer addresses for links than its own."""

    def validateLink(self, url: str) -> bool:  # noqa: N802  the name is the parser's
        return _ADDRESS.match(url) is not None

    def normalizeLinkText(self, link: str) -> str:  # noqa: N802
        # As it was written: decoded, one address can look like another.
        return link


@cache
def _parser() -> MarkdownIt:
    options = {"html": False, "inline_definitions": True}
    parser = _Parser("commonmark", options).enable(["table", "strikethrough"])
    parser.block.ruler.before("table", "deep", _deep)
    parser.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    parser.inline.ruler.at("image", _image)
    return parser


def _deep(state: StateBlock, start: int, _end: int, silent: bool) -> bool:  # noqa: FBT001  as the parser calls it
    """A line that is nested too deeply to be parsed is shown as a plain paragraph."""
    if silent or state.level < _DEEPEST:
        return False
    state.line = start + 1
    state.push("paragraph_open", "p", 1)
    inline = state.push("inline", "", 0)
    inline.content = state.getLines(start, state.line, state.blkIndent, False).strip()
    inline.children = []
    state.push("paragraph_close", "p", -1)
    return True


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001
    """A table, where a row with more cells than the table has columns keeps them in its last cell."""
    first = len(state.tokens)
    if not table_rule(state, start, end, silent):
        return False
    row: list[Token] = []
    for token in state.tokens[first:]:
        if token.type == "tr_open":
            row = []
        elif token.type == "inline":
            row.append(token)
        elif token.type == "tr_close" and row[-1].map:
            line = row[-1].map[0]
            cells = escapedSplit(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip())
            if more := "|".join(cells[len(row) + (not cells[0]) :]).strip(" |"):
                row[-1].content += f" | {more}"
    return True


def _image(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    """An image as its source: nothing is fetched."""
    start = state.pos
    if not image_rule(state, True):
        return False
    if not silent:
        state.push("text", "", 0).content = state.src[start : state.pos]
    return True
