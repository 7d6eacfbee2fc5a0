"""Telling a secret from the name of one.

A guess, on purpose on the safe side: what is refused here is what people paste by mistake.
"""

from __future__ import annotations

import base64
import binascii
import re

# Beginnings that vendors chose so that leaked credentials can be found.
_PREFIXES = (
    "sk-", "sk_live", "sk_test", "pk_live", "rk_live", "xai-", "gsk_", "hf_", "r8_", "pplx-",
    "ghp_", "gho_", "ghs_", "ghu_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "xapp-",
    "AKIA", "ASIA", "AIza", "ya29.", "eyJ", "npm_", "pypi-", "dop_v1_", "SG.",
)  # fmt: skip
_PREFIXED = re.compile("|".join(re.escape(prefix) for prefix in _PREFIXES))
_LEAST_PREFIXED_CHARS = 12
# hf_production_token_2 and ASIA_API_KEY name a secret: behind their beginning they read as words.
_WORD = r"(?:(?:[a-z]{1,14}|[A-Z][a-z]{1,13}|[A-Z]{1,14})[0-9]{0,3}|[0-9]{1,4})"
_WORDS = re.compile(rf"(?:[-_.]|{_WORD}(?![A-Za-z0-9]))*")

_KEY_FILE = re.compile(r"-----BEGIN", re.IGNORECASE)
# A scheme of RFC 9110 and one word of its alphabet: "basic plan" reads the same, and is none.
_SCHEME = re.compile(r"(bearer|basic|token)\s+([A-Za-z0-9._~+/-]+=*)\s*", re.IGNORECASE)
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{32,}")
_LONG_RUN = re.compile(r"[A-Za-z0-9+/=]{24,}")
# MyGatewayOfProductionUse2, part by part; possessive, since a part can be cut in many ways.
_CAMEL_CASE = re.compile(r"(?:[A-Z][a-z]++|[a-z]{2,}+|[A-Z]{2,}+|[0-9]++|[+/=]++)++")

_SECRET_HEADER = re.compile(
    r"authorization|cookie|password|secret|api[-_]?key|subscription-key"
    r"|(?:access|auth|security|session|private)[-_]?token",
    re.IGNORECASE,
)


def is_secret_header(name: str) -> bool:
    """Whether the value of a header of this name is a credential, whatever it looks like."""
    return _SECRET_HEADER.search(name) is not None


def looks_like_secret(text: str) -> bool:
    """Whether ``text`` is more likely a credential than the name or place of one."""
    if _KEY_FILE.match(text) or _HEXADECIMAL.fullmatch(text) or _is_credential(text):
        return True
    prefix = _PREFIXED.match(text)
    if prefix and len(text) >= _LEAST_PREFIXED_CHARS:
        return _WORDS.fullmatch(text, prefix.end()) is None
    return any(_is_random(run[0]) for run in _LONG_RUN.finditer(text))


def _is_credential(text: str) -> bool:
    """What an authorization header says: a scheme and a token, or a user and a password."""
    found = _SCHEME.fullmatch(text)
    if found is None:
        return False
    scheme, word = found[1].lower(), found[2]
    return _is_user_and_password(word) if scheme == "basic" else True


def _is_user_and_password(word: str) -> bool:
    padded = word.rstrip("=") + "=" * (-len(word.rstrip("=")) % 4)
    try:
        decoded = base64.b64decode(padded, validate=True)
    except binascii.Error:
        return False
    return b":" in decoded


def _is_random(run: str) -> bool:
    """Long, mixing both cases and digits, and no words: nobody chose a name like that."""
    return (
        any(char.islower() for char in run)
        and any(char.isupper() for char in run)
        and any(char.isdigit() for char in run)
        and _CAMEL_CASE.fullmatch(run) is None
    )
