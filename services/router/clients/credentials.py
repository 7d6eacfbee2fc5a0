"""Reads secrets by reference, per call; keeps and logs none."""

from __future__ import annotations

import os
from pathlib import Path

from services.router.core.model import Credential


class CredentialMissingError(Exception):
    """The reference has no secret behind it; the message names the reference."""


def read_secret(credential: Credential) -> str:
    """The secret behind a reference.

    Raises:
        CredentialMissingError: The variable is not set, the file cannot be read, or it is empty.
    """
    if credential.env:
        secret = os.environ.get(credential.env, "")
        place = f"environment variable {credential.env}"
    else:
        secret = _content(credential.file)
        place = f"file {credential.file}"
    if not secret:
        raise CredentialMissingError(f"{place} holds no credential")
    return secret


def _content(file: str) -> str:
    try:
        return Path(file).read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError):
        return ""
