"""Two notebooks with a kernel each on one store, in turn; and hostile traces, which stay text."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SETUP = """%load_ext tunix_rt
%trace_store {path}"""
ADD = """import tunix_rt as rt
store = rt.TraceStore({path!r})
for n in range(5):
    store.add(rt.Trace(prompt=f"{name} {{n}}", steps=["s"], final_answer="a"))
print("{name} is done")"""


def test_two_kernels_in_one_lab_use_the_same_store_in_turn(start_jupyter, tmp_path):
    path = str(tmp_path / "shared.duckdb")
    jupyter = start_jupyter()
    for name in ("first", "second"):
        jupyter.write(f"{name}.ipynb", SETUP.format(path=path), ADD.format(path=path, name=name), "%traces -n 20")
    with jupyter.open("first.ipynb") as first, jupyter.open("second.ipynb") as second:
        jupyter.run_all(first)
        expect(first.get_by_text("first is done", exact=True)).to_be_visible(timeout=60_000)
        expect(first.get_by_text("5 traces, newest first")).to_be_visible()
        jupyter.run_all(second)
        expect(second.get_by_text("10 traces, newest first")).to_be_visible(timeout=60_000)
        # And both at once: neither kernel has an error, and each sees all at the end.
        jupyter.run_all(first)
        jupyter.run_all(second)
        for page, name in ((first, "first"), (second, "second")):
            expect(page.get_by_text(f"{name} is done", exact=True)).to_be_visible(timeout=60_000)
        jupyter.run_all(first)
        expect(first.get_by_text("20 traces, newest first")).to_be_visible(timeout=60_000)
        for page in (first, second):
            expect(page.get_by_text("Error")).to_have_count(0)


HOSTILE = """import tunix_rt as rt
store = rt.TraceStore({path!r})
evil = [
    "<img src=x onerror='window.__ran=1'>",
    "<script>window.__ran=1</script></style></details>",
    "[click](javascript:window.__ran=1) <a href='javascript:window.__ran=1'>x</a>",
    "$\\\\href{{javascript:window.__ran=1}}{{x}}$ \\\\(\\\\href{{javascript:window.__ran=1}}{{y}}\\\\)",
    "<svg onload='window.__ran=1'><iframe srcdoc='<script>parent.__ran=1</script>'>",
]
text = "\\\\n".join(evil)
trace = rt.Trace(
    prompt=text,
    steps=[rt.Step(i=i, type=one[:64], content=one) for i, one in enumerate(evil)],
    final_answer=text,
    meta={{"source": evil[0], evil[1]: {{evil[2]: evil[0]}}}},
)
record = store.add(trace)
with open({path!r} + ".jsonl", "w") as file:
    file.write(trace.to_json() + "\\\\n" + '{{"prompt": "' + evil[0] + '"}}\\\\n')
display(trace, record, store.page(), store.info(), store.load({path!r} + ".jsonl", known="add"))
display(store.page(text=evil[0]), store.page(source=evil[1]), store.sql("select * from traces"))"""


def test_hostile_traces_stay_text_in_every_view(start_jupyter, tmp_path, picture):
    jupyter = start_jupyter("lab", "dark")
    jupyter.write("hostile.ipynb", HOSTILE.format(path=str(tmp_path / "evil.duckdb")).replace("\\\\n", "\\n"))
    with jupyter.open("hostile.ipynb") as page:
        jupyter.run_all(page)
        expect(page.locator(".trt")).to_have_count(8, timeout=60_000)
        expect(page.get_by_text("1 added · 0 already stored · 1 rejected")).to_be_visible()
        page.locator(".trt details").evaluate_all("all => all.forEach(one => { one.open = true; })")
        assert page.locator(".trt script, .trt img, .trt iframe, .trt a, .trt svg, .trt [onerror]").count() == 0
        assert page.get_by_text("<img src=x onerror='window.__ran=1'>").count() > 5
        picture(page, "hostile")
        assert page.evaluate("() => window.__ran") is None
