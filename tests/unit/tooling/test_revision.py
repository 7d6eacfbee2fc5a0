"""Which revision the code is: of a checkout, of a wheel, or nobody knows."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.build_hook import RevisionHook, revision_of
from services.chassis.revision import checkout_revision, running_revision
from services.chassis.service import ServerFacts
from services.chassis.store.port import StoreInfo
from tests.support.stack import exported

HASH = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
ROOT = Path(__file__).resolve().parents[3]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def loose(root: Path) -> None:
    write(root / ".git" / "HEAD", "ref: refs/heads/main\n")
    write(root / ".git" / "refs" / "heads" / "main", f"{HASH}\n")


def packed(root: Path) -> None:
    write(root / ".git" / "HEAD", "ref: refs/heads/a/b\n")
    packs = f"# pack-refs with: peeled\n{OTHER} refs/heads/a\n{HASH} refs/heads/a/b\n^{OTHER}\n"
    write(root / ".git" / "packed-refs", packs)


def detached(root: Path) -> None:
    write(root / ".git" / "HEAD", f"{HASH}\n")


def linked(root: Path) -> None:
    """A working tree beside another one, whose branches are kept over there."""
    main = root / "main" / ".git"
    write(root / ".git", "gitdir: main/.git/worktrees/beside\n")
    write(main / "worktrees" / "beside" / "HEAD", "ref: refs/heads/topic\n")
    write(main / "worktrees" / "beside" / "commondir", "../..\n")
    write(main / "refs" / "heads" / "topic", f"{HASH}\n")


@pytest.mark.parametrize("layout", [loose, packed, detached, linked])
def test_the_revision_of_a_checkout_is_read_however_git_has_written_it(
    layout: Callable[[Path], None], tmp_path: Path
) -> None:
    layout(tmp_path)
    assert checkout_revision(tmp_path) == HASH


def unborn(root: Path) -> None:
    write(root / ".git" / "HEAD", "ref: refs/heads/main\n")


def strange(root: Path) -> None:
    write(root / ".git" / "HEAD", "who knows\n")


def one_word(root: Path) -> None:
    write(root / ".git" / "HEAD", "nonsense\n")


def symbolic(root: Path) -> None:
    """A branch that names another one, as no branch of a checkout does."""
    write(root / ".git" / "HEAD", "ref: refs/heads/main\n")
    write(root / ".git" / "refs" / "heads" / "main", "ref: refs/heads/other\n")


def binary(root: Path) -> None:
    (root / ".git").mkdir()
    (root / ".git" / "HEAD").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize("layout", [unborn, strange, one_word, symbolic, binary, lambda root: None])
def test_whatever_is_no_checkout_has_none(layout: Callable[[Path], None], tmp_path: Path) -> None:
    layout(tmp_path)
    assert checkout_revision(tmp_path) == ""


def test_this_checkout_is_what_git_says_it_is() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    said = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    )
    assert running_revision() == said.stdout.strip()
    assert ServerFacts.of("probe", StoreInfo("none", "0", "none"), []).commit == running_revision()


def test_a_build_records_what_it_is_told_else_the_checkout_else_what_its_source_records(
    tmp_path: Path,
) -> None:
    # given a source archive that records a revision, without the code that reads a checkout
    write(tmp_path / "COMMIT", f"{HASH}\n")
    code = tmp_path / "services" / "chassis" / "revision.py"
    write(code, "def checkout_revision(root): return ''")

    # then
    assert revision_of(tmp_path) == HASH
    with exported({"RUNYARD_COMMIT": OTHER}):
        assert revision_of(tmp_path) == OTHER
    write(code, f"def checkout_revision(root): return {'e' * 40!r}")
    assert revision_of(tmp_path) == "e" * 40


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
