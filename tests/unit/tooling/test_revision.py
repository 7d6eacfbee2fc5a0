"""Which revision a build records, and that a server reports the recorded one."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from scripts.build_hook import FILE, RevisionHook, revision_of
from services.chassis.server.revision import DISTRIBUTION, RECORDED, recorded_revision
from services.chassis.server.service import ServerFacts
from services.chassis.store.port import StoreInfo
from tests.support.stack import exported

HASH = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
ROOT = Path(__file__).resolve().parents[3]
COMMIT = ("commit", "--quiet", "--allow-empty", "--message=work")


def git(root: Path, *words: str) -> str:
    options = ("-C", str(root), "-c", "user.name=a", "-c", "user.email=a@example.com")
    run = subprocess.run(["git", *options, *words], check=True, capture_output=True)
    return run.stdout.decode().strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit."""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, *COMMIT)
    return tmp_path


def test_a_build_takes_the_variable_else_head_of_its_checkout(checkout: Path) -> None:
    assert revision_of(checkout) == git(checkout, "rev-parse", "HEAD")
    with exported({"RUNYARD_COMMIT": OTHER}):
        assert revision_of(checkout) == OTHER


def test_a_linked_working_tree_has_its_own_head(checkout: Path) -> None:
    first, beside = git(checkout, "rev-parse", "HEAD"), checkout / "beside"
    git(checkout, "worktree", "add", "--quiet", "-b", "topic", str(beside))
    git(checkout, *COMMIT)
    assert revision_of(beside) == first


def test_a_checkout_goes_before_what_a_source_archive_recorded(checkout: Path) -> None:
    (checkout / FILE).write_text(f"{HASH}\n")
    assert revision_of(checkout) == git(checkout, "rev-parse", "HEAD")


def test_an_archive_inside_another_checkout_keeps_its_recorded_revision(checkout: Path) -> None:
    archive = checkout / "archive"
    archive.mkdir()
    assert revision_of(archive) == ""
    (archive / FILE).write_text(f"{HASH}\n")
    assert revision_of(archive) == HASH


def test_a_checkout_without_a_commit_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert revision_of(tmp_path) == ""


def test_without_git_a_checkout_has_none(checkout: Path, tmp_path: Path) -> None:
    with exported({"PATH": str(tmp_path)}):
        assert revision_of(checkout) == ""


def test_a_server_reports_the_recorded_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an installed distribution in front of every other
    installed = tmp_path / f"{DISTRIBUTION.replace('-', '_')}-1.dist-info"
    recorded = installed / RECORDED
    recorded.parent.mkdir(parents=True)
    (installed / "METADATA").write_text(f"Name: {DISTRIBUTION}\nVersion: 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert metadata.version(DISTRIBUTION) == "1"
    assert recorded_revision() == ""

    # when
    recorded.write_text(f"{HASH}\n")

    # then
    assert recorded_revision() == HASH
    assert ServerFacts.of("probe", StoreInfo("none", "0", "none"), []).commit == HASH


@pytest.mark.parametrize(("version", "kept"), [("standard", 1), ("editable", 0)])
def test_an_editable_install_records_nothing_since_its_checkout_goes_on(
    version: str, kept: int
) -> None:
    # given a build of this source
    hook = RevisionHook(str(ROOT), {}, None, None, "", "wheel")
    build: dict[str, dict[str, str]] = {"extra_metadata": {}}

    # when
    with exported({"RUNYARD_COMMIT": HASH}):
        hook.initialize(version, build)
    read = [Path(file).read_text() for file in build["extra_metadata"]]
    hook.finalize(version, build, "")

    # then
    assert read == [f"{HASH}\n"] * kept
