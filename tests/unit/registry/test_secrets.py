"""What passes for the name of a secret and what for the secret itself."""

from __future__ import annotations

import pytest

from services.registry.core.secrets import looks_like_secret


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefghijklmnop",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrst",
        "eyJhbGciOiJIUzI1NiJ9.e30.x",
        "Bearer abc",
        "basic dXNlcjpwdw==",
        "-----BEGIN PRIVATE KEY-----",
        "0123456789abcdef0123456789ABCDEF",
        "Zm9vYmFyYmF6MTIzNDU2Nzg5MDEy",
    ],
)
def test_a_secret_is_recognised(text: str) -> None:
    assert looks_like_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "OPENAI_API_KEY",
        "sk-short",
        "basic",
        "TEAM_2_ANTHROPIC_TOKEN_FOR_STAGING",
        "cafebabe",
        "research",
        "averylonglowercasenameofnothing",
        "AVERYLONGUPPERCASENAMEOFNOTHING1",
        "MixedCaseButWithoutAnyNumber",
        "a-dashed-Name-with-1-number-in-it",
    ],
)
def test_a_name_is_left_alone(text: str) -> None:
    assert not looks_like_secret(text)
