"""Ids of earlier calls in the form that a provider takes.

After a failover a conversation has ids that other providers have made. The same id always becomes
the same one, so that a call and its result belong together and prompt caches keep their hits.
"""

from __future__ import annotations

import re
import string
from hashlib import blake2b
from urllib.parse import urlsplit

# Mistral refuses any other id, also where others serve its models.
_NINE = re.compile(r"[A-Za-z0-9]{9}")
_OF_MISTRAL = re.compile(r"(?:mis|mix|minis|codes|devs|magis|vox|pix)tral", re.IGNORECASE)
_MISTRAL_HOST = ".mistral.ai"
# OpenAI refuses longer ones, also at Azure.
_SHORT = re.compile(r".{1,40}", re.DOTALL)
_SHORT_HOSTS = (".openai.com", ".openai.azure.com")
_ANY = re.compile(r".+", re.DOTALL)
_DIGITS = string.digits + string.ascii_letters


class SentCallIds:
    """How the provider at ``base_url`` takes the ids of calls to ``upstream_model``."""

    def __init__(self, base_url: str, upstream_model: str) -> None:
        host = f".{urlsplit(base_url).hostname or ''}"
        self._legal = _ANY
        if host.endswith(_MISTRAL_HOST) or _OF_MISTRAL.search(upstream_model):
            self._legal = _NINE
        elif host.endswith(_SHORT_HOSTS):
            self._legal = _SHORT

    def sent(self, call_id: str) -> str:
        """The id itself if it is legal there, else nine letters and digits that stand for it."""
        return call_id if self._legal.fullmatch(call_id) else _nine_of(call_id)


def _nine_of(call_id: str) -> str:
    number = int.from_bytes(blake2b(call_id.encode(), digest_size=8).digest(), "big")
    digits = []
    for _ in range(9):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(digits)
