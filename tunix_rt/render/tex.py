r"""The TeX that is handed to the notebook: what models write in solutions, and nothing that acts, hides or overprints.

The notebook's own filter lets through what paints over other text (`\rlap`, `\raise`, negative spaces), hides it
(`\phantom`, `\color{white}`) or names, loads and links things. Nobody needs it to read a formula, so a formula is
typeset where everything in it is listed here, and else shown as its source.
"""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What draws itself.
_SYMBOLS = _words(
    """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi
    psi omega varepsilon vartheta varpi varrho varsigma varphi varkappa digamma
    Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
    varGamma varDelta varTheta varLambda varXi varPi varSigma varUpsilon varPhi varPsi varOmega

    le leq leqslant leqq ge geq geqslant geqq ne neq lt gt ll gg lll ggg nless ngtr nleq ngeq nleqslant ngeqslant
    lesssim gtrsim lessgtr gtrless lessapprox gtrapprox lneq gneq lneqq gneqq doteq doteqdot coloneqq eqqcolon triangleq
    approx approxeq thickapprox equiv cong ncong sim nsim simeq backsim thicksim propto varpropto asymp bumpeq Bumpeq
    prec succ preceq succeq precsim succsim in ni notin owns subset supset subseteq supseteq subsetneq supsetneq
    nsubseteq nsupseteq subseteqq supseteqq Subset Supset sqsubset sqsupset sqsubseteq sqsupseteq mid nmid shortmid
    parallel nparallel perp vdash dashv models vDash Vdash nvdash nvDash smile frown between pitchfork bowtie Join
    because therefore colon vartriangleleft vartriangleright trianglelefteq trianglerighteq

    pm mp times div cdot cdotp ast star circ bullet oplus ominus otimes oslash odot cap cup uplus sqcap sqcup vee wedge
    lor land lnot neg setminus smallsetminus wr amalg dagger ddagger diamond bigtriangleup bigtriangledown triangleleft
    triangleright ltimes rtimes bigcirc centerdot dotplus boxplus boxminus boxtimes boxdot barwedge veebar Cap Cup
    divideontimes intercal circledast circledcirc circleddash

    sum prod coprod int iint iiint iiiint oint idotsint smallint bigcap bigcup bigsqcup bigvee bigwedge bigodot
    bigoplus bigotimes biguplus

    arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf lim liminf limsup injlim projlim
    varinjlim varprojlim varliminf varlimsup ker lg ln log max min Pr sec sin sinh sup tan tanh bmod

    gets to leftarrow rightarrow leftrightarrow Leftarrow Rightarrow Leftrightarrow iff implies impliedby mapsto
    longleftarrow longrightarrow longleftrightarrow Longleftarrow Longrightarrow Longleftrightarrow longmapsto uparrow
    downarrow updownarrow Uparrow Downarrow Updownarrow nearrow searrow swarrow nwarrow hookleftarrow hookrightarrow
    leftharpoonup leftharpoondown rightharpoonup rightharpoondown rightleftharpoons leftrightharpoons leadsto
    rightsquigarrow leftrightsquigarrow leftleftarrows rightrightarrows leftrightarrows rightleftarrows upuparrows
    downdownarrows twoheadleftarrow twoheadrightarrow leftarrowtail rightarrowtail curvearrowleft curvearrowright
    circlearrowleft circlearrowright looparrowleft looparrowright nleftarrow nrightarrow nLeftarrow nRightarrow
    nleftrightarrow nLeftrightarrow dashleftarrow dashrightarrow multimap upharpoonleft upharpoonright restriction

    ldots cdots vdots ddots dots dotsb dotsc dotsi dotsm dotso infty partial nabla forall exists nexists emptyset
    varnothing ell hbar hslash imath jmath Re Im wp aleph beth gimel daleth complement angle measuredangle
    sphericalangle triangle triangledown vartriangle square Box Diamond blacksquare blacktriangle blacktriangledown
    blacklozenge lozenge bigstar prime backprime top bot degree checkmark surd flat natural sharp clubsuit
    diamondsuit heartsuit spadesuit eth mho Finv Game Bbbk circledR circledS maltese S yen
    langle rangle lfloor rfloor lceil rceil lbrace rbrace lbrack rbrack lvert rvert lVert rVert vert Vert lgroup rgroup
    lmoustache rmoustache ulcorner urcorner llcorner lrcorner backslash And TeX LaTeX
    """
) | frozenset("{}|$%&#_")
# What needs something to draw, and may have nothing.
_FORMS = _words(
    """
    frac dfrac tfrac cfrac binom dbinom tbinom over atop choose sqrt root of overset underset stackrel substack
    overline underline overbrace underbrace overrightarrow overleftarrow overleftrightarrow underrightarrow
    underleftarrow underleftrightarrow overparen underparen xrightarrow xleftarrow xleftrightarrow xRightarrow
    xLeftarrow xLeftrightarrow xmapsto xrightleftharpoons
    not hat widehat check widecheck tilde widetilde acute grave dot ddot dddot ddddot breve bar vec mathring
    boxed fbox cancel bcancel xcancel cancelto
    text textbf textit textrm textsf texttt textup textnormal mbox hbox
    mathrm mathbf mathit mathsf mathtt mathcal mathscr mathfrak mathbb mathnormal boldsymbol pmb
    rm bf it sf tt cal frak scr Bbb mit symbf symbb symrm
    operatorname mathop mathrel mathbin mathord mathopen mathclose mathpunct mathinner limits nolimits
    pmod mod pod ce bra ket braket Bra Ket Braket
    left right middle big Big bigg Bigg bigl Bigl biggl Biggl bigr Bigr biggr Biggr bigm Bigm biggm Biggm
    displaystyle textstyle scriptstyle scriptscriptstyle normalsize
    hline hdashline tag notag nonumber
    """
)
_SPACES = frozenset({*",:;> ", "quad", "qquad", "enspace", "thinspace", "thickspace", "space", "~"})
_NEGATIVE = frozenset({"!", "negthinspace"})
_SIZES = frozenset({"small", "large", "Large"})
_LISTED = _SYMBOLS | _FORMS | _SPACES | _NEGATIVE | _SIZES
_ENVIRONMENTS = _words(
    """
    align align* alignat alignat* aligned alignedat array bmatrix Bmatrix cases dcases eqnarray eqnarray* equation
    equation* gather gather* gathered matrix multline multline* pmatrix rcases smallmatrix split subarray vmatrix
    Vmatrix
    """
)
# Each takes back a sixth of an em, and a digit is half an em wide: with two in a row, "1" and "2" were not to be read.
# With the smallest of dots between each two, as many as the second number take back half an em.
_MOST_NEGATIVE_IN_A_ROW, _MOST_NEGATIVE = 1, 20
# A gap of 16 em: what follows is still seen, without scrolling, in a column of 80 characters.
_MOST_SPACES_IN_A_ROW = 8
# Larger by 1.44 each.
_MOST_SIZES = 2
# Braces, environments and accents in one another; a continued fraction of six levels is the deepest that people write.
_DEEPEST = 20

_TOKEN = re.compile(
    r"""
    \\(?P<edge>begin|end)\{(?P<environment>[A-Za-z]+\*?)\}
  | \\(?P<row>\\\*?)
  | \\[hm]space\*?\{(?P<width>[^{}]*)\}
  | \\(?:left|right|middle)\s*\.
  | \\(?P<macro>[A-Za-z]+|.)\*?
  | (?P<brace>[{}])
  | (?P<tie>~)
  | (?P<wrong>[%\\]) # a comment is not shown
  | (?P<cell>&)
  | (?P<drawn>(?:[^\W_]|[!-$'-\[\]`|])+)
  | [^\\]  # nothing that is sure to have a width
    """,
    re.VERBOSE,
)
_LENGTH = r"\s*(?:\d(?:\.\d+)?\s*(?:em|ex|cm)|\d{1,2}(?:\.\d+)?\s*(?:pt|mm|mu|px))\s*"  # about a line at most
_WIDTH = re.compile(_LENGTH)
# What may follow; all else that these take moves things, or draws between columns.
_AFTER = {
    "row": re.compile(rf"\s*(?!\s|\[)|\s*\[{_LENGTH}\]"),
    "array": re.compile(r"\s*(?:\[[tcb]\]\s*)?\{[lcr|:\s]{0,60}\}"),
    "subarray": re.compile(r"\s*\{[lcr]\}"),
    "tag": re.compile(r"\s*\{[^{}\\]{1,20}\}"),
}


def is_plain(tex: str) -> bool:
    r"""Whether a formula holds only what is listed here, and moves nothing farther than a reader expects.

    >>> is_plain(r"\frac{1}{2} \, \text{of } x^2"), is_plain(r"x \rlap{y}"), is_plain(r"1\!\!2")
    (True, False, False)
    """
    depth = forms = negative = all_negative = spaces = sizes = 0
    for token in _TOKEN.finditer(tex):
        kind, name = token.lastgroup, token["macro"] or token["tie"] or ""
        if not _is_listed(token) or not _is_followed(token, tex):
            return False
        if kind in {"drawn", "row", "cell"} or name in _SYMBOLS:
            forms = negative = spaces = 0
        depth += (token["brace"] == "{") - (token["brace"] == "}")
        depth += (token["edge"] == "begin") - (token["edge"] == "end")
        forms += name in _FORMS
        negative += name in _NEGATIVE
        all_negative += name in _NEGATIVE
        spaces += kind == "width" or name in _SPACES
        sizes += name in _SIZES
        if max(depth, forms) > _DEEPEST or spaces > _MOST_SPACES_IN_A_ROW or sizes > _MOST_SIZES:
            return False
        if negative > _MOST_NEGATIVE_IN_A_ROW or all_negative > _MOST_NEGATIVE:
            return False
    return True


def _is_listed(token: re.Match[str]) -> bool:
    match token.lastgroup:
        case "macro":
            return token["macro"] in _LISTED
        case "environment":
            return token["environment"] in _ENVIRONMENTS
        case "width":
            return _WIDTH.fullmatch(token["width"]) is not None
        case kind:
            return kind != "wrong"


def _is_followed(token: re.Match[str], tex: str) -> bool:
    """Whether what takes more than braces has what it may have."""
    what = "row" if token["row"] else token["macro"] or (token["edge"] == "begin" and token["environment"]) or ""
    return what not in _AFTER or _AFTER[what].match(tex, token.end()) is not None
