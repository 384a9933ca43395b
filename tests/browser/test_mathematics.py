"""Mathematics in a real JupyterLab: what models write is set whole; nothing paints outside of its text."""

import pytest

pytestmark = pytest.mark.browser

WIDE = " + ".join(f"a_{{{n}}}x^{{{n}}}" for n in range(40))
SET = [
    r"\begin{cases} x^2 & \text{if } x \ge 0, \\[4pt] -x & \text{otherwise.} \end{cases}",
    r"\begin{aligned} 7^{100} &\equiv 1 \pmod{10} \\ &\implies \boxed{\text{(C) } 42} \end{aligned}",
    r"\overset{a}{" * 19 + "x" + "}" * 19,
    r"\frac{1}{" * 19 + "x" + "}" * 19,
    r"\left(\begin{array}{c|c} 1 & 2 \\[3em] \hline 3 & 4 \end{array}\right)\tag{20 characters, all}",
    r"\sqrt[\text{a long index}]{x} \cancelto{\cancelto{0}{x}}{y} \xrightarrow[n\to\infty]{\text{a.s.}}",
    WIDE,
]
LEFT = [r"\rlap{over}x", r"1\!\!2", r"\!" * 99 + "x", r"x \\[-90em] y", r"\MoveEqLeft[90] x", r"\bm{x}"]
CELL = """import tunix_rt as rt
from tunix_rt import render
from IPython.display import HTML
texts = [f"before \\\\( {{tex}} \\\\) after\\n\\\\[ {{tex}} \\\\]\\nend" for tex in {formulas!r}]
stacked = "x" + chr(0x301) * 1_000
trace = rt.Trace(prompt=stacked, steps=texts, final_answer=stacked, meta={{stacked: stacked}})
display(trace, HTML(render.trace_html(trace, text="markdown")))
print("done")"""
# Letters, digits and fractions outside of the nearest box that keeps what it paints to itself, once it is scrolled.
OUTSIDE = """() => [...document.querySelectorAll(".trt :is(mjx-mi, mjx-mn, mjx-mtext, mjx-mfrac)")].filter(part => {
    const box = part.closest(".trt-tex, .trt-prose, .trt-md");
    const [inner, outer] = [part.getBoundingClientRect(), box.getBoundingClientRect()];
    const left = outer.left - box.scrollLeft, right = left + box.scrollWidth;
    const beside = inner.left < left - 2 || inner.right > right + 2;
    return beside || inner.top < outer.top - 2 || inner.bottom > outer.bottom + 2;
}).map(part => part.closest("mjx-container").parentElement.textContent)"""
KEPT = """() => [...document.querySelectorAll(".trt-tex, .trt-prose, .trt-md")].map(getComputedStyle).map(
    style => [style.contain.includes("paint"), style.overflowX, style.overflowY].join())"""


def test_mathematics_is_set_whole_in_its_own_box(start_jupyter, picture):
    jupyter = start_jupyter()
    jupyter.write("mathematics.ipynb", CELL.format(formulas=SET + LEFT))
    with jupyter.open("mathematics.ipynb") as page:
        jupyter.run_all(page)
        page.get_by_text("done", exact=True).wait_for(timeout=60_000)
        n_set = 2 * 2 * len(SET)
        page.wait_for_function(f"document.querySelectorAll('.trt mjx-container').length >= {n_set}")
        assert page.locator(".trt mjx-container").count() == n_set
        assert page.locator(".trt mjx-merror").count() == 0
        for tex in LEFT:
            assert page.get_by_text(rf"before \( {tex} \) after").count() == 2
        for theme in ("light", "dark"):
            jupyter.change_theme(page, theme)
            assert page.evaluate(OUTSIDE) == [], theme
            assert set(page.evaluate(KEPT)) == {"true,auto,hidden"}, theme
            picture(page, f"mathematics-{theme}")
