"""The digest of a schema: byte for byte, the same in run control, in the library, in JavaScript."""

from __future__ import annotations

import json

import pytest

from runyard_worker.schemas import schema_digest as of_the_library
from services.runcontrol.core.schemas import schema_digest

# Schemas, and what JavaScript makes of them: sorted keys, JSON.stringify, SHA-256.
GOLDEN = [
    (
        "{}",
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    ),
    (
        '{"type": "object", "title": "ü"}',
        "688fb4750fecdd3e4bca0e2883ecb9d4c93980eb232252c2a4aef80b9600dcfa",
    ),
    (
        '{"b": 1, "a": {"d": [true, null, "x/y"], "c": "\\u00e9\\n\\""}}',
        "c77dd2c0e58cae3b06cdb2ac118e0091c98db1aceeac29026a8f8be83516bdd5",
    ),
    (
        '{"minimum": 1.0, "maximum": 1e3, "multipleOf": 0.1, "default": -0.0}',
        "5f20a9c71bf28333021b7c434707a7dab745b9e68f174d4d33f9590ea205dd1b",
    ),
    (
        '{"n": [1e21, 123456789012345680000, 1152921504606846976, 1e-6, 1.5e-7, -2.5e30, 4.5]}',
        "5478631c3d99d3b22e76f15ea23601342c5a6d495032d9e0f4e2bfdbfb0611b5",
    ),
    (
        '{"\\ufb33": 1, "\\ud83d\\ude00": 2, "\\u0080": 3, "\\u007f\\u001f": 4}',
        "5ba2c458b3ca05820c723aab7289ee78866542f69455a0903d8c5c2b42e4ed89",
    ),
]


@pytest.mark.parametrize(("schema", "digest"), GOLDEN)
def test_the_digest_of_a_schema(schema: str, digest: str) -> None:
    assert schema_digest(schema) == digest
    assert of_the_library(json.loads(schema)).hex() == digest


def test_no_schema_is_the_empty_one() -> None:
    assert schema_digest("") == schema_digest("{}") == GOLDEN[0][1]


@pytest.mark.parametrize(
    "schema",
    ["no json", '{"default": NaN}', '{"default": 1e999}', '{"title": "\\ud800"}', "[" * 100_000],
    ids=["no JSON", "not a number", "not finite", "half a character", "too deep"],
)
def test_a_text_without_a_digest(schema: str) -> None:
    assert schema_digest(schema) == ""
