"""Estimates tokens where the provider does not count them."""

from __future__ import annotations

# The usual ratio in western text.
CHARS_PER_TOKEN = 4


def estimated_tokens(chars: int) -> int:
    """Rounded up."""
    return -(-chars // CHARS_PER_TOKEN)
