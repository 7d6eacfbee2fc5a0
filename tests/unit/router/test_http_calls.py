from __future__ import annotations

from services.router.clients.http_calls import headers_of
from services.router.core.model import Anthropic, Credential, Header, Provider
from tests.support.stack import exported


def test_a_header_of_the_provider_replaces_one_of_the_same_name() -> None:
    # given headers that are also the dialect's or the credential's, in another case
    more = (Header("ANTHROPIC-BETA", "mine"), Header("user-agent", "me"), Header("X-API-KEY", "x"))
    provider = Provider("claude", Anthropic("http://x", "1"), Credential(env="TEST_ROUTER_KEY"))

    # when
    with exported({"TEST_ROUTER_KEY": "sk"}):
        headers, secrets = headers_of(provider, {"anthropic-beta": "one"}, more, "x-api-key")

    # then each is there once, and the credential has the last word
    assert sorted(name.lower() for name in headers) == [
        "accept",
        "accept-encoding",
        "anthropic-beta",
        "content-type",
        "user-agent",
        "x-api-key",
    ]
    assert (headers["ANTHROPIC-BETA"], headers["user-agent"]) == ("mine", "me")
    assert (headers["x-api-key"], secrets) == ("sk", ("sk",))
