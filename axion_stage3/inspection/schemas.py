"""JSON schemas of the documents, generated from the dataclasses they are made of."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

from axion_stage3.inspection.explanation import ExplanationDocument
from axion_stage3.inspection.tile_inspection import InspectionReport
from axion_stage3.inspection.validation_document import ValidationDocument

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DOCUMENTS: Final[dict[str, type]] = {
    "inspect-tile": InspectionReport,
    "validate": ValidationDocument,
    "explain": ExplanationDocument,
}
"""The dataclass of each command's document."""

_ATTRIBUTE: Final = re.compile(r"^        (\w+): (.*(?:\n            .*)*)", re.MULTILINE)


def schema_of(command: str) -> dict[str, Any]:
    """The JSON schema of a command's ``--json`` document.

    Args:
        command: A key of ``DOCUMENTS``.
    """
    return schema_of_document(DOCUMENTS[command])


def schema_of_document(kind: type) -> dict[str, Any]:
    """The JSON schema of a document.

    Descriptions are those of the dataclasses' docstrings; unknown properties are not allowed.

    Args:
        kind: The dataclass that the document is made from.
    """
    from pydantic import TypeAdapter

    schema = TypeAdapter(kind).json_schema(mode="serialization")
    for part in (schema, *schema.get("$defs", {}).values()):
        if part.get("type") == "object" and "properties" in part:
            _complete(part)
    return {"$schema": SCHEMA_DIALECT, **schema}


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
