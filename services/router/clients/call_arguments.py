"""Arguments of a call in the history, as every provider accepts them."""

from __future__ import annotations

import json

import msgspec

from services.router.clients.json_leaves import UNDECODABLE


def object_text(arguments_json: str) -> str:
    """The arguments as the JSON text of an object; a model may have produced none, or no JSON."""
    if not arguments_json.strip():
        return "{}"
    try:
        value = msgspec.json.decode(arguments_json)
    except UNDECODABLE:
        value = arguments_json
    if isinstance(value, dict):
        return arguments_json
    return "{}" if value is None else json.dumps({"invalid_arguments": arguments_json})
