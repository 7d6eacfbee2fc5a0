"""Merges the token counts that a messages answer says in several places."""

from __future__ import annotations

from typing import Any

from services.content.model import Usage, UsageSource, estimated_tokens
from services.router.clients.json_leaves import count_in, object_in


class UsageSoFar:
    """The last counts that were said: each is a total. Some servers send 0 for unknown."""

    def __init__(self) -> None:
        self._input = 0
        self._cache_read = 0
        self._cache_write = 0
        self._output = 0
        self._first_output = 0
        self._reasoning = 0

    @property
    def known(self) -> bool:
        return self._total_input > 0 or self._output > 0

    def begin(self, value: Any) -> None:
        """Add the counts of the start; its count of output stands for an answer to come."""
        said = object_in(value)
        self._first_output = count_in(said.get("output_tokens")) or self._first_output
        self.add({**said, "output_tokens": None})

    def add(self, value: Any) -> None:
        """Add counts of the answer so far."""
        said = object_in(value)
        if not said:
            return
        self._input = count_in(said.get("input_tokens")) or self._input
        self._cache_read = count_in(said.get("cache_read_input_tokens")) or self._cache_read
        self._cache_write = _cache_write(said) or self._cache_write
        self._output = count_in(said.get("output_tokens")) or self._output
        details = object_in(said.get("output_tokens_details"))
        self._reasoning = count_in(details.get("thinking_tokens")) or self._reasoning

    def partial(self) -> Usage:
        """What was said of an answer that broke off."""
        return self._usage(self._total_input, self._output or self._first_output)

    def final(self, input_chars: int, output_chars: int) -> Usage:
        """What was said of a complete answer, estimated where nothing was said."""
        estimates_input = self._total_input == 0
        estimates_output = self._output == 0 and output_chars > 0
        return self._usage(
            estimated_tokens(input_chars) if estimates_input else self._total_input,
            estimated_tokens(output_chars) if estimates_output else self._output,
            UsageSource.ESTIMATED if estimates_input or estimates_output else UsageSource.PROVIDER,
        )

    @property
    def _total_input(self) -> int:
        """The API counts cached tokens apart."""
        return self._input + self._cache_read + self._cache_write

    def _usage(
        self, input_tokens: int, output_tokens: int, source: UsageSource = UsageSource.PROVIDER
    ) -> Usage:
        return Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_input_tokens=self._cache_read,
            cache_write_input_tokens=self._cache_write,
            reasoning_output_tokens=min(self._reasoning, output_tokens),
            source=source,
        )


def _cache_write(said: dict[str, Any]) -> int:
    """The total, else the sum by lifetime."""
    total = count_in(said.get("cache_creation_input_tokens"))
    if total is not None:
        return total
    return sum(count_in(each) or 0 for each in object_in(said.get("cache_creation")).values())
