"""What passes for the name of a secret and what for the secret itself."""

from __future__ import annotations

import pytest

from services.registry.core.rules.secrets import (
    holds_secret,
    is_secret_header,
    looks_like_secret,
    secret_in_address,
)


@pytest.mark.parametrize(
    "text",
    [
        # keys of vendors
        *("sk-proj-abcdefghijklmnop", "AKIAIOSFODNN7EXAMPLE", "ASIAQWERTYUIOPASDFGH"),
        *("ghp_abcdefghijklmnopqrst", "glpat-aB3d-E5fG7_hI9jK1lM", "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ"),
        *("eyJhbGciOiJIUzI1NiJ9.e30.x", "-----BEGIN PRIVATE KEY-----"),
        # what stands in a header
        *("Bearer abc", "basic dXNlcjpwdw==", "Basic dXNlcjpwdw", "Token 9944b09199c62bcf"),
        # random characters
        *("0123456789abcdef0123456789ABCDEF", "Zm9vYmFyYmF6MTIzNDU2Nzg5MDEy"),
        *("key=Zm9vYmFyYmF6MTIzNDU2Nzg5MDEy", "gateway_wJalrXUtnFEMIK7MDENGbPxRfiCY"),
        # a token of ours, a database with its password
        *("ryd_9vJ2kQx7Lm4TzPq1WcB8nYd5RfHs3GaEu6ViKo0jXtM", "ryd_0a1b2c3d4e5f6a7b"),
        *("postgresql://runyard:hunter2@db/registry", "redis://:hunter2@cache:6379"),
        *("host=db user=runyard password=hunter2", "https://h/?api_key=k3y"),
        # in the middle of a text
        *("use sk-proj-abcdefghijklmnop1a2b", "token: ghp_abcdefghijklmnopqrst1"),
        *("https://x/sk-proj-abcdefghijklmnop1a2b/v1", "curl -H 'Bearer 8f14e45fceea167a5a36'"),
        *("-H 'Authorization: Basic dXNlcjpwdw=='", "id 0123456789abcdef0123456789abcdef."),
        "here it is:\n-----BEGIN RSA PRIVATE KEY-----\nMIIE",
        pytest.param("a" * 100_000 + "B1B", id="in linear time"),
    ],
)
def test_a_secret_is_recognised(text: str) -> None:
    assert looks_like_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        # words
        *("", "cafebabe", "research", "averylonglowercasenameofnothing"),
        *("AVERYLONGUPPERCASENAMEOFNOTHING1", "MixedCaseButWithoutAnyNumber"),
        *("MyGatewayOfProductionUse2", "APIKeyOfTheGatewayNumber1", "RunyardInternalGateway/10"),
        *("a-dashed-Name-with-1-number-in-it", "Mozilla/5.0 (X11; Linux x86_64)"),
        # the schemes of a header, within a text
        *("basic", "Basic plan", "basic access", "Basic plan of 2 users", "Basic a"),
        *("bearer of news", "Token limit: 5"),
        # names that begin as the keys of vendors do, and names of variables
        *("sk-short", "sk-team-Europe-v2", "AKIA-account", "ASIA_OPENAI_API_KEY"),
        *("hf_production_token", "npm_config_token_2"),
        *("OPENAI_API_KEY", "TEAM_2_ANTHROPIC_TOKEN_FOR_STAGING", "ryd_token_of_the_router"),
        # what vendors call an account
        *("org-aB3dE5fG7hI9jK1lM3nO5pQ7", "proj_5fWn3qQ1aB3dE5fG7hI9jK1l"),
        "OpenAI-Organization: org-aB3dE5fG7hI9jK1lM3nO5pQ7",
        # addresses and prose
        *("postgresql://runyard@db/registry", "http://host:8080/a@b", "see https://h:443/x?key=1"),
        *("the task-specific risk-averse agent", "password: ask an operator", "basic training"),
        *("a bearer of good-news-for-everybody", "ASIA-PACIFIC-REGION", "-----the end-----"),
        "app/da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ],
)
def test_a_name_is_left_alone(text: str) -> None:
    assert not looks_like_secret(text)


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "proxy-authorization", "Cookie", "X-Client-Secret"),
        *("X-API-Key", "api_key", "x-goog-api-key", "Ocp-Apim-Subscription-Key"),
        *("X-Auth-Token", "X-Amz-Security-Token", "Private-Token"),
        *("X-Gateway-Token", "x-vendor-key", "X-Proxy-Auth", "Token", "key", "Idempotency-Key"),
    ],
)
def test_a_header_of_credentials_is_known_by_its_name(name: str) -> None:
    assert is_secret_header(name)


@pytest.mark.parametrize(
    "name",
    ["X-Title", "HTTP-Referer", "X-Token-Limit", "X-Keyboard", "X-Author", "User-Agent"],
)
def test_other_headers_are_for_anybody_to_read(name: str) -> None:
    assert not is_secret_header(name)


@pytest.mark.parametrize(
    "address",
    [
        # path, host, query, user
        *("https://h/v1/sk-proj-abcdefghijklmnop1a2b", "https://h/%73k-proj-abcdefghijklmnop1a2b"),
        "https://h/0123456789abcdef0123456789abcdef/v1",
        "https://h/wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        *("https://sk-proj-abcdefghijklmnop1a2b.example", "sk-proj-abcdefghijklmnop1a2b:443"),
        "https://0123456789abcdef0123456789abcdef.example/",
        "dns:///0123456789abcdef0123456789abcdef:50051",
        *("https://h/?key=sk-proj-abcdefghijklmnop1a2b", "https://me:pw@h/", "https://:pw@h/"),
        "https://sk-proj-abcdefghijklmnop1a2b@h/",
    ],
)
def test_a_secret_is_found_in_an_address(address: str) -> None:
    assert secret_in_address(address)


@pytest.mark.parametrize(
    "address",
    [
        *("https://api.openai.com/v1", "https://me@h/", "[::1]:50051", "dns:///models.svc:50051"),
        "https://my-team-2.openai.azure.com/openai/deployments/gpt-4o-2024-08-06",
        "https://h/api/v1beta2/Workspaces/TeamOfEurope/projects/7/a/b/c/D/1/x/Y/z/2/models",
        "https://us-central1-aiplatform.googleapis.com/v1/projects/p-1/locations/us-central1",
        "https://a7f8e3c0d1b24f5e9-1234567890.eu-west-1.elb.amazonaws.com",
        # the number of an account
        "https://gateway.ai.cloudflare.com/v1/0123456789abcdef0123456789abcdef/team/openai",
    ],
)
def test_an_address_without_a_secret_is_left_alone(address: str) -> None:
    assert not secret_in_address(address)


@pytest.mark.parametrize(
    "piece", ["a", "aB1", "sk-", "a/", "://a:b", "password=;", "basic aaaaaaaa ", "eyJ.", "Ab1 "]
)
def test_a_long_text_is_searched_in_linear_time(piece: str) -> None:
    """A quadratic search would hit the time limit of the test."""
    text = piece * (200_000 // len(piece))
    assert holds_secret(f"{text} sk-proj-abcdefghijklmnop1a2b")
