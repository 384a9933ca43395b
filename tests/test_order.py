"""Pages in other orders than newest first: by columns, by values in meta, by scores, and by the order of ids."""

import json
import random

import pytest
from IPython.core.interactiveshell import InteractiveShell

import tunix_rt as rt
from tests.test_cli import call
from tests.test_paging import walk

# Numbers as numbers, booleans among them, then texts, then what is neither; of long texts the beginning counts.
VALUES = [
    1,
    2,
    2.0,
    -1.5,
    -0.125,
    True,
    False,
    10**18,
    1e300,
    "a",
    "B",
    "2",
    "",
    "é" * 300,
    "é" * 99,
    # With escapes in JSON.
    'a"\\\n' + "é" * 99,
    "\t",
    None,
    [1],
    {"x": 1},
]
LONG = {"é" * 300: "é" * 100, 'a"\\\n' + "é" * 99: 'a"\\\n' + "é" * 96}


def key(value):
    if isinstance(value, bool | int | float):
        return 0, float(value), ""
    return (1, 0.0, LONG.get(value, value)) if isinstance(value, str) else (2, 0.0, "")


def expected(records, value_of, *, descending):
    """The ids in order, by Python: newest first, then by kind, then by value."""
    rows = sorted(records, key=lambda one: (one.created_at, one.id), reverse=True)
    rows.sort(key=lambda one: key(value_of(one))[1:], reverse=descending)
    return [one.id for one in sorted(rows, key=lambda one: key(value_of(one))[0])]


def check(store, expected_ids, limits=(9,), **asked):
    """That pages of every size have these ids, on the way and back, from cursors and from offsets."""
    for limit in limits:
        pages = [store.page(limit=limit, **asked)]
        while pages[-1].next:
            pages.append(pages[-1].next_page())
        assert [one.id for page in pages for one in page] == expected_ids, (limit, asked)
        back = [pages[-1]]
        while back[-1].previous:
            back.append(back[-1].previous_page())
        assert [page.records for page in back[::-1]] == [page.records for page in pages]
    for offset in (len(expected_ids) // 2, 10**12):
        page = store.page(limit=7, offset=offset, **asked)
        assert [one.id for one in page] == expected_ids[offset : offset + 7]


@pytest.fixture
def mixed(store, make_trace):
    drawn = random.Random(3)
    metas = [
        {"k": drawn.choice(VALUES), "in": {"k": n % 5}, "source": f"s{n % 2}"} if n % 7 else None for n in range(40)
    ]
    store.add_many(make_trace(f"{n}?", steps=["s"] * (1 + n % 3), meta=meta) for n, meta in enumerate(metas))
    store.add(make_trace("none?", meta={"source": "s0"}))
    return store


@pytest.mark.parametrize("descending", [False, True])
def test_values_in_meta_are_sorted_as_numbers_and_texts_and_what_has_neither_is_last(mixed, descending):
    for filters, limit in (({}, 5), ({"text": "1", "meta": "k"}, 4), ({"where": "n_steps > 1"}, 100)):
        records = list(mixed.records(**filters))
        ids = expected(records, lambda one: (one.payload.meta or {}).get("k"), descending=descending)
        check(mixed, ids, (limit,), order_by="meta.k", descending=descending, **filters)
    ids = expected(mixed.records(), lambda one: (one.payload.meta or {}).get("in", {}).get("k"), descending=descending)
    check(mixed, ids, order_by="meta.in.k", descending=descending)


@pytest.mark.parametrize("descending", [False, True])
def test_columns_are_sorted(mixed, descending):
    values = {
        "n_steps": lambda one: len(one.payload.steps),
        "preview": lambda one: one.payload.prompt,
        "source": lambda one: (one.payload.meta or {}).get("source"),
    }
    for name, value_of in values.items():
        ids = expected(mixed.records(), value_of, descending=descending)
        check(mixed, ids, order_by=name, descending=descending)
    ids = [one.id for one in mixed.records(newest_first=descending)]
    check(mixed, ids, order_by="created_at", descending=descending)
    assert mixed.page(order_by="created_at", descending=True).next == mixed.page().next


@pytest.mark.slow
@pytest.mark.parametrize("descending", [False, True])
def test_current_scores_are_sorted_and_traces_without_one_are_last(mixed, descending):
    def number(trace):
        return int(trace.payload.prompt[:-1])

    def first(trace):
        return (
            None if number(trace) % 9 == 0 else f"l{number(trace) % 4}" if number(trace) % 5 == 0 else number(trace) % 6
        )

    scored = {"where": "prompt <> 'none?'", "progress": False}
    mixed.score(first, name="q", version="1", **scored)
    # A newer score replaces an older one, also by a reason; some are the same as before.
    mixed.score(lambda trace: number(trace) % 4 or None, name="q", version="2", source="s1", **scored)
    current = {row["trace_id"]: row for row in mixed.scores("q").arrow().to_pylist()}

    def value_of(one):
        row = current.get(str(one.id), {"value": None, "label": None})
        return row["label"] if row["value"] is None else row["value"]

    def value_once(one):
        return None if one.payload.prompt == "none?" else first(one)

    for filters in ({}, {"score": "q!=null", "source": "s1"}):
        ids = expected(mixed.records(**filters), value_of, descending=descending)
        check(mixed, ids, order_by="score.q", descending=descending, **filters)
    # Of a scorer that has one score for each trace, none is looked up twice; a page ends among equal ones.
    mixed.score(first, name="once", version="1", **scored)
    for filters in ({}, {"source": "s1"}):
        ids = expected(mixed.records(**filters), value_once, descending=descending)
        check(mixed, ids, (2, 9), order_by="score.once", descending=descending, **filters)
    assert walk(mixed.page(order_by="score.nobody", descending=descending)) == walk(mixed.page())


def test_pages_stay_in_order_while_traces_are_added_and_deleted(store, make_trace):
    records = store.add_many(make_trace(meta={"k": n}) for n in range(20))
    page = store.page(limit=5, order_by="meta.k")
    store.add_many([make_trace(meta={"k": 2.5}), make_trace(meta={"k": 4.5})])
    store.delete(records[4].id, records[6].id)
    values = [store.get(one.id).payload.meta["k"] for one in page.next_page()]
    assert values == [4.5, 5, 7, 8, 9]
    store.delete(meta="k>=5")
    assert [store.get(one.id).payload.meta["k"] for one in page.next_page()] == [4.5]
    middle = page.next_page()
    store.delete(middle[0].id)
    front = middle.previous_page()
    assert ([store.get(one.id).payload.meta["k"] for one in front], front.next) == ([0, 1, 2, 2.5, 3], None)


def test_ids_keep_their_order_unless_another_one_is_given(mixed):
    ids = [one.id for one in mixed.records()]
    random.Random(1).shuffle(ids)
    check(mixed, ids, ids=[*ids, *ids[:5]])
    of_source = {one.id for one in mixed.records(source="s1")}
    assert walk(mixed.page(ids=map(str, ids), source="s1")) == [one for one in ids if one in of_source]
    assert walk(mixed.page(ids=ids, order_by="created_at", descending=True)) == walk(mixed.page())
    assert mixed.page(ids=ids[:2]).order == "in the order of ids"
    assert mixed.page(ids=ids[0]).order == mixed.page(ids=[]).order == "newest first"


@pytest.mark.slow
def test_a_large_meta_is_sorted_by_halves_within_the_memory_that_a_store_may_use(tmp_path, make_trace):
    low = {"memory_limit": 14_000_000}
    settings = rt.Settings.model_construct(**rt.Settings().model_dump() | low)
    store = rt.TraceStore(tmp_path / "traces.duckdb", settings=settings)
    store.add_many(make_trace(f"{n}?", meta={"k": n % 4, "numbers": [0] * 60_000}) for n in range(8))
    page = store.page(limit=3, order_by="meta.k", offset=1)
    assert [one.preview for one in page] == ["0?", "5?", "1?"]
    assert [one.preview for one in page.next_page()] == ["6?", "2?", "7?"]
    assert [one.preview for one in page.next_page().previous_page()] == ["0?", "5?", "1?"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"order_by": "reward"}, 'order_by="reward": must be created_at, n_steps, .*, meta.KEY or score.SCORER'),
        ({"order_by": "meta."}, 'order_by="meta.": must be'),
        ({"order_by": "score.a<b"}, "order_by=.*: must be"),
        ({"order_by": "meta.\ud800"}, "order_by=.*: must be"),
        ({"order_by": 5}, "order_by=5: must be"),
        ({"descending": True}, "descending=true: needs order_by"),
        ({"order_by": "n_steps", "descending": None}, "descending=null: must be true or false"),
        ({"order_by": "n_steps", "after": "x"}, 'after="x": is not a valid cursor'),
    ],
)
def test_an_order_that_there_is_not_is_refused(same_store, asked, said):
    with pytest.raises(rt.QueryInvalid, match=f"^{said}"):
        same_store.page(**asked)


def test_a_cursor_is_of_the_order_of_its_page(mixed):
    cursors = {
        order: mixed.page(limit=1, **dict(order)).next
        for order in [(), (("order_by", "meta.k"),), (("order_by", "meta.k"), ("descending", True))]
    }
    for order in cursors:
        for other, cursor in cursors.items():
            for direction in ("after", "before"):
                if order == other:
                    mixed.page(**{direction: cursor}, **dict(order))
                    continue
                with pytest.raises(rt.QueryInvalid, match=f"{direction}=.*: is a cursor of a page in another order"):
                    mixed.page(**{direction: cursor}, **dict(order))


def test_the_shell_and_the_magics_sort(mixed):
    ids = walk(mixed.page(limit=100, order_by="meta.k", descending=True))
    lines = call("list", "--all", "--json", "--order-by", "meta.k", "--descending", "--store", mixed.path).splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(map(str, ids))
    cursor = json.loads(lines[4])["cursor"]
    rest = call("list", "-n", "2", "--order-by", "meta.k", "--descending", "--after", cursor, "--store", mixed.path)
    assert [line for line in rest.splitlines() if str(ids[5])[:18] in line]
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "tunix_rt")
    try:
        shell.run_line_magic("trace_store", str(mixed.path))
        page = shell.run_line_magic("traces", "--order-by meta.k --descending -n 3")
    finally:
        shell.run_line_magic("unload_ext", "tunix_rt")
    assert [one.id for one in page] == ids[:3]
    assert str(page).startswith("3 traces, by meta.k, descending\n")


def test_numbers_of_meta_are_sorted_in_sql_by_the_cast_of_the_reference(store, make_trace):
    query = "select meta->>'k' as k from traces where try_cast(meta->>'k' as double) < 0 order by {}"
    store.add_many(make_trace(meta={"k": k}) for k in (-0.125, "n/a", -1.5, 7, None))
    assert store.sql(query.format("k")).rows == [("-0.125",), ("-1.5",)]
    assert store.sql(query.format("try_cast(meta->>'k' as double)")).rows == [("-1.5",), ("-0.125",)]
