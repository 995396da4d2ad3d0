"""The part of JSON Schema that our schemas use."""

from collections.abc import Mapping
from typing import Any

__all__ = ["check_schema"]

_TYPES: Mapping[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def check_schema(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any], where: str = "$") -> None:
    """Assert that a value is what a schema says; every key of an object is named."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "const" in schema:
        assert value == schema["const"], where
    if "enum" in schema:
        assert value in schema["enum"], where
    if "type" in schema:
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        assert any(_is(kind, value) for kind in kinds), f"{where}: {value!r} is none of {kinds}"
    if "anyOf" in schema:
        fits = []
        for each in schema["anyOf"]:
            try:
                check_schema(each, value, root, where)
                fits.append(each)
            except AssertionError:
                continue
        assert fits, where
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema.get("required", ())) <= value.keys(), where
        if schema.get("additionalProperties") is False:
            assert value.keys() <= schema["properties"].keys(), where
        for key, each in schema["properties"].items():
            if key in value:
                check_schema(each, value[key], root, f"{where}.{key}")
    if isinstance(value, list) and "items" in schema:
        for number, each in enumerate(value):
            check_schema(schema["items"], each, root, f"{where}[{number}]")


def _is(kind: str, value: Any) -> bool:
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, _TYPES[kind])
