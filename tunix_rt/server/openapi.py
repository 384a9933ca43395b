"""The description of the API (OpenAPI 3.1), made of the models that the replies are made of."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from tunix_rt._version import __version__
from tunix_rt.model import TraceRecord
from tunix_rt.server.bodies import MAX_BATCH
from tunix_rt.server.parameters import EXPORT, GROUPS, PAGE, SELECTION, Parameter
from tunix_rt.server.responses import (
    BatchCreated,
    Created,
    FlagsReply,
    GroupList,
    HealthReply,
    Refusal,
    ServiceReply,
    TraceList,
)
from tunix_rt.trace_schema import json_schema

_REPLIES = (BatchCreated, Created, FlagsReply, GroupList, HealthReply, Refusal, ServiceReply, TraceList, TraceRecord)
_REF = "#/components/schemas/"
_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-fA-F]{1,32}$"},
    "description": "The id, with or without dashes; to read, its beginning will do, if no other id begins so.",
}
_WHOLE_ID = _ID | {"schema": {"type": "string", "format": "uuid"}, "description": "The complete id."}
_WORDS = {
    400: "A batch of no traces, or of too many.",
    403: "Jupyter does not let this client in, or its XSRF token is missing.",
    404: "Not found.",
    409: "Several ids begin so, or the store is for reading only.",
    413: "A trace, or the whole body, is too large; known before the body is read.",
    415: "The body is packed.",
    422: "Parts of the request are not valid; each with its location and the problem.",
    500: "The store's file is damaged, or something else failed on the server.",
    503: "The store is busy (`Retry-After` tells when to come again), or the settings of the server are bad.",
    507: "The disk of the store is full.",
}


@cache
def document(root: str) -> dict[str, Any]:
    """The OpenAPI document of the API under the path `root`."""
    _, replies = models_json_schema([(model, "serialization") for model in _REPLIES], ref_template=_REF + "{model}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tunix_rt",
            "version": __version__,
            "description": "Reasoning traces in the default store of a Jupyter Server.",
        },
        "servers": [{"url": root}],
        "security": [{"token": []}, {"tokenInUrl": []}],
        "paths": _PATHS,
        "components": {
            "schemas": replies["$defs"] | {"NewTrace": _new_trace()},
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`token <token>` or `Bearer <token>`, as Jupyter has it; "
                    "a login cookie does as well, with the header X-XSRFToken where something is changed.",
                },
                "tokenInUrl": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


def _new_trace() -> dict[str, Any]:
    """The trace of a request: format 1.1, or 1.0 under any name; steps may be plain strings."""
    strict, loose = _with_plain_steps(json_schema("1.0")), _with_plain_steps(json_schema("1.1"))
    strict["properties"]["trace_version"] = {
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "not": {"const": "1.1"},
        "default": "1.0",
    }
    return {"title": "NewTrace", "anyOf": [strict, loose]}


def _with_plain_steps(schema: dict[str, Any]) -> dict[str, Any]:
    step = schema.pop("$defs")["Step"]
    plain = {key: value for key, value in step["properties"]["content"].items() if key != "title"}
    schema["properties"]["steps"]["items"] = {"anyOf": [step, plain]}
    schema["properties"]["meta"] = {"type": ["object", "null"], "default": None}
    del schema["$schema"]
    return schema


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF + name}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(
    name: str,
    summary: str,
    reply: tuple[int, str, Mapping[str, Any] | None],
    *refusals: int,
    parameters: Mapping[str, Parameter] | None = None,
    path: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    status, words, content = reply
    replies: dict[str, Any] = {str(status): {"description": words} | ({"content": content} if content else {})}
    for code in sorted({403, 422, 500, 503, *refusals}):
        replies.setdefault(str(code), {"description": _WORDS[code], "content": _json(_ref("Refusal"))})
    listed = [path] if path else []
    listed += [_parameter(key, value) for key, value in (parameters or {}).items()]
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "parameters": listed,
        "responses": replies,
    }
    if body:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    return operation


def _parameter(name: str, parameter: Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "in": "query", "description": parameter.meaning}
    if parameter.deprecated:
        described["deprecated"] = True
    if parameter.schema.get("type") == "object":
        return described | {"content": _json(parameter.schema)}
    return described | {"schema": parameter.schema}


_BATCH = {"type": "array", "minItems": 1, "maxItems": MAX_BATCH, "items": _ref("NewTrace")}
_FILES = {
    "application/x-ndjson": {"schema": {"type": "string"}},
    "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
}
_PATHS: dict[str, Any] = {
    "/traces": {
        "get": _operation(
            "listTraces",
            "A page of summaries, newest first.",
            (200, "The page.", _json(_ref("TraceList"))),
            parameters=PAGE | SELECTION,
        ),
        "post": _operation(
            "createTrace",
            "Stores a trace.",
            (201, "It is on disk.", _json(_ref("Created"))),
            *(409, 413, 415, 507),
            body=_ref("NewTrace"),
        ),
    },
    "/traces/batch": {
        "post": _operation(
            "createTraces",
            "Stores up to 1,000 traces, all or none.",
            (201, "They are on disk.", _json(_ref("BatchCreated"))),
            *(400, 409, 413, 415, 507),
            body=_BATCH,
        )
    },
    "/traces/export": {
        "get": _operation(
            "exportTraces",
            "The traces as a file, oldest first.",
            (200, "The file; a connection that ends early has not sent all of it.", _FILES),
            parameters=EXPORT | SELECTION,
        )
    },
    "/traces/{id}": {
        "get": _operation(
            "getTrace",
            "One trace.",
            (200, "The trace.", _json(_ref("TraceRecord"))),
            *(404, 409),
            path=_ID,
        ),
        "delete": _operation("deleteTrace", "Deletes a trace.", (204, "It is gone.", None), 404, 409, path=_WHOLE_ID),
    },
    "/groups": {
        "get": _operation(
            "listGroups",
            "The samples of each prompt and policy: how many are correct, what they teach.",
            (200, "The first 50 groups, the hardest of each policy first.", _json(_ref("GroupList"))),
            parameters=GROUPS | SELECTION,
        )
    },
    "/flags": {
        "get": _operation(
            "listFlags",
            "What to look at first: the counts of the flags that are stored.",
            (200, "The flags, the most frequent first.", _json(_ref("FlagsReply"))),
            parameters=SELECTION,
        )
    },
    "/health": {
        "get": _operation(
            "health",
            "The health of the store and of the services beside it; 503 where the store is down.",
            (200, "What was found.", _json(_ref("HealthReply"))),
        )
    },
    "/redi/health": {
        "get": _operation("rediHealth", "Whether RediAI is well.", (200, "What it said.", _json(_ref("ServiceReply"))))
    },
    "/openapi.json": {
        "get": _operation("openapi", "This document.", (200, "The document.", _json({"type": "object"}))),
    },
}
_PATHS["/health"]["get"]["responses"]["503"]["content"] = _json({"anyOf": [_ref("HealthReply"), _ref("Refusal")]})
