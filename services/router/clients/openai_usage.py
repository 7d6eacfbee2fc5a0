"""Merges the token counts that a chat completion says in several places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.content.model import Usage, UsageSource, estimated_tokens
from services.router.clients.json_leaves import count_in, object_in

# Where servers say each count, the vendor's own place first.
_INPUT = ("prompt_tokens", "input_tokens")
_OUTPUT = ("completion_tokens", "output_tokens")
_CACHE_READ = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
_CACHE_WRITE = ("cache_write_tokens", "cache_creation_input_tokens")


class UsageSoFar:
    """The last counts that were said: each is a total. Some servers send 0 for unknown."""

    def __init__(self) -> None:
        self._input = 0
        self._output = 0
        self._total = 0
        self._cache_read = 0
        self._cache_write = 0
        self._reasoning = 0

    def add(self, value: Any) -> None:
        if not value:
            return
        said = object_in(value)
        of_input = object_in(said.get("prompt_tokens_details") or said.get("input_tokens_details"))
        of_output = object_in(
            said.get("completion_tokens_details") or said.get("output_tokens_details")
        )
        self._input = _count(_INPUT, said) or self._input
        self._output = _count(_OUTPUT, said) or self._output
        self._total = _count(("total_tokens",), said) or self._total
        self._cache_read = _count(_CACHE_READ, of_input, said) or self._cache_read
        self._cache_write = _count(_CACHE_WRITE, of_input, said) or self._cache_write
        self._reasoning = _count(("reasoning_tokens",), of_output, said) or self._reasoning

    @property
    def known(self) -> bool:
        return self._input > 0 or self._output > 0

    def partial(self) -> Usage:
        """What was said of an answer that broke off."""
        return self._usage(self._input, self._all_output)

    def final(self, input_chars: int, output_chars: int) -> Usage:
        """What was said of a complete answer, estimated where nothing was said."""
        estimates_input = self._input == 0
        estimates_output = self._all_output == 0 and output_chars > 0
        return self._usage(
            estimated_tokens(input_chars) if estimates_input else self._input,
            estimated_tokens(output_chars) if estimates_output else self._all_output,
            UsageSource.ESTIMATED if estimates_input or estimates_output else UsageSource.PROVIDER,
        )

    @property
    def _all_output(self) -> int:
        """With the reasoning, which some servers count apart: their total shows it."""
        apart = self._total == self._input + self._output + self._reasoning
        return self._output + self._reasoning if apart else self._output

    def _usage(
        self, input_tokens: int, output_tokens: int, source: UsageSource = UsageSource.PROVIDER
    ) -> Usage:
        return Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_input_tokens=min(self._cache_read, input_tokens),
            cache_write_input_tokens=min(self._cache_write, input_tokens),
            reasoning_output_tokens=min(self._reasoning, output_tokens),
            source=source,
        )


def _count(names: Iterable[str], *places: dict[str, Any]) -> int:
    """The first count that is more than 0."""
    found = (count_in(place.get(name)) for place in places for name in names)
    return next(filter(None, found), 0)
