"""The header by which a mesh keeps the calls of one session on one router."""

from __future__ import annotations

import pytest

from services.wire.session_header import session_header


@pytest.mark.parametrize(
    ("session", "value"),
    [
        ({"thread_id": "t1"}, "4aadd5225e9fb51c4c05688dd0054ac7"),
        (
            {"thread_id": "t1", "run_id": "r1", "session_key": "k", "agent_id": "a"},
            "4aadd5225e9fb51c4c05688dd0054ac7",
        ),
        (
            {"run_id": "r1", "session_key": "k", "agent_id": "a"},
            "e52a0241faa00540cb925671f1796ae1",
        ),
        ({"session_key": "k", "agent_id": "a"}, "d34663b3640f96a3c2f569dd6f3ccbf1"),
        ({"thread_id": " ", "agent_id": "a"}, "cd2c73a4b7ee7306e63a70685a60788d"),
        ({"thread_id": "Straße/7"}, "c2cb6ba6cc663d5c6303631b343031c7"),
    ],
)
def test_calls_of_one_session_have_one_value(session: dict[str, str], value: str) -> None:
    # the values are those of: printf %s "thread:t1" | sha256sum | cut -c 1-32
    assert session_header(**session) == (("runyard-session", value),)


def test_a_call_without_a_session_has_no_header() -> None:
    assert session_header(thread_id=" ") == ()
