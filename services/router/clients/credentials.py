"""Reads secrets by reference; logs none.

A file is read when it has changed since it was read last; else a call costs one look at its
modification time.
"""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from typing import TypeAlias

from services.router.clients.local_limits import local_limit
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.model import Credential, Provider

MAX_FILE_BYTES = 64 * 1024

# Device, inode, size, and when content and inode changed, in nanoseconds.
_Stamp: TypeAlias = tuple[int, int, int, int, int]

# By path, for as long as the file stays as it is.
_files: dict[str, tuple[_Stamp, str]] = {}

MAX_DETAIL_CHARS = 500


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
    """16 hexadecimal digits that change with the secrets of a provider as they are now."""
    digest = sha256()
    for credential in provider.secrets:
        try:
            # A variable may have bytes that are no text.
            secret = _secret(credential).encode("utf-8", "surrogateescape")
            digest.update(sha256(secret).digest())
        except _MissingError:
            digest.update(b"missing")
        except UpstreamError:
            # Whether it has changed cannot be told now.
            _, known = _files.get(credential.file, (None, ""))
            digest.update(sha256(known.encode()).digest())
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
    todo = "put the credential there, readable for the router"
    try:
        found = os.stat(path)
        stamp = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
        known = _files.get(path)
        if known is None or known[0] != stamp:
            known = _files[path] = stamp, _content(path, found)
    except OSError as error:
        if (failure := local_limit(error)) is not None:
            raise UpstreamError(failure) from None
        _files.pop(path, None)
        cause = (error.strerror or "input or output error").lower()
        raise _MissingError(f"file {path} cannot be read ({cause}); {todo}") from None
    except ValueError as error:
        raise _MissingError(f"file {path} {error}; {todo}") from None
    return known[1]


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
