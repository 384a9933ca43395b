"""Where in a JSON text a field stands."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tunix_rt.widgets.json_position import position_of

TEXT = """\
{
  "prompt": "2 × 🥚?",
  "steps": [
    {"i": 0, "type": "parse", "content": "é"}, {"i": 1, "kontent": [7]}
  ],
  "meta": {"a.b": {"c": 1}, "a": {"b.c": 2, "d": 3}}
}"""


def at(found):
    """The rest of the line at a place."""
    line, column, offset = found
    rest = TEXT.splitlines()[line - 1][column - 1 :]
    assert TEXT[offset:].partition("\n")[0] == rest
    return rest


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("prompt", '"2 × 🥚?",'),
        ("steps", "["),
        ("steps.1.kontent.0", "7]}"),
        ("steps.0.content", '"é"}, {"i": 1, "kontent": [7]}'),
        ("meta.a.d", "3}}"),
        ("meta.a.b.c", '1}, "a": {"b.c": 2, "d": 3}}'),
    ],
)
def test_a_field_is_found_by_its_path(path, rest):
    assert at(position_of(TEXT, path)) == rest


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("steps.1.content", '{"i": 1, "kontent": [7]}'),
        ("steps.2.content", "["),
        ("steps.-1", "["),
        ("steps.00", "["),
        ("prompt.x", '"2 × 🥚?",'),
        ("final_answer", "{"),
        ("", "{"),
    ],
)
def test_a_field_that_is_missing_is_where_it_should_be(path, rest):
    assert at(position_of(TEXT, path)) == rest


def test_a_field_that_should_not_be_there_has_the_place_of_its_key():
    assert at(position_of(TEXT, "steps.1.kontent", of_key=True)) == '"kontent": [7]}'
    assert at(position_of(TEXT, "steps.1.content", of_key=True)) == '{"i": 1, "kontent": [7]}'


def test_the_problems_of_a_trace_have_places():
    with pytest.raises(rt.TraceInvalid) as caught:
        rt.Trace.from_json(TEXT)
    places = {problem.field: position_of(TEXT, problem.field) for problem in caught.value.problems}
    assert places["steps.1.kontent"][0] == places["steps.1.content"][0] == 4
    assert places["final_answer"] == (1, 1, 0)


@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", '{"a": 1} 2', "\ufeff{}", "[" * 100_000, '{"a":' * 100_000])
def test_what_is_no_document_has_no_places(text):
    assert position_of(text, "a") is None


def test_a_document_may_be_deep_and_a_path_long():
    for depth in (50, 150, 5_000):
        text = '{"a":' * depth + "1" + "}" * depth
        place = position_of(text, ".".join("a" * depth))
        assert place in {None, (1, 5 * depth + 1, 5 * depth)}
        assert place or depth > 150
    assert position_of("{}", "." * 1_000_000) == (1, 1, 0)
    assert position_of(json.dumps({"." * 1_000_000: 1}), "." * 1_000_000)[2] > 1_000_000


def test_of_a_key_that_stands_there_twice_the_last_counts():
    assert position_of('{"a": 1, "a": {"b": 2}, "c": 3}', "a.b") == (1, 21, 20)


def test_a_number_of_any_length_has_a_place():
    text = f'{{"i": {"9" * (sys.get_int_max_str_digits() + 1)}}}'
    assert position_of(text, "i") == (1, 7, 6)


def paths(value, prefix=()):
    """Every path of a document, with the value there."""
    if prefix:
        yield prefix, value
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from paths(inner, (*prefix, str(key)))


KEYS = st.text(max_size=5) | st.sampled_from(["a", "b", "0", 'q"\\'])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(DOCUMENTS, st.sampled_from([None, 0, 2, "\t"]), st.booleans(), st.sampled_from([",", " , ", "\r\n,"]))
def test_the_value_at_the_place_is_the_value_at_the_path(document, indent, ascii_only, comma):
    text = " \n" + json.dumps(document, indent=indent, ensure_ascii=ascii_only, separators=(comma, " :\n"))
    values: dict = {}
    for path, value in paths(document):
        values.setdefault(".".join(path), []).append(value)
    for path, possible in values.items():
        line, column, offset = position_of(text, path)
        assert json.JSONDecoder().raw_decode(text, offset)[0] in possible
        assert (line, column) == (text[:offset].count("\n") + 1, len(text[:offset].rpartition("\n")[2]) + 1)
        key = position_of(text, path, of_key=True)[2]
        assert key == offset or path.endswith(json.JSONDecoder().raw_decode(text, key)[0])


@given(st.text(alphabet='{}[]",:0a. \n\\', max_size=40), st.text(alphabet="0a.", max_size=5))
def test_no_text_and_no_path_fails(text, path):
    found = position_of(text, path)
    try:
        json.loads(text)
    except ValueError:
        assert found is None
    else:
        assert 0 <= found[2] < len(text)
