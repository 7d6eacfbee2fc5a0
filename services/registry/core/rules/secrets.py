"""Guesses whether a text is a secret, or holds one.

Errs on the safe side: it refuses what people paste by mistake.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from urllib.parse import unquote

# Beginnings that vendors chose so that leaked credentials can be found; ryd_ is our own.
_PREFIXES = (
    "ryd_", "sk-", "sk_live", "sk_test", "pk_live", "rk_live", "xai-", "gsk_", "hf_", "r8_",
    "pplx-", "nvapi-", "tvly-", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-",
    "xoxb-", "xoxp-", "xoxa-", "xapp-", "AKIA", "ASIA", "AIza", "ya29.", "eyJ", "npm_", "pypi-",
    "dop_v1_", "SG.", "hvs.", "shpat_", "whsec_", "dckr_pat_", "lin_api_", "AGE-SECRET-KEY-",
)  # fmt: skip
_PREFIXED = re.compile("|".join(map(re.escape, _PREFIXES)))
_LEAST_SECRET_CHARS = 12
_LEAST_PLACE_CHARS = 8
# Between the words of a text, a program or a URL, none of which is part of a secret.
_SEPARATORS = str.maketrans(dict.fromkeys("\"'`,;:=()[]{}<>|\\&?#!*$%^~@", " "))
# hf_production_token_2 and ASIA_API_KEY name a secret: behind their beginning they read as words.
_WORD = r"(?:(?:[a-z]{1,14}|[A-Z][a-z]{1,13}|[A-Z]{1,14})[0-9]{0,3}|[0-9]{1,4})"
_WORDS = re.compile(rf"(?:[-_.]|{_WORD}(?![A-Za-z0-9]))*")
# What vendors call an account or a project, and print on every page of it.
_ACCOUNT = re.compile(r"(?:org-|proj_)[A-Za-z0-9]{8,64}")

_KEY_FILE = re.compile(r"-----BEGIN", re.IGNORECASE)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY", re.IGNORECASE)
# A scheme of RFC 9110 and one word of its alphabet: "basic plan" reads the same, and is none.
_SCHEME = re.compile(r"(bearer|basic|token)\s+([A-Za-z0-9._~+/-]+=*)\s*", re.IGNORECASE)
_SCHEME_WITHIN = re.compile(r"\b(bearer|basic)\s([A-Za-z0-9._~+/-]{8,}=*)", re.IGNORECASE)
_LEAST_BEARER_CHARS = 16
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{32,}")
_LONG_RUN = re.compile(r"[A-Za-z0-9+/=]{24,}")
_LEAST_RUN_CHARS = 24
_DIGIT = re.compile(r"[0-9]")
# MyGatewayOfProductionUse2, part by part; possessive, since a part can be cut in many ways.
_CAMEL_CASE = re.compile(r"(?:[A-Z][a-z]++|[a-z]{2,}+|[A-Z]{2,}+|[0-9]++|[+/=]++)++")
# postgresql://user:password@host, redis://:password@host, and the keywords of connection strings.
_URL_PASSWORD = re.compile(r"://[^\s/@:?#]*:[^\s/@]+@")
_KEYWORDS = ("password=", "passwd=", "pwd=", "secret=", "api_key=", "apikey=", "token=")
_KEYWORD = re.compile(
    r"(?<![A-Za-z0-9-])(?:password|passwd|pwd|secret|api_?key|token)=[^\s&;,\"']+", re.IGNORECASE
)

_SECRET_HEADER = re.compile(
    r"authorization|cookie|password|secret|api[-_]?key|subscription-key"
    r"|(?:access|auth|security|session|private)[-_]?token"
    r"|(?:^|[-_])(?:token|key|auth)$",
    re.IGNORECASE,
)

# Names in the URLs of Azure and of others that sign them.
_SECRET_PARAMETERS = frozenset({"code", "jwt", "pwd", "sig", "signature"})
_PLACES = re.compile(r"[/?#&=@:]+")
_VERSION = re.compile(r"v[0-9]+[a-z]*[0-9]*", re.IGNORECASE)
# Its URLs hold the number of an account, which has the form of a key.
_NUMBERED_ACCOUNTS = re.compile(r"https?://[a-z.]+\.cloudflare\.com/", re.IGNORECASE)


def is_secret_header(name: str) -> bool:
    """Whether the value of a header of this name is a credential, whatever it looks like."""
    return _SECRET_HEADER.search(name) is not None


def is_secret_parameter(name: str) -> bool:
    """As ``is_secret_header``, of a parameter in a URL."""
    return is_secret_header(name) or name.lower() in _SECRET_PARAMETERS


def looks_like_secret(text: str) -> bool:
    """Whether ``text`` is more likely a credential than the name or place of one."""
    if _ACCOUNT.fullmatch(text):
        return False
    if _KEY_FILE.match(text) or _HEXADECIMAL.fullmatch(text) or _is_credential(text):
        return True
    return holds_secret(text)


def holds_secret(text: str) -> bool:
    """Whether a part of ``text`` looks like a credential; fast for long texts that hold none."""
    lowered = text.lower()
    if "://" in text and _URL_PASSWORD.search(text):
        return True
    if any(word in lowered for word in _KEYWORDS) and _KEYWORD.search(text):
        return True
    if "-----begin" in lowered and _PRIVATE_KEY.search(text):
        return True
    if ("bearer" in lowered or "basic" in lowered) and any(
        _has_scheme(found) for found in _SCHEME_WITHIN.finditer(text)
    ):
        return True
    words = text.translate(_SEPARATORS).split()
    return any(_is_secret(word) for word in words if len(word) >= _LEAST_SECRET_CHARS)


def secret_in_address(address: str) -> bool:
    """Whether a part of a URL, a gRPC target or the path of a file looks like a secret."""
    if _URL_PASSWORD.search(address):
        return True
    is_numbered = _NUMBERED_ACCOUNTS.match(address) is not None
    places = [unquote(place) for place in _PLACES.split(address)]
    for place in places:
        if len(place) < _LEAST_PLACE_CHARS or (is_numbered and _HEXADECIMAL.fullmatch(place)):
            continue
        if any(looks_like_secret(part) for part in (place, *place.split("."))):
            return True
    return _is_cut_by_slashes(places)


def _is_cut_by_slashes(places: Iterable[str]) -> bool:
    """Whether places that are no words make up a random text: base64 has slashes too."""
    run = ""
    for place in (*places, "."):
        is_named = "." in place or _CAMEL_CASE.fullmatch(place) or _VERSION.fullmatch(place)
        if not is_named:
            run += place
            continue
        if _LONG_RUN.fullmatch(run) and _is_random(run):
            return True
        run = ""
    return False


def _is_secret(word: str) -> bool:
    if any(_has_prefix(part) for part in (word.split("/") if "/" in word else (word,))):
        return True
    if len(word) < _LEAST_RUN_CHARS or _ACCOUNT.fullmatch(word):
        return False
    if _HEXADECIMAL.fullmatch(word.strip(".")):
        return True
    return any(_is_random(run[0]) for run in _LONG_RUN.finditer(word))


def _has_prefix(word: str) -> bool:
    if len(word) < _LEAST_SECRET_CHARS or not word.startswith(_PREFIXES):
        return False
    prefix = _PREFIXED.match(word)
    return prefix is not None and _WORDS.fullmatch(word, prefix.end()) is None


def _has_scheme(found: re.Match[str]) -> bool:
    scheme, word = found[1].lower(), found[2]
    if scheme == "basic":
        return _is_user_and_password(word, printable=True)
    return len(word) >= _LEAST_BEARER_CHARS and _WORDS.fullmatch(word) is None


def _is_credential(text: str) -> bool:
    """What an authorization header says: a scheme and a token, or a user and a password."""
    found = _SCHEME.fullmatch(text)
    if found is None:
        return False
    scheme, word = found[1].lower(), found[2]
    return _is_user_and_password(word) if scheme == "basic" else True


def _is_user_and_password(word: str, printable: bool = False) -> bool:
    padded = word.rstrip("=") + "=" * (-len(word.rstrip("=")) % 4)
    try:
        decoded = base64.b64decode(padded, validate=True)
    except binascii.Error:
        return False
    return b":" in decoded and (not printable or decoded.decode("latin-1").isprintable())


def _is_random(run: str) -> bool:
    """Long, mixing both cases and digits, and no words: nobody chose a name like that."""
    return (
        run != run.upper()
        and run != run.lower()
        and _DIGIT.search(run) is not None
        and _CAMEL_CASE.fullmatch(run) is None
    )
