"""The gate notices generated files and pages that are out of date."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.generate import apply, differences
from scripts.model_server import ServerError, weights
from scripts.page_tables import filled
from scripts.settings_docs import table

FRESH = {"runyard/pool/v1/pool_pb2.py": b"new", "runyard/py.typed": b""}


def test_a_changed_a_missing_and_a_stale_file_are_differences() -> None:
    # given
    committed = {
        "runyard/pool/v1/pool_pb2.py": b"old",
        "runyard/pool/v1/gone_pb2.py": b"",
        "runyard/router/v1/router_pb2.py": b"",
    }

    # when
    everything = sorted(differences(FRESH, committed, []))
    only_pool = sorted(differences(FRESH, committed, ["pool"]))

    # then: an area leaves the files of other areas alone
    of_pool = [
        ("remove", "runyard/pool/v1/gone_pb2.py"),
        ("write", "runyard/pool/v1/pool_pb2.py"),
        ("write", "runyard/py.typed"),
    ]
    assert only_pool == of_pool
    assert everything == sorted([*of_pool, ("remove", "runyard/router/v1/router_pb2.py")])


def test_fresh_stubs_differ_in_nothing() -> None:
    assert list(differences(FRESH, dict(FRESH), [])) == []


def test_a_settings_table_is_filled_from_its_class_and_the_rest_of_the_page_is_kept() -> None:
    # given
    page = "before\n<!-- table: pool -->\nold\n<!-- end -->\nafter\n"

    # when
    written = filled(page, table)

    # then
    assert written.startswith("before\n<!-- table: pool -->\n| variable | type | default |")
    assert "| `RUNYARD_POOL_LISTEN` | text | `127.0.0.1:7404` |" in written
    assert "old" not in written
    assert written.endswith("<!-- end -->\nafter\n")
    assert filled(written, table) == written


def test_a_missing_model_says_what_to_remove(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"remove .* and run this again"):
        weights(tmp_path)


def test_changes_replace_and_remove_files(tmp_path: Path) -> None:
    # given
    (tmp_path / "runyard").mkdir()
    (tmp_path / "runyard" / "gone.py").write_text("x")

    # when
    apply([("write", "runyard/py.typed"), ("remove", "runyard/gone.py")], FRESH, tmp_path)

    # then
    assert [path.name for path in (tmp_path / "runyard").iterdir()] == ["py.typed"]
