"""Where manifests are read from, and what is refused with a sentence."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.manifests.files import read_files
from services.cli.manifests.resources import load


def test_manifests_come_from_files_folders_and_standard_input(tmp_path: Path) -> None:
    # given a folder with manifests and something else
    (tmp_path / "b.yml").write_text("kind: Agent\nid: b\n")
    (tmp_path / "a.yaml").write_text("kind: Agent\nid: a\n")
    (tmp_path / "notes.txt").write_text("no manifest")

    # when it is read together with standard input
    texts = read_files([str(tmp_path), "-"], stdin="kind: Agent\nid: c\n")

    # then
    assert [r.agent.id for r in load(texts).resources] == ["a", "b", "c"]
    assert texts[2][0] == "standard input"


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (os.mkfifo, "x.yaml is a FIFO, not a file"),
        (listening, "x.yaml is a socket, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "x.yaml is a device, not a file"),
        (lambda path: path.symlink_to(path), "x.yaml: Too many levels of symbolic links"),
        (lambda path: path.symlink_to("gone"), "x.yaml: No such file or directory"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "x.yaml: it is not UTF-8 text"),
    ],
)
def test_what_is_no_file_is_told_and_not_waited_for(
    tmp_path: Path, make: Callable[[Path], object], complaint: str, inside: bool
) -> None:
    # given a path by itself, and the same one in a folder that is named
    path = tmp_path / "x.yaml"
    make(path)

    # when
    with pytest.raises(CliError) as refused:
        read_files([str(tmp_path if inside else path)])

    # then
    assert refused.value.message.endswith(complaint)
    assert (refused.value.reason, refused.value.exit_code) == ("UNREADABLE", EXIT_USAGE)


@pytest.mark.parametrize(
    ("named", "complaint"),
    [
        ("", "-f names no file"),
        ("/nowhere.yaml", "cannot read /nowhere.yaml: No such file or directory"),
        ("n" * 5000, "File name too long"),
        ("a\0b", "it is no path"),
        ("{tmp}/empty", "no .yaml file in {tmp}/empty"),
        ("{tmp}/nested", "{tmp}/nested/x.yaml is a folder, not a file"),
    ],
)
def test_a_name_that_leads_nowhere_is_wrong_use(tmp_path: Path, named: str, complaint: str) -> None:
    # given
    (tmp_path / "empty").mkdir()
    (tmp_path / "nested" / "x.yaml").mkdir(parents=True)

    # when
    with pytest.raises(CliError) as refused:
        read_files([named.format(tmp=tmp_path)])

    # then
    assert complaint.format(tmp=tmp_path) in refused.value.message
    assert refused.value.exit_code == EXIT_USAGE


def test_a_folder_that_is_named_like_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").mkdir()
    (tmp_path / "x.yaml" / "a.yaml").write_text("kind: Agent\nid: a\n")
    ((file, _),) = read_files([str(tmp_path / "x.yaml")])
    assert file == f"{tmp_path}/x.yaml/a.yaml"


def test_a_pipe_that_is_open_already_is_read() -> None:
    # given what a shell passes for -f <(command)
    reading, writing = os.pipe()
    os.write(writing, b"kind: Agent\nid: a\n")
    os.close(writing)
    try:
        # when
        ((_, text),) = read_files([f"/dev/fd/{reading}"])
    finally:
        os.close(reading)

    # then
    assert text == "kind: Agent\nid: a\n"
