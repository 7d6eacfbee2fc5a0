"""What passes for the name of a secret and what for the secret itself."""

from __future__ import annotations

import pytest

from services.registry.core.secrets import is_secret_header, looks_like_secret


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefghijklmnop",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrst",
        "eyJhbGciOiJIUzI1NiJ9.e30.x",
        "Bearer abc",
        "basic dXNlcjpwdw==",
        "Basic dXNlcjpwdw",
        "Token 9944b09199c62bcf",
        "-----BEGIN PRIVATE KEY-----",
        "0123456789abcdef0123456789ABCDEF",
        "Zm9vYmFyYmF6MTIzNDU2Nzg5MDEy",
        "ASIAQWERTYUIOPASDFGH",
        "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ",
        "glpat-aB3d-E5fG7_hI9jK1lM",
        "key=Zm9vYmFyYmF6MTIzNDU2Nzg5MDEy",
        pytest.param("a" * 100_000 + "B1B", id="in linear time"),
        "gateway_wJalrXUtnFEMIK7MDENGbPxRfiCY",
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
        "Basic plan",
        "basic access",
        "Basic plan of 2 users",
        "Basic a",
        "bearer of news",
        "Token limit: 5",
        "TEAM_2_ANTHROPIC_TOKEN_FOR_STAGING",
        "cafebabe",
        "research",
        "averylonglowercasenameofnothing",
        "AVERYLONGUPPERCASENAMEOFNOTHING1",
        "MixedCaseButWithoutAnyNumber",
        "a-dashed-Name-with-1-number-in-it",
        "ASIA_OPENAI_API_KEY",
        "AKIA-account",
        "hf_production_token",
        "npm_config_token_2",
        "sk-team-Europe-v2",
        "MyGatewayOfProductionUse2",
        "APIKeyOfTheGatewayNumber1",
        "RunyardInternalGateway/10",
        "Mozilla/5.0 (X11; Linux x86_64)",
    ],
)
def test_a_name_is_left_alone(text: str) -> None:
    assert not looks_like_secret(text)


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "proxy-authorization",
        "X-API-Key",
        "api_key",
        "x-goog-api-key",
        "Ocp-Apim-Subscription-Key",
        "Cookie",
        "X-Auth-Token",
        "X-Amz-Security-Token",
        "Private-Token",
        "X-Client-Secret",
    ],
)
def test_a_header_of_credentials_is_known_by_its_name(name: str) -> None:
    assert is_secret_header(name)


@pytest.mark.parametrize(
    "name", ["X-Title", "HTTP-Referer", "X-Token-Limit", "Idempotency-Key", "User-Agent"]
)
def test_other_headers_are_for_anybody_to_read(name: str) -> None:
    assert not is_secret_header(name)
