"""What a step of reasoning does, told by how it begins: rules in one table, with a version."""

import re
from typing import Literal, NamedTuple

# Goes up with every change of the rules: types of another version are not to be compared with these.
RULES_VERSION = 1

# Where a step is looked at, in characters: at its beginning, and at its end. The whole of a long one may hold anything.
_ENDS = 400


class Rule(NamedTuple):
    """A type, and what a step of it looks like, in small letters.

    Where that is looked for: `begins`, behind headings, numbers and words like `So`; `first`, at the very beginning;
    `holds`, anywhere near the beginning or the end, of a step that has the `needle`.
    """

    type: str
    where: Literal["begins", "first", "holds"]
    pattern: re.Pattern[str]
    needle: str = ""


def _rule(kind: str, where: Literal["begins", "first", "holds"], *patterns: str, needle: str = "") -> Rule:
    # Asked one by one they took twice the time.
    return Rule(kind, where, re.compile("|".join(f"(?:{pattern})" for pattern in patterns)), needle)


_OPENING = (
    # A heading, a number, "Step 3:".
    r"(?:#{1,6} |\*\*|\d{1,3}[.)] |[-*•] |step \d{1,3}(?:[.:)]| [-–—])\s*(?:\*\*)?\s*){0,3}"
    # What people say before they say something.
    r"(?:(?:wait|hmm+|ok(?:ay)?|alright|all right|right|well|so|now|but|and|then|actually|hold on|oh|ah|yes|no|first"
    r"|next|finally|just to be (?:sure|safe|certain))\b[,.!…:]*\s+){0,3}"
)
_LET = (
    r"(?:let me|let['’]s|let us|i['’]ll|i will|i should|i need to|we can|we should|we need to)"
    r" (?:just |now |quickly )?"
)
_THIS = r"(?:that|this)(?: \w+)?"
_CANNOT = r"(?:doesn['’]t|does not|won['’]t|will not|didn['’]t|can['’]t|cannot)"
_OTHER_WAY = (
    r"(?:try|use|take) (?:a different|another|an alternative|a new|some other)"
    r" (?:approach|way|method|idea|route|strategy)\b"
)
_CHECK = r"(?:double[- ]?check|re-?check|cross[- ]check|sanity[- ]check|verify)\b"
_TASK = r"(?:problem|question|puzzle|task|exercise|statement)"
_VALUE = r"(?:\*\*|\\boxed|\\\(|\\\[|[-−$£€`\"“(±√π∞]|\d|[a-e]\b(?! )|yes\b|no\b|true\b|false\b)"
_NUMBER = r"[-−]?[$£€]?\d[\d.,]{0,30}[%°]?"
_SIGN = r"(?:[-+−–*×·÷/^]|\\times|\\cdot|\\div)"
_SUM = (
    # The digit first, which is quick to look for, and then what may not stand before it.
    rf"\d(?<![\w.,]\d)[\d.,]{{0,30}}+[%°]?\s?{_SIGN}\s?\(?{_NUMBER}"
    r"[\d\s.,()⌊⌋⌈⌉+\-−–*×·÷/%°$€£]{0,40}(?:\s[a-z]{2,12}\s?)?"
    rf"(?:=|≈|\\approx)\s?\(?{_NUMBER}(?![\d.,]*[a-z(\\^{{])"
)

# In order; the first that fits decides.
RULES = (
    _rule(
        "backtrack",
        "begins",
        rf"{_THIS}(?: is|['’]s) (?:\w+ )?(?:not (?:right|correct|working)|wrong|incorrect)\b(?![-?])",
        rf"{_THIS} {_CANNOT} (?:work|be right|be correct)\b(?![^.\n]{{0,60}}\?)",
        r"(?:i|we)(?: (?:think i|must have|may have|might have|have)|['’]ve)? made (?:an?|some)(?: \w+)?"
        r" (?:mistake|error|slip)s?\b",
        r"(?:oops|scratch that|never ?mind|my mistake)\b",
        rf"{_LET}(?:(?:start over|start again|backtrack|redo|rethink|reconsider)\b|{_OTHER_WAY})",
    ),
    _rule("backtrack", "first", r"(?:hmm+, )?(?:no, wait|wait, no)\b(?=\s*(?:[,.;:!—–]|$))"),
    _rule("backtrack", "holds", rf"let(?<=[.!?…]\slet)(?: me|['’]s) {_OTHER_WAY}", needle="let"),
    _rule(
        "verify",
        "begins",
        rf"(?:{_LET}|to )(?:{_CHECK}|check\b)"
        rf"(?! (?:what|how|which|where|the (?:{_TASK}|docs|documentation)))",
        # "To make sure that each friend has a slice" is no check, nor is "putting this back into y = x + 3".
        r"(?:let me|let['’]s) (?:just )?(?:confirm|make sure)\b",
        rf"{_CHECK}|check(?::| (?:that|if|whether)\b)",
        r"(?:verification|verifying|double-checking|checking)\b(?! accounts?\b)",
        r"(?:plugging|substituting|putting|plug|substitute)\b[^.\n]{0,60}\bback\b[^.\n]{0,30}\boriginal\b",
    ),
    _rule(
        "result",
        "begins",
        r"(?:(?:therefore|thus|hence|in conclusion|to conclude)\b,? )?(?:the|my|our) (?:final |correct )?answer"
        rf" (?:is|must be)(?: therefore| thus| indeed| simply)?:?\s*{_VALUE}(?![^\n]{{0,200}}\?)",
        r"(?:final )?answer(?:\*\*)?[ \t]*(?::|\r?\n|$)",
    ),
    _rule(
        "result",
        "holds",
        r"\\boxed\s*\{(?!\s*\}|\s*(?:\.{3}|…|\\ldots|\\cdots|(?:\\text\{)?(?:your |the |final )*answer))",
        needle="\\boxed",
    ),
    _rule(
        "parse",
        "begins",
        rf"the {_TASK}(?: statement)? (?:says|states|asks|is asking|tells|gives|wants|mentions|specifies|describes)\b",
        r"(?:we are|we['’]re|i am|i['’]m) (?:given|told|asked)\b",
        r"(?:given|known|wanted|to find)(?:\*\*)?:",
        r"the user (?:is asking|asks|wants|has asked|asked|needs|provided|gave)\b",
        rf"(?:{_LET})?(?:understand(?:ing)?|re-?read|restate|parse) (?:the|this) {_TASK}\b",
    ),
    _rule(
        "parse",
        "first",
        r"(?:ok(?:ay)?|alright|all right|hmm+)[,.]? (?:so )?(?:i|we)(?: need to| have to| have this|['’]ve got this)\b",
    ),
    # The calculator marks of GSM8K, and sums that are worked out.
    _rule("compute", "holds", r"<<[^<>\n]{1,80}=[^<>\n]{1,40}>>", needle="<<"),
    # Apart: a pattern that begins with a text is found faster.
    _rule("compute", "holds", _SUM),
    _rule(
        "plan",
        "first",
        r"(?:(?:ok(?:ay)?|so|alright|well)[,.]? ){0,2}first,? (?:i|we)(?:['’]ll| will| need to| should)\b",
    ),
    _rule(
        "plan",
        "begins",
        r"(?:the |my |our )?(?:plan|strategy|approach|idea|outline)(?:\*\*)?(?::| is to\b| will be to\b)",
        r"(?:i['’]ll|i will|we['’]ll|we will|let me|let['’]s) (?:start|begin) (?:by|with)\b",
        rf"{_LET}(?:plan|break (?:this|it|the|that|down)|outline|think about how|figure out how|tackle)\b",
        r"to (?:solve|find|determine|prove|answer|figure out|show|calculate|compute)\b[^.\n]{0,120}?,? (?:i|we)"
        r"(?:['’]ll| need to| can| should| will| must| have to)\b",
    ),
    _rule(
        "compute",
        "begins",
        rf"(?:{_LET})?(?:compute|calculate)\b|(?:computing|calculating)\b",
        rf"(?:{_LET})?(?:evaluate|multiply|simplify|expand|add|subtract|divide|evaluating|multiplying|simplifying"
        r"|expanding|adding|subtracting|dividing)\b(?=[^.\n]{0,120}=)",
    ),
)


def _combined(where: str, before: str = "") -> re.Pattern[str]:
    """The rules of one place as one pattern, which finds the first of them that fits: `lastindex` is its number."""
    rules = "|".join(f"({rule.pattern.pattern})" for rule in RULES if rule.where == where)
    return re.compile(f"(?>{before})(?:{rules})")


# Looked for one by one, the rules took half as long again.
_BEGINS, _FIRST = _combined("begins", _OPENING), _combined("first")
_NUMBERS = {where: [n for n, rule in enumerate(RULES) if rule.where == where] for where in ("begins", "first", "holds")}
_HOLDS = [(n, RULES[n].needle, RULES[n].pattern) for n in _NUMBERS["holds"]]


def step_type(content: str) -> str:
    """What a step does: parse, plan, compute, verify, backtrack or result; `step` where that is not sure.

    By the rules of version 1 (`RULES_VERSION`). They read English and arithmetic, and leave a step a `step` rather than
    give it a wrong type.

    >>> step_type("Let me double-check: 19 × 27 = 513.")
    'verify'
    >>> step_type("Let x be the number of cranes.")
    'step'
    """
    return type_in_small_letters(small_letters(content))


def small_letters(text: str) -> str:
    """The text with A to Z in small letters, and as long as before: the rules know no other letters.

    `lower()` took a quarter of the time of all rules where a text has other signs.
    """
    if text.isascii():
        return text.lower()
    return text.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")


def type_in_small_letters(content: str) -> str:
    """The type of a step by its text in small letters."""
    content = content.strip()
    ends = content if len(content) <= 2 * _ENDS else f"{content[:_ENDS]}\n{content[-_ENDS:]}"
    fitting = len(RULES)
    if (found := _BEGINS.match(ends)) and found.lastindex:
        fitting = _NUMBERS["begins"][found.lastindex - 1]
    if (found := _FIRST.match(ends)) and found.lastindex:
        fitting = min(fitting, _NUMBERS["first"][found.lastindex - 1])
    for number, needle, pattern in _HOLDS:
        if number >= fitting:
            break
        # To look for a text takes a quarter of the time of a search.
        if needle in ends and pattern.search(ends):
            return RULES[number].type
    return RULES[fitting].type if fitting < len(RULES) else "step"
