"""The token file: each line holds the hash of a token and the principal it authenticates.

    # the callers of this server
    sha256:5f70…e1 name=alice roles=operator,viewer tenant=acme
    sha256:09ab…77 name=ci roles=admin expires=2027-01-01T00:00:00Z
    sha256:77c0…2e name=clerk roles=worker tools=lookup,refund

Empty lines and lines that begin with # are skipped. ``tenant`` defaults to ``default``,
``tools`` to every tool.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.chassis.caller import DEFAULT_TENANT, Principal, Role
from services.chassis.ids import id_violations

TOKEN_PREFIX = "ryd_"  # noqa: S105  # lets secret scanners recognise a leaked token
TOKEN_BYTES = 32

_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_KEYS = ("name", "roles", "tenant", "tools", "expires")
_INDEXED_BYTES = 8


class TokenLineError(ValueError):
    """A line is malformed; the text does not quote it, since it may hold a token."""


@dataclass(frozen=True, slots=True)
class TokenLine:
    """The hash, principal and expiry of one token.

    Attributes:
        digest: SHA-256 of the token. Tokens hold 256 random bits, so salt or a slow hash would not
            make them harder to guess.
        expires_at: The token is refused from this instant on; None = never.
    """

    digest: bytes = field(repr=False)
    principal: Principal
    expires_at: datetime | None = None

    def __str__(self) -> str:
        words = [
            f"sha256:{self.digest.hex()}",
            f"name={self.principal.name}",
            f"roles={','.join(sorted(self.principal.roles))}",
            f"tenant={self.principal.tenant}",
        ]
        if self.principal.tools:
            words.append(f"tools={','.join(sorted(self.principal.tools))}")
        if self.expires_at is not None:
            words.append(f"expires={self.expires_at.isoformat()}")
        return " ".join(words)


class Tokens:
    """The tokens of a file, indexed for lookup."""

    def __init__(self, lines: Iterable[TokenLine]) -> None:
        # Indexed by the first bytes of the hash, so that timing reveals no more than those.
        self._by_start: dict[bytes, list[TokenLine]] = {}
        for line in lines:
            self._by_start.setdefault(line.digest[:_INDEXED_BYTES], []).append(line)

    def find(self, token: str) -> TokenLine | None:
        """Return the line of ``token``, even if it has expired."""
        digest = digest_of(token)
        found = None
        for line in self._by_start.get(digest[:_INDEXED_BYTES], ()):
            if hmac.compare_digest(line.digest, digest):
                found = line
        return found


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def new_token(
    name: str,
    roles: Iterable[Role],
    tenant: str = DEFAULT_TENANT,
    expires_at: datetime | None = None,
    tools: Iterable[str] = (),
    *,
    entropy: Callable[[int], bytes] = os.urandom,
) -> tuple[str, str]:
    """Create a token; return it and the line for the server's token file. Nothing is stored.

    Raises:
        TokenLineError: An argument is not valid in a line.
    """
    random = base64.urlsafe_b64encode(entropy(TOKEN_BYTES)).rstrip(b"=").decode()
    token = TOKEN_PREFIX + random
    served = frozenset(tools)
    principal = Principal(tenant, frozenset(roles), name, tools=served)
    line = str(TokenLine(digest_of(token), principal, expires_at))
    if len(f"{name} {tenant}".split()) > 2:
        raise TokenLineError("name= and tenant= must not contain white space")
    if any("," in tool or tool.split() != [tool] for tool in served):
        raise TokenLineError("tools= takes ids of tools without commas and white space")
    parse_line(line)
    return token, line


def parse_tokens(text: str) -> Tokens:
    """Parse the text of a token file.

    Raises:
        TokenLineError: Names the first malformed line and the fix.
    """
    lines: dict[bytes, TokenLine] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        if not raw.strip() or raw.lstrip().startswith("#"):
            continue
        try:
            line = parse_line(raw)
        except TokenLineError as error:
            raise TokenLineError(f"line {number}: {error}") from None
        if line.digest in lines:
            raise TokenLineError(f"line {number}: the same token as above: remove one of the lines")
        lines[line.digest] = line
    return Tokens(lines.values())


def parse_line(raw: str) -> TokenLine:
    """Parse one line.

    Raises:
        TokenLineError: Names the error and the fix.
    """
    first, *rest = raw.split() or [""]
    digest = _HASH.fullmatch(first)
    if digest is None:
        raise TokenLineError(
            "a line begins with sha256: and 64 hexadecimal digits in lower case; "
            "make one with: runyard token new"
        )
    facts = _facts(rest)
    principal = Principal(
        tenant=_id(facts, "tenant", DEFAULT_TENANT),
        roles=_roles(facts.get("roles", "")),
        name=_id(facts, "name", ""),
        tools=_tools(facts),
    )
    if principal.tools and Role.WORKER not in principal.roles:
        raise TokenLineError("tools= is for the role worker: add it to roles=")
    return TokenLine(bytes.fromhex(digest[1]), principal, instant_of(facts.get("expires")))


def _facts(words: Iterable[str]) -> Mapping[str, str]:
    facts: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in _KEYS:
            raise TokenLineError(
                f"after the hash come {', '.join(f'{known}=' for known in _KEYS)}, "
                "without spaces in them"
            )
        if key in facts:
            raise TokenLineError(f"{key}= stands there twice: remove one")
        facts[key] = value
    return facts


def _id(facts: Mapping[str, str], key: str, default: str) -> str:
    value = facts.get(key, default)
    for violation in id_violations(value, key):
        raise TokenLineError(f"{key}= {violation.description}")
    return value


def _tools(facts: Mapping[str, str]) -> frozenset[str]:
    if "tools" not in facts:
        return frozenset()
    tools = facts["tools"].split(",")
    for tool in tools:
        for violation in id_violations(tool, "tools"):
            raise TokenLineError(
                f"tools= takes ids of tools, joined by commas: one {violation.description}"
            )
    return frozenset(tools)


def _roles(text: str) -> frozenset[Role]:
    try:
        return frozenset(Role(word) for word in text.split(","))
    except ValueError:
        known = ", ".join(Role)
        raise TokenLineError(f"roles= takes some of {known}, joined by commas") from None


def instant_of(text: str | None) -> datetime | None:
    """Parse the value of ``expires``; None if it is missing or empty.

    Raises:
        TokenLineError: It is not an ISO 8601 instant with a time zone.
    """
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise TokenLineError("expires= is an instant with its zone, as 2027-01-01T00:00:00Z")
    return instant
