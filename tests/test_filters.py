"""One set of filters, the same wherever traces are selected."""

from datetime import UTC, date, datetime, timedelta

import pytest

import tunix_rt as rt


@pytest.fixture
def full(store, make_trace):
    store.add_many(
        [
            make_trace("How many EGGS?", meta={"source": "farm", "reward": 1, "grader": {"name": "exact"}}),
            make_trace("Straße und Maß", steps=["a (b) [c] .* \\d %_"], meta={"source": "deutsch", "reward": 0.5}),
            make_trace("27?", steps=["eggs again"] * 5, final_answer="Nothing", meta={"reward": None, "ok": True}),
            make_trace("cut", steps=[], final_answer=None, trace_version="1.1", meta={"a.b": "dotted", "l": [1, "x"]}),
            make_trace("鶴と亀", meta={"a": {"b": "inside"}, "reward": "1", "ok": False}),
        ]
    )
    return store


def found(store, **filters):
    """The prompts that fit, newest first, after making sure that all calls agree."""
    prompts = [record.payload.prompt for record in store.records(**filters)]
    assert [summary.preview for summary in store.page(**filters)] == prompts
    assert store.count(**filters) == len(prompts)
    assert sum(len(batch) for batch in store.scan(["id"], **filters)) == len(prompts)
    return prompts


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("eggs", ["27?", "How many EGGS?"]),
        ("EGGS AGAIN", ["27?"]),
        ("nothing", ["27?"]),
        ("straße", ["Straße und Maß"]),
        ("MASS", []),
        ("(b) [C] .* \\D %_", ["Straße und Maß"]),
        (".*", ["Straße und Maß"]),
        ("27", ["鶴と亀", "27?", "How many EGGS?"]),
        ("亀", ["鶴と亀"]),
        ("%", ["Straße und Maß"]),
        ("a\nb", []),
        ("how many eggs", ["How many EGGS?"]),
        ("'; drop table traces", []),
    ],
)
def test_text_is_found_in_prompt_steps_and_answer_whatever_its_case(full, text, prompts):
    assert found(full, text=text) == prompts


@pytest.mark.parametrize(
    ("meta", "prompts"),
    [
        ({"reward": 1}, ["How many EGGS?"]),
        ({"reward": 1.0}, ["How many EGGS?"]),
        ({"reward": "1"}, ["鶴と亀"]),
        ({"reward": 0.5}, ["Straße und Maß"]),
        ({"reward": None}, ["cut", "27?"]),
        ({"ok": True}, ["27?"]),
        ({"ok": False}, ["鶴と亀"]),
        ({"grader.name": "exact"}, ["How many EGGS?"]),
        ({"grader": {"name": "exact"}}, ["How many EGGS?"]),
        ({"a.b": "dotted"}, ["cut"]),
        ({"a.b": "inside"}, ["鶴と亀"]),
        ({"l": [1, "x"]}, ["cut"]),
        ({"source": "farm", "reward": 1}, ["How many EGGS?"]),
        ({"source": "farm", "reward": 0.5}, []),
        ({"no such": "key"}, []),
        ({'a"b': 1}, []),
        ({"*": "dotted"}, []),
        ({"": 1}, []),
        ({"..": 1, "a/~b": 1}, []),
        ({"reward": 10**40}, []),
    ],
)
def test_meta_is_compared_by_value_and_dots_reach_inside(full, meta, prompts):
    assert found(full, meta=meta) == prompts


def test_any_key_of_meta_can_be_asked_for(store, make_trace):
    meta = {"*": 1, "": 2, "a/b": 3, "~": 4, "$": 5, "a[0]": 6, "o": {"": {"*": 7}}, "l": [8]}
    store.add(make_trace(meta=meta))
    for key, value in [*list(meta.items())[:6], ("o..*", 7), ("l.0", 8)]:
        assert store.count(meta={key: value}) == 1, key
        assert store.count(meta={key: None}) == 0, key


def test_source_steps_version_and_ids(full):
    assert found(full, source="farm") == ["How many EGGS?"]
    assert found(full, min_steps=2) == ["鶴と亀", "27?", "How many EGGS?"]
    assert found(full, max_steps=1) == ["cut", "Straße und Maß"]
    assert found(full, min_steps=1, max_steps=1) == ["Straße und Maß"]
    assert found(full, version="1.1") == ["cut"]
    newest, second = list(full.page(limit=2))
    assert found(full, ids=[second.id, str(newest.id)]) == ["鶴と亀", "cut"]
    assert found(full, ids=newest.id) == ["鶴と亀"]
    assert found(full, ids=[]) == []


def test_characters_are_those_of_prompt_steps_and_answer_together(full):
    sizes = {record.preview: record.n_chars for record in full.page()}
    assert sizes == {"鶴と亀": 33, "cut": 3, "27?": 60, "Straße und Maß": 35, "How many EGGS?": 44}
    assert found(full, min_chars=44) == ["27?", "How many EGGS?"]
    assert found(full, max_chars=33) == ["鶴と亀", "cut"]
    assert found(full, min_chars=4, max_chars=43) == ["鶴と亀", "Straße und Maß"]
    assert found(full, min_chars=61) == []


def test_times_are_utc_unless_they_say_otherwise(full):
    middle = full.page()[2].created_at
    assert found(full, since=middle) == ["鶴と亀", "cut", "27?"]
    assert found(full, until=middle) == ["Straße und Maß", "How many EGGS?"]
    assert found(full, since=middle.replace(tzinfo=None).isoformat()) == ["鶴と亀", "cut", "27?"]
    assert found(full, since=f"{(middle + timedelta(hours=2)).replace(tzinfo=None).isoformat()}+02:00") == [
        "鶴と亀",
        "cut",
        "27?",
    ]
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert found(full, since=tomorrow) == []
    assert len(found(full, until=tomorrow, since=date(2020, 1, 1))) == 5
    assert len(found(full, since=timedelta(hours=1))) == 5


def test_where_takes_any_sql_expression(full):
    assert found(full, where="n_chars < 10") == ["cut"]
    assert found(full, where="prompt like '%EGGS%' -- a comment") == ["How many EGGS?"]
    assert found(full, where="false or source = 'farm'", min_steps=3) == []


def test_filters_that_are_none_are_not_asked(full):
    assert len(found(full, text=None, source=None)) == 5


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ({"txt": "a"}, "unknown filter 'txt'; known are text: a string to find"),
        ({"text": 3}, "text=3: must be a string to find"),
        ({"source": b"x"}, "source=b'x': must be the trace's meta.source"),
        ({"since": "yesterday"}, "since='yesterday': must be a time such as 2026-01-31"),
        ({"until": 5}, "until=5: must be created before this time"),
        ({"min_steps": "3"}, "min_steps='3': must be at least so many steps"),
        ({"max_steps": True}, "max_steps=True: must be at most so many steps"),
        ({"min_chars": 1.5}, "min_chars=1.5: must be at least so many characters"),
        ({"max_chars": "9"}, "max_chars='9': must be at most so many characters"),
        ({"meta": "x"}, "meta='x': must be values in meta"),
        ({"meta": {"a": float("nan")}}, "must be a JSON value"),
        ({"meta": {"a": object()}}, "must be a JSON value"),
        ({"meta": {"a": [10**5_000]}}, "must be a JSON value"),
        ({"meta": {"a": 10**400}}, "numbers are compared as doubles"),
        ({"ids": ["zzz"]}, "must be full ids"),
        ({"ids": 5}, "ids=5: must be full ids"),
        ({"where": "selec"}, "selec"),
        ({"where": "true); drop table traces; select (true"}, "must be one SQL expression"),
        ({"where": ""}, "SQL expression"),
        ({"where": "("}, "is no SQL expression"),
    ],
)
def test_a_bad_filter_is_told_and_changes_nothing(full, filters, told):
    for ask in (full.page, full.count, full.delete, full.latest, lambda **f: list(full.records(**f))):
        with pytest.raises(rt.QueryInvalid) as caught:
            ask(**filters)
        assert told in str(caught.value)
    assert full.count() == 5
