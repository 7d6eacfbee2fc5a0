"""Reads secrets by reference; logs none.

A call looks at the files of its target once, in a thread: a volume may hang. A file is read when it
has changed since it was read last; else a look costs one look at its modification time.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TypeAlias

from services.router.clients.local_limits import local_limit
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.model import Credential, Provider

MAX_FILE_BYTES = 64 * 1024

# Device, inode, size, and when content and inode changed, in nanoseconds.
_Stamp: TypeAlias = tuple[int, int, int, int, int]

# The secret, or why there is none.
_Found: TypeAlias = "tuple[_Stamp | None, str | _MissingError | UpstreamError]"

# By path, as of the last look at it.
_files: dict[str, _Found] = {}
_readers = ThreadPoolExecutor(4, "secret-files")

MAX_DETAIL_CHARS = 500


async def look(providers: Iterable[Provider]) -> None:
    """Look at the files that have secrets of the providers; from now on the secrets are those."""
    secrets = (secret for provider in providers for secret in provider.secrets)
    paths = {secret.file for secret in secrets if secret.file}
    if paths:
        await asyncio.get_running_loop().run_in_executor(_readers, _look_at, paths)


def read_secret(provider_id: str, credential: Credential) -> str:
    """The secret behind a reference of a provider.

    Raises:
        UpstreamError: CREDENTIAL_MISSING: the variable is not set, the file cannot be read, or it
            is empty. Its detail names the reference and says what to do. LOCAL_LIMIT: this machine
            has no file descriptor to read it with.
    """
    try:
        return _secret(credential)
    except _MissingError as error:
        detail = f"provider {provider_id!r} has no credential: {error}"
        failure = Failure(FailureClass.CREDENTIAL_MISSING, detail=detail)
        raise UpstreamError(failure) from None


def masked(text: str, secrets: tuple[str, ...]) -> str:
    """What a provider said, for the caller: without the secrets, printable, not too long."""
    for secret in secrets:
        text = text.replace(secret, "***")
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable[:MAX_DETAIL_CHARS].strip()


def digest_of(provider: Provider) -> str:
    """16 hexadecimal digits that change with the secrets of a provider, those in files as of the
    last look at them.
    """
    digest = sha256()
    for credential in provider.secrets:
        try:
            # A variable may have bytes that are no text.
            secret = _secret(credential).encode("utf-8", "surrogateescape")
            digest.update(sha256(secret).digest())
        except (_MissingError, UpstreamError):
            digest.update(b"missing")
    return digest.hexdigest()[:16]


class _MissingError(Exception):
    """Names the reference, and says what to do."""


def _secret(credential: Credential) -> str:
    if credential.file:
        return _in_file(credential.file)
    secret = os.environ.get(credential.env, "")
    if secret.strip():
        return secret
    state = "is empty" if credential.env in os.environ else "is not set"
    todo = "set it where the router runs, and restart the router"
    raise _MissingError(f"environment variable {credential.env} {state}; {todo}")


def _in_file(path: str) -> str:
    if path not in _files:
        _look_at([path])
    _, found = _files[path]
    if isinstance(found, str):
        return found
    raise found if isinstance(found, UpstreamError) else _MissingError(str(found))


def _look_at(paths: Iterable[str]) -> None:
    for path in paths:
        _files[path] = _as_it_is(path, _files.get(path))


def _as_it_is(path: str, known: _Found | None) -> _Found:
    todo = "put the credential there, readable for the router"
    try:
        found = os.stat(path)
        stamp = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
        if known is not None and known[0] == stamp:
            return known
        return stamp, _content(path, found)
    except OSError as error:
        if (failure := local_limit(error)) is not None:
            # Whether it has changed cannot be told now.
            return known or (None, UpstreamError(failure))
        cause = (error.strerror or "input or output error").lower()
        return None, _MissingError(f"file {path} cannot be read ({cause}); {todo}")
    except ValueError as error:
        return None, _MissingError(f"file {path} {error}; {todo}")


def _content(path: str, found: os.stat_result) -> str:
    """Raises:
    OSError: It cannot be read.
    ValueError: It is not the file of a secret; says what it is.
    """
    # What is no regular file may never end.
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("is no regular file")
    if found.st_size > MAX_FILE_BYTES:
        raise ValueError(f"is larger than {MAX_FILE_BYTES:,} bytes")
    with open(path, "rb") as file:
        raw = file.read(MAX_FILE_BYTES)
    try:
        secret = raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8") from None
    if not secret.strip():
        raise ValueError("is empty")
    return secret
