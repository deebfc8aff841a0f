"""JSON schemas of documents, generated from the dataclasses that they are made from."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_ATTRIBUTE: Final = re.compile(r"^        (\w+): (.*(?:\n            .*)*)", re.MULTILINE)


def schema_of(kind: type, version: int, command: str) -> dict[str, Any]:
    """The JSON schema of a document.

    Descriptions are those of the dataclasses' docstrings; unknown properties are not allowed, nor
    the document of another command or version.

    Args:
        kind: The dataclass that the document is made from.
        version: Its ``schema_version``.
        command: Its ``command``.
    """
    from pydantic import TypeAdapter

    schema = TypeAdapter(kind).json_schema(mode="serialization")
    for part in (schema, *schema.get("$defs", {}).values()):
        if part.get("type") == "object" and "properties" in part:
            _complete(part)
    schema["properties"]["schema_version"]["const"] = version
    schema["properties"]["command"]["const"] = command
    title = f"axion-stage3 {command} --json, version {version}"
    return {"$schema": SCHEMA_DIALECT, **schema, "title": title}


def _complete(part: dict[str, Any]) -> None:
    """Close an object for unknown properties, and describe its properties."""
    part["additionalProperties"] = False
    docstring = part.pop("description", "")
    part["description"] = docstring.partition("\n")[0]
    part["required"] = list(part["properties"])
    described = dict(_ATTRIBUTE.findall(_indented(docstring)))
    for name, schema in part["properties"].items():
        if name in described:
            schema["description"] = " ".join(described[name].split())


def _indented(docstring: str) -> str:
    """A docstring as pydantic hands it on, with the indentation it has in the source."""
    first, _, rest = docstring.partition("\n")
    return first + "\n" + "\n".join(f"    {line}" for line in inspect.cleandoc(rest).splitlines())
