"""The schema of what sdrt's listings print as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.compare.schema import check_schema

__all__ = ["LISTINGS", "check_listing"]

LISTINGS: Mapping[str, Any] = json.loads((Path(__file__).parents[1] / "docs" / "listings.schema.json").read_text(encoding="utf-8"))


def check_listing(kind: str, document: Any) -> None:
    """Assert that a document is what the schema says of its kind."""
    check_schema({"$ref": f"#/$defs/{kind}"}, document, LISTINGS)
