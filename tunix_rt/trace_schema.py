"""The JSON Schema of a trace, made of the model and its bounds."""

from typing import Any, Literal

from tunix_rt.model import LIMITS_1_0, Trace


def json_schema(version: Literal["1.0", "1.1"]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a trace in this format; it cannot say that step indices are unique."""
    schema = Trace.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = f"Reasoning trace {version}"
    schema["description"] = "A prompt, the ordered steps of reasoning, and the final answer."
    fields = schema["properties"]
    fields["trace_version"] = {"const": version, "title": "Trace Version"}
    schema["required"] = ["prompt", "steps", "final_answer"]
    if version == "1.1":
        schema["required"].insert(0, "trace_version")
        return schema
    for name in ("prompt", "final_answer"):
        fields[name] |= {"type": "string", "minLength": 1, "maxLength": LIMITS_1_0[name]}
    del fields["final_answer"]["anyOf"]
    fields["steps"] |= {"minItems": 1, "maxItems": LIMITS_1_0["steps"]}
    schema["$defs"]["Step"]["properties"]["content"] |= {"minLength": 1, "maxLength": LIMITS_1_0["content"]}
    return schema
