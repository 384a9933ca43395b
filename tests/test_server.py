"""The HTTP API of a real Jupyter Server: create, list, get, delete, export, health, and what each refuses."""

import json
import re
from datetime import UTC, datetime
from uuid import UUID

import hypothesis
import pytest
from hypothesis import strategies as st

import tunix_rt as rt
from tests.served import TRACE, serving
from tunix_rt.formats import WRITERS
from tunix_rt.server.bodies import MAX_BATCH_BYTES, elements
from tunix_rt.server.error_status import BatchInvalid


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served")) as server:
        yield server


def post_many(client, n, **fields):
    reply = client.post("/traces/batch", json=[TRACE | {"prompt": f"{i} × 2?"} | fields for i in range(n)])
    assert reply.status_code == 201
    return reply.json()["traces"]


def faults(reply):
    assert reply.status_code == 422
    assert reply.headers["Content-Type"] == "application/json"
    return [(fault["loc"], fault["field"], fault["msg"]) for fault in reply.json()["detail"]]


def test_a_trace_is_created_and_read_back(client, served):
    reply = client.post("/traces", json=TRACE | {"meta": {"source": "curl", "reward": 0.5, "big": 2**80}})
    assert reply.status_code == 201
    created = reply.json()
    assert created.keys() == {"id", "created_at", "trace_version"}
    assert UUID(created["id"]).version == 7
    assert abs((datetime.now(UTC) - datetime.fromisoformat(created["created_at"])).days) <= 1
    assert created["trace_version"] == "1.0"

    # Its place is told as well.
    assert reply.headers["Location"].endswith(f"/tunix-rt/api/traces/{created['id']}")
    found = client.get(f"/traces/{created['id']}")
    assert found.status_code == 200
    record = found.json()
    assert {key: record[key] for key in created} == created
    assert record["payload"]["steps"][1] == {"i": 1, "type": "step", "content": "540 − 27 = 513"}
    assert record["payload"]["meta"] == {"source": "curl", "reward": 0.5, "big": 2**80}

    # A notebook finds the same one.
    assert rt.Trace.from_dict(record["payload"]) == served.store.get(created["id"]).payload


def test_a_trace_is_found_by_the_beginning_of_its_id(client):
    first, second = (created["id"] for created in post_many(client, 2))
    assert client.get(f"/traces/{first}").json()["payload"]["prompt"] == "0 × 2?"
    assert client.get(f"/traces/{first.replace('-', '').upper()}").json()["id"] == first
    n = next(n for n, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
    assert client.get(f"/traces/{second[: n + 1]}").json()["id"] == second
    ambiguous = client.get(f"/traces/{second[:n]}")
    assert ambiguous.status_code == 409
    assert "2 ids begin with it" in ambiguous.json()["detail"]


def test_replies_are_json_that_nobody_keeps(client):
    (created,) = post_many(client, 1)
    paths = ["/traces", f"/traces/{created['id']}", "/traces/0x", "/nothing", "/health", "/openapi.json"]
    for path in paths:
        reply = client.get(path)
        assert reply.headers["Content-Type"] == "application/json", path
        assert reply.headers["Cache-Control"] == "no-store", path
        assert reply.json() is not None


@pytest.mark.parametrize("id", ["019b76e2-4908-718c-8375-fcf4f3002c1a", "019b76e2"])
def test_an_id_that_is_not_there_is_not_found(client, id):
    assert client.get(f"/traces/{id}").status_code == 404
    assert f"trace {id} not found" in client.get(f"/traces/{id}").json()["detail"]


@pytest.mark.parametrize("id", ["nope", "0" * 33, "%20", "%FF", "1%2F2", "latest"])
def test_what_is_no_id_is_told_so(client, id):
    for reply in (client.get(f"/traces/{id}"), client.delete(f"/traces/{id}")):
        ((location, field, message),) = faults(reply)
        assert (location, field) == (["path", "id"], "id")
        assert "is not a valid id" in message


def test_a_trace_is_deleted_by_its_whole_id(client, served):
    created = post_many(client, 3)[1]["id"]
    ((_, _, message),) = faults(client.delete(f"/traces/{created[:20]}"))
    assert "give its full id" in message
    reply = client.delete(f"/traces/{created}")
    assert (reply.status_code, reply.content) == (204, b"")
    assert client.get(f"/traces/{created}").status_code == 404
    assert client.delete(f"/traces/{created}").status_code == 404
    assert served.store.count() == 2


def test_pages_lead_through_all_traces_by_offset_and_by_cursor(client):
    ids = [created["id"] for created in post_many(client, 25)][::-1]
    first = client.get("/traces").json()
    assert [summary["id"] for summary in first["data"]] == ids[:20]
    assert first["pagination"] == {
        "limit": 20,
        "offset": 0,
        "next_offset": 20,
        "next": first["pagination"]["next"],
    }
    last = client.get("/traces", params={"offset": 20}).json()
    assert [summary["id"] for summary in last["data"]] == ids[20:]
    assert last["pagination"] == {"limit": 20, "offset": 20, "next_offset": None, "next": None}

    found, params = [], {"limit": 7}
    while True:
        page = client.get("/traces", params=params).json()
        found += [summary["id"] for summary in page["data"]]
        if page["pagination"]["next"] is None:
            break
        params["after"] = page["pagination"]["next"]
        # What comes meanwhile moves nothing.
        client.post("/traces", json=TRACE)
    assert found == ids


def test_lists_leave_the_payload_out(client):
    post_many(client, 1, meta={"source": "rollouts"})
    (summary,) = client.get("/traces").json()["data"]
    assert summary.keys() == set(rt.TraceSummary.model_fields)
    assert (summary["preview"], summary["answer"], summary["source"]) == ("0 × 2?", "513", "rollouts")
    assert (summary["n_steps"], summary["n_chars"]) == (2, 36)


def test_lists_have_the_scores_that_are_requested_and_a_trace_has_all(client, served):
    right, _ = post_many(client, 2, meta={"expected_answer": "513", "reward": 1})
    served.store.score(lambda trace: trace.payload.prompt[0] == "0", name="answer", progress=False)
    served.store.score("length", progress=False)
    data = client.get("/traces?scores=answer,loop").json()["data"]
    assert [one["scores"] for one in data] == [
        {"answer": {"value": value, "label": None, "reason": None, "flag": False}} for value in (0, 1)
    ]
    assert data[0]["facts"] == {"expected_answer": "513", "reward": 1}
    assert client.get("/traces").json()["data"][0]["scores"] == {}
    assert client.get(f"/traces/{right['id']}").json()["scores"].keys() == {"answer", "length"}
    assert client.get("/traces?scores=!loop").json()["detail"][0]["field"] == "scores"


def test_an_empty_store_has_an_empty_page(client):
    assert client.get("/traces").json() == {
        "data": [],
        "pagination": {"limit": 20, "offset": 0, "next_offset": None, "next": None},
        "note": None,
    }


@pytest.mark.parametrize(
    ("parameter", "value", "why"),
    [
        *(("limit", value, "must be a whole number from 1 to 100") for value in (0, 101, -1, "ten", "1.5", "", "٣")),
        *(("offset", value, "must be a whole number") for value in (-1, "x", 10**30)),
        ("after", "nothing", "is not a valid cursor"),
        ("min_steps", "-1", "must be a whole number"),
        ("max_chars", "many", "must be a whole number"),
        ("training_step", "many", "must be a number of at most 1.8e308"),
        ("training_step", "true", "must be a number"),
        ("training_step", "1e999", "must be a number"),
        ("since", "yesterday", "must be a time such as"),
        *(("since", f"{year}-01-01", "must be a time such as") for year in ("0000", "99999", "-0001")),
        ("limit", "9" * 5_000, "must be a whole number from 1 to 100"),
        ("meta", "{", "is not valid JSON"),
        ("meta", "a<[1]", "only numbers and texts have an order"),
        (
            "where",
            "true",
            "unknown parameter; known are limit, offset, after, order_by, descending, scores, text, source",
        ),
        ("ids", "0", "unknown parameter"),
        ("lim\nit", "5", "unknown parameter"),
    ],
)
def test_a_parameter_that_means_nothing_is_named(client, parameter, value, why):
    ((location, field, message),) = faults(client.get("/traces", params={parameter: value}))
    assert (location, field) == (["query", parameter], parameter)
    assert why in message


def test_parameters_are_told_all_at_once(client):
    found = faults(client.get("/traces?limit=0&limit=1&offset=1&offset=2&nope=&text=x&token=t"))
    assert [field for _, field, _ in found] == ["limit", "offset", "nope"]
    ((location, _, message),) = faults(client.get("/traces?text=%FF"))
    assert (location, "cannot be read" in message) == (["query"], True)


def test_routes_without_parameters_take_none(client):
    for reply in (
        client.post("/traces?limit=3", json=TRACE),
        client.post("/traces/batch?x=3", json=[TRACE]),
        client.get("/health?x=3"),
        client.get("/traces/00?x=3"),
    ):
        ((_, _, message),) = faults(reply)
        assert message == "unknown parameter; known are none"
    assert client.get("/traces").json()["data"] == []


META = {"source": "a", "reward": 1, "grader": {"name": "exact"}, "model": "m", "run": "r", "training_step": 20}


def test_the_old_name_of_a_filter_still_works(client):
    client.post("/traces", json=TRACE)
    for path in ("/traces", "/traces/export"):
        reply = client.get(path, params={"version": "1.0"})
        assert reply.text.count('"trace_version":"1.0"') == 1
        assert reply.headers["Warning"] == '299 - "the filter version is now trace_version"'
        assert "Warning" not in client.get(path, params={"trace_version": "1.0"}).headers
    ((_, _, message),) = faults(client.get("/traces", params={"version": "1.0", "trace_version": "1.0"}))
    assert "use only one of them" in message


def test_lists_and_exports_take_the_filters_of_the_store(client):
    post_many(client, 3, meta=META)
    client.post(
        "/traces", json={"prompt": "Eier & Öl +1", "steps": ["s"] * 5, "final_answer": None, "trace_version": "1.1"}
    )
    (other,) = post_many(client, 1, meta={"source": "b"})
    moment = other["created_at"]
    for params, n in [
        ({"source": "a"}, 3),
        ({"text": "eier & öl +"}, 1),
        ({"text": "\0"}, 0),
        ({"min_steps": 5}, 1),
        ({"max_steps": 4}, 4),
        ({"min_chars": 20}, 4),
        ({"max_chars": 19}, 1),
        ({"trace_version": "1.1"}, 1),
        ({"model": "m"}, 3),
        ({"run": "r", "training_step": "20"}, 3),
        ({"training_step": "2e1"}, 3),
        ({"training_step": "21"}, 0),
        ({"since": "2h"}, 5),
        ({"since": moment}, 1),
        ({"until": moment}, 4),
        ({"until": "2020-01-31"}, 0),
        ({"until": "0001-01-01"}, 0),
        ({"since": "9999-12-31T23:59:59.999999Z"}, 0),
        # Beyond either end of the calendar in UTC.
        ({"until": "0001-01-01T00:00:00+23:59"}, 0),
        ({"since": "0001-01-01T00:00:00+23:59"}, 5),
        ({"until": "9999-12-31T23:59:59-23:59"}, 5),
        ({"since": "9999-12-31T23:59:59-23:59"}, 0),
        ({"meta": json.dumps({"reward": 1, "grader.name": "exact"})}, 3),
        ({"meta": json.dumps({'wei"rd \\ key\0': None, "*": None, "$.a[0]": None})}, 5),
        ({"meta": 'reward>=1, "grader.name"=exact, model!=x, !truncated'}, 3),
        ({"meta": "!reward"}, 2),
        ({"source": "a", "text": "0 × 2"}, 1),
    ]:
        assert len(client.get("/traces", params=params).json()["data"]) == n, params
        lines = client.get("/traces/export", params=params).text.splitlines()
        assert len(lines) == n, params


def test_lists_come_in_the_order_that_was_requested(client):
    for reward in (-0.125, "a", 7, -1.5):
        post_many(client, 1, meta={"reward": reward})
    params = {"order_by": "meta.reward", "descending": "true", "limit": 3}
    first = client.get("/traces", params=params).json()
    rest = client.get("/traces", params=params | {"after": first["pagination"]["next"]}).json()
    found = [client.get(f"/traces/{one['id']}").json() for one in first["data"] + rest["data"]]
    assert [one["payload"]["meta"]["reward"] for one in found] == [7, -0.125, -1.5, "a"]
    assert client.get("/traces", params={"meta": "rewrad<1"}).json()["note"] == "no trace has meta.rewrad"
    bad = {"order_by": "reward", "descending": "yes", "meta": "reward<[1]"}
    assert {field for _, field, _ in faults(client.get("/traces", params=bad))} == set(bad)
    reply = client.get("/traces", params={"after": first["pagination"]["next"]})
    assert (reply.status_code, "is a cursor of a page in another order" in reply.text) == (422, True)


def test_a_bad_trace_is_told_field_by_field(client):
    bad = {"prompt": "p", "steps": [{"i": 0, "type": "s", "content": ""}, {"i": 1, "type": "s"}], "answer": "a"}
    found = faults(client.post("/traces", json=bad))
    assert (["body", "steps", 1, "content"], "steps.1.content", "missing; every trace needs it") in found
    assert (["body", "final_answer"], "final_answer", "missing; every trace needs it") in found
    assert (["body", "answer"], "answer") in [fault[:2] for fault in found]

    empty = TRACE | {"steps": [{"i": 0, "type": "s", "content": ""}]}
    assert faults(client.post("/traces", json=empty)) == [
        (["body", "steps", 0, "content"], "steps.0.content", "must not be empty")
    ]
    twice = TRACE | {"steps": [{"i": 0, "type": "s", "content": "c"}] * 2}
    ((location, _, message),) = faults(client.post("/traces", json=twice))
    assert location == ["body", "steps"]
    assert "unique" in message
    assert client.get("/traces").json()["data"] == []


def test_a_key_that_is_a_large_number_is_named(client):
    key = "9" * 5_000
    ((location, field, _),) = faults(client.post("/traces", json=TRACE | {"meta": {key: "\0"}}))
    assert (location, field) == (["body", "meta", key], f"meta.{key}")
    ((location, _, _),) = faults(client.post("/traces/batch", json=[TRACE | {key: 1}]))
    assert location == ["body", 0, key]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "invalid JSON at line 1, column 0"),
        (b'{"prompt": "p",\n oops', "invalid JSON at line 2, column"),
        (b'{"prompt": "\xff"}', "invalid JSON at line 1, column"),
        (b"[" * 10_000, "invalid JSON at line 1, column"),
        (b"\x1f\x8b\x08\x00", "invalid JSON at line 1, column"),
        (b"[]", "must be an object"),
        (b"null", "must be an object"),
    ],
)
def test_a_body_that_is_no_trace_is_told_with_its_place(client, body, why):
    ((location, field, message),) = faults(client.post("/traces", content=body))
    assert (location, field) == (["body"], None)
    assert why in message


def test_only_so_many_faults_are_told(client):
    steps = [{"i": i, "type": "", "content": "c"} for i in range(1_000)]
    assert len(faults(client.post("/traces", json=TRACE | {"steps": steps}))) == 100


def test_a_batch_is_stored_in_its_order(client, served):
    reply = client.post("/traces/batch", json=[TRACE | {"prompt": f"{n}"} for n in range(1_000)])
    assert reply.status_code == 201
    assert reply.json()["created_count"] == 1_000
    traces = reply.json()["traces"]
    assert [trace.keys() for trace in traces] == [{"id", "created_at", "trace_version"}] * 1_000
    assert [str(record.id) for record in served.store.records(newest_first=False)] == [trace["id"] for trace in traces]
    assert served.store.get(traces[7]["id"]).payload.prompt == "7"


def test_a_batch_is_stored_whole_or_not_at_all(client):
    bad = TRACE | {"steps": [TRACE["steps"][0], 5]}
    found = faults(client.post("/traces/batch", json=[TRACE, bad, TRACE, 7]))
    assert [(location, field) for location, field, _ in found] == [
        (["body", 1, "steps", 1], "1.steps.1"),
        (["body", 3], "3"),
    ]
    assert client.get("/traces").json()["data"] == []


def test_a_field_that_no_reply_can_hold_is_told_by_its_escape(client):
    body = b'{"prompt": "p", "steps": ["s"], "final_answer": "a", "meta": {"\\ud800": {"b": "\\udfff", "c": NaN}}}'
    for path, sent, at in (("/traces", body, ""), ("/traces/batch", b"[%b]" % body, "0.")):
        told = faults(client.post(path, content=sent))
        assert [field for _, field, _ in told] == [f'{at}meta."\\ud800"', f"{at}meta.\\ud800.b"]


@pytest.mark.parametrize(
    ("batch", "why"),
    [([], "at least one"), ([0] * 1_001, "batch of more than 1,000 traces exceeds maximum of 1,000")],
)
def test_a_batch_of_none_or_of_too_many_is_refused(client, batch, why):
    reply = client.post("/traces/batch", json=batch)
    assert reply.status_code == 400
    assert why in reply.json()["detail"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
# What looks like JSON, and now and then is.
SIGNS = st.lists(
    st.sampled_from(["[", "]", "{", "}", ",", ":", '"', "\\", '\\"', '"k":1', "1", "[]", "{}", "null", " ", "\n"]),
    max_size=12,
).map("".join)


@hypothesis.given(st.lists(JSON, max_size=5).map(json.dumps) | SIGNS.map("[{}]".format) | SIGNS)
def test_an_array_is_split_where_json_splits_it(text):
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    try:
        found = [json.loads(text.encode()[start:end]) for start, end in elements(text.encode(), 2**20)]
    except BatchInvalid:
        assert not isinstance(whole, list) or whole == []
    except (ValueError, rt.TraceInvalid):
        assert not isinstance(whole, list)
    else:
        assert found == whole


@pytest.mark.parametrize("inside", [b"[],", b"[[1],{}],", b'{"a":""},', b"1,", b'"', b'"\\', b"["])
def test_a_batch_of_small_things_is_refused_before_it_is_read(client, inside):
    n = 3 * 2**20 // len(inside)
    for body in (b"[" + inside * n + b"0]", b"[[" + inside * n + b"0]]"):
        reply = client.post("/traces/batch", content=body)
        assert reply.status_code in {400, 413, 422}
    assert client.get("/traces").json()["data"] == []


def test_a_fault_in_a_batch_is_told_with_its_place_in_the_body(client):
    good = json.dumps(TRACE, ensure_ascii=False)
    for body, line, column in [
        (f"[{good}, {{oops}}]", 1, len(good) + 5),
        (f"[{good},\n {good}, {{oops}}]", 2, len(good) + 5),
        (f"[{good},]", 1, len(good) + 2),
        (f"[{good}", 1, len(good) + 1),
        (f"[{good}] x", 1, len(good) + 2),
    ]:
        ((location, _, message),) = faults(client.post("/traces/batch", content=body.encode()))
        assert location == ["body"]
        assert message.startswith(f"invalid JSON at line {line}, column {column}: "), message


def test_texts_of_a_batch_may_be_escaped(client):
    # 1.4 MB on their way, 0.7 MB in the store.
    given = {"trace_version": "1.1", "prompt": "p", "steps": [], "final_answer": "数" * 230_000}
    body = json.dumps([given])
    assert len(body) > 2**20
    assert client.post("/traces/batch", content=body.encode()).status_code == 201
    assert client.get("/traces").json()["data"][0]["n_chars"] == 230_001


@pytest.mark.parametrize("body", [b"{}", b"7", b"[7", b""])
def test_a_body_that_is_no_batch_is_told(client, body):
    ((location, _, message),) = faults(client.post("/traces/batch", content=body))
    assert location == ["body"]
    assert "JSON" in message or "array" in message


def test_a_trace_that_is_too_large_is_refused(client, served):
    # In format 1.1 only the size of the whole bounds it.
    large = {"trace_version": "1.1", "prompt": "p", "steps": [], "final_answer": "x" * 2**20}
    reply = client.post("/traces", json=large)
    assert reply.status_code == 413
    assert re.fullmatch(r"body of 1,\d{3},\d{3} bytes exceeds maximum of 1,048,576 bytes", reply.json()["detail"])

    reply = client.post("/traces/batch", json=[TRACE, large])
    assert reply.status_code == 413
    assert "traces.1: trace of 1,048,641 bytes exceeds maximum of 1,048,576 bytes" in reply.json()["detail"]

    # As short as it may be in the body, and longer as the store keeps it.
    just = json.dumps(TRACE | {"trace_version": "1.1"}, ensure_ascii=False, separators=(",", ":"))
    filled = just.replace("513", "5" * (2**20 - len(just.encode())), 1)
    reply = client.post("/traces", content=filled.encode())
    assert reply.status_code == 413
    assert "trace of" in reply.json()["detail"]
    assert served.store.count() == 0


@pytest.mark.parametrize(("path", "maximum"), [("/traces", 2**20), ("/traces/batch", MAX_BATCH_BYTES)])
def test_the_size_is_refused_before_the_body_is_there(served, path, maximum):
    for length in (maximum + 1, 10**12):
        # Nothing behind the head is sent.
        with served.asking("POST", path, Content_Length=length) as connection, connection.getresponse() as reply:
            assert reply.status == 413
            assert f"body of {length:,} bytes exceeds maximum of {maximum:,}" in json.loads(reply.read())["detail"]


def test_a_client_that_asks_first_is_refused_or_told_to_go_on(served):
    with served.asking("POST", "/traces", Content_Length=2_000_000, Expect="100-continue") as connection:
        said = connection.sock.makefile("rb").read()
    assert said.startswith(b"HTTP/1.1 413 ")
    assert said.count(b"HTTP/1.1") == 1
    body = json.dumps(TRACE).encode()
    with served.asking("POST", "/traces", Content_Length=len(body), Expect="100-continue") as connection:
        said = connection.sock.makefile("rb")
        assert said.readline().startswith(b"HTTP/1.1 100 ")
        connection.send(body)
        said.readline()
        assert said.readline().startswith(b"HTTP/1.1 201 ")


def test_a_refusal_is_heard_and_the_connection_goes_on(client):
    for content in (b" " * 20_000_000, (b" " * 2**16 for _ in range(300))):
        assert client.post("/traces", content=content).status_code == 413
        # On the same connection, which the pool has kept.
        assert client.get("/nothing").status_code == 404
        assert client.get("/traces").json()["data"] == []


def test_a_client_that_sends_without_end_is_cut_off(served):
    asking = served.asking("POST", "/traces", Transfer_Encoding="chunked")
    # A reset or a broken pipe, as it happens.
    with asking as connection, pytest.raises(OSError):  # noqa: PT011
        while True:
            connection.send(b"100000\r\n" + b" " * 2**20 + b"\r\n")
    assert served.client.get("/health").status_code == 200


def test_a_body_of_unknown_length_ends_where_it_is_too_large(client, served):
    def body():
        for _ in range(100):
            yield b" " * 2**16

    reply = client.post("/traces", content=body())
    assert reply.status_code == 413
    assert "more than 1,048,576 bytes exceeds maximum" in reply.json()["detail"]
    # In pieces, but small enough, it is like any other.
    assert client.post("/traces", content=iter([b" " * 2**16, json.dumps(TRACE).encode()])).status_code == 201
    assert served.store.count() == 1


def test_bodies_that_are_not_asked_for_are_passed_over(client):
    (created,) = post_many(client, 1)
    assert client.request("GET", "/traces", content=b"x" * 10**6).status_code == 200
    assert client.request("DELETE", f"/traces/{created['id']}", content=b"x" * 3 * 10**6).status_code == 204


def test_a_packed_body_is_refused(client):
    reply = client.post("/traces", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert reply.status_code == 415
    assert "compressed" in reply.json()["detail"]


def test_other_methods_are_told_which_there_are(client):
    for method, path, allowed in [
        ("PUT", "/traces", {"GET", "POST", "OPTIONS"}),
        ("GET", "/traces/batch", {"POST", "OPTIONS"}),
        ("PATCH", "/traces/00", {"GET", "DELETE", "OPTIONS"}),
        ("HEAD", "/traces/export", {"GET", "OPTIONS"}),
    ]:
        reply = client.request(method, path)
        assert reply.status_code == 405
        assert set(reply.headers["Allow"].split(", ")) == allowed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no rows were written")
def test_an_export_is_what_the_store_writes(client, served, tmp_path):
    post_many(client, 50, meta={"correct": True})
    for name in WRITERS:
        reply = client.get("/traces/export", params={"format": name})
        assert reply.status_code == 200
        served.store.export(tmp_path / "there", format=name)
        assert reply.content == (tmp_path / "there").read_bytes(), name
        lines = name not in {"parquet", "tunix_rl"}
        assert reply.headers["Content-Type"] == ("application/x-ndjson" if lines else "application/vnd.apache.parquet")
        assert f"traces{'.jsonl' if lines else '.parquet'}" in reply.headers["Content-Disposition"]
    # And goes back in where it came from, without a difference.
    copy = rt.TraceStore(tmp_path / "copy.duckdb")
    copy.load(client.get("/traces/export").content)
    assert list(copy.records()) == list(served.store.records())
    parquet = client.get("/traces/export", params={"format": "parquet"}).content
    served.store.score("length", progress=False)
    assert client.get("/traces/export", params={"format": "parquet"}).content == parquet
    assert copy.load(client.get("/traces/export").content, progress=False).scores_added == 50
    assert b'"scores"' not in client.get("/traces/export", params={"scores": "false"}).content
    ((_, _, message),) = faults(client.get("/traces/export", params={"scores": "no"}))
    assert "scores=no: must be true or false" in message


def test_an_export_of_nothing_is_empty(client):
    reply = client.get("/traces/export")
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["Content-Type"] == "application/x-ndjson"


def test_an_unknown_export_format_is_told(client):
    ((location, _, message),) = faults(client.get("/traces/export", params={"format": "zip"}))
    assert location == ["query", "format"]
    assert "known are trace, parquet" in message


def test_health_is_told(client):
    post_many(client, 2)
    reply = client.get("/health")
    assert reply.status_code == 200
    told = reply.json()
    assert told["status"] == told["store"]["status"] == "healthy"
    assert told["store"]["n_traces"] == 2
    assert told["services"] == {"rediai": {"status": "off", "mode": "off"}}
    assert client.get("/redi/health").json() == {"status": "off", "mode": "off"}


def test_groups_are_counted_over_the_samples_of_a_prompt(client):
    for n in range(5):
        meta = {"source": "grouped", "correct": n < 3, "run": f"r{n % 2}"}
        assert client.post("/traces", json=TRACE | {"meta": meta}).status_code == 201
    reply = client.get("/groups", params={"source": "grouped"})
    assert reply.status_code == 200
    found = reply.json()
    assert (found["groups"], found["samples"], found["levels"]) == (1, 5, {"informative": 1})
    (policy,) = found["policies"]
    assert (policy["source"], policy["model"], policy["pass_at_1"]["n"]) == ("grouped", None, 1)
    assert found["data"][0]["correct"] == 3
    split = client.get("/groups", params={"source": "grouped", "by": "run,prompt"}).json()
    assert [row["run"] for row in split["data"]] == ["r1", "r0"]
    assert client.get("/groups", params={"by": "nothing"}).status_code == 422
