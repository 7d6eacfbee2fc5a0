"""Telling a secret from the name of one.

A guess, on purpose on the safe side: what is refused here is what people paste by mistake.
"""

from __future__ import annotations

import re

# Beginnings that vendors chose so that leaked credentials can be found.
_PREFIXES = (
    "sk-", "sk_live", "sk_test", "pk_live", "rk_live", "xai-", "gsk_", "hf_", "r8_", "pplx-",
    "ghp_", "gho_", "ghs_", "ghu_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "xapp-",
    "AKIA", "ASIA", "AIza", "ya29.", "eyJ", "-----BEGIN", "npm_", "pypi-", "dop_v1_", "SG.",
)  # fmt: skip
_PREFIXED = re.compile("|".join(re.escape(prefix) for prefix in _PREFIXES))
_SCHEME = re.compile(r"(bearer|basic|token)\s+\S", re.IGNORECASE)
_LEAST_PREFIXED_CHARS = 12
_LEAST_RANDOM_CHARS = 24
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{32,}")

SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie", "x-auth-token"}
)


def looks_like_secret(text: str) -> bool:
    """Whether ``text`` is more likely a credential than the name or place of one."""
    if _SCHEME.match(text):
        return True
    if _PREFIXED.match(text):
        return len(text) >= _LEAST_PREFIXED_CHARS
    return bool(_HEXADECIMAL.fullmatch(text)) or _looks_random(text)


def _looks_random(text: str) -> bool:
    """Long, without a word break, mixing both cases and digits: no name is written like that."""
    return (
        len(text) >= _LEAST_RANDOM_CHARS
        and re.fullmatch(r"[A-Za-z0-9+/=]+", text) is not None
        and any(char.islower() for char in text)
        and any(char.isupper() for char in text)
        and any(char.isdigit() for char in text)
    )
