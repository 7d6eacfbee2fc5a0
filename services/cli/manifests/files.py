"""The texts of manifests: from files, folders and standard input."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from services.cli.base.exits import EXIT_USAGE, CliError

_SUFFIXES = {".yaml", ".yml"}
# What a shell names for `-f <(command)`: a pipe that somebody writes to already.
_OPEN_ALREADY = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
_OTHER_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_files(paths: Sequence[str], stdin: str = "") -> list[tuple[str, str]]:
    """The texts of files, of the YAML files of folders, and of ``-``, standard input.

    Raises:
        CliError: A path cannot be read, or a folder holds no manifest.
    """
    texts = []
    for path in paths:
        if path == "-":
            texts.append(("standard input", stdin))
            continue
        texts += [(str(file), _text(file)) for file in _files(path)]
    return texts


def _files(named: str) -> list[Path]:
    if not named:
        raise _refused("-f names no file", "name a file, a folder, or - for standard input")
    path = Path(named)
    if not stat.S_ISDIR(_mode(path)):
        return [path]
    try:
        files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    if not files:
        raise _refused(f"no .yaml file in {path}", "name files, or a folder that holds some")
    return files


def _text(file: Path) -> str:
    mode = _mode(file)
    kind = next((name for matches, name in _OTHER_KINDS if matches(mode)), "")
    if kind and not str(file).startswith(_OPEN_ALREADY):
        hint = "name it by itself with -f" if kind == "a folder" else "pipe its content to -f -"
        raise _refused(f"{file} is {kind}, not a file", hint, reason="UNREADABLE")
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise _unreadable(file, error.strerror) from error
    except UnicodeDecodeError as error:
        raise _unreadable(file, "it is not UTF-8 text") from error


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    except ValueError as error:
        raise _unreadable(path, "it is no path") from error


def _unreadable(path: Path, why: str | None) -> CliError:
    return _refused(f"cannot read {path}: {why or 'unknown error'}", "", reason="UNREADABLE")


def _refused(message: str, hint: str, reason: str = "NO_MANIFESTS") -> CliError:
    return CliError(message, reason=reason, hint=hint, exit_code=EXIT_USAGE)
