"""TLS, tokens and acting for others over real sockets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.chassis.access.entry import peers_of
from services.chassis.access.on_behalf import OnBehalfOf, acting_for
from services.chassis.access.policy import ANY_ROLE, MethodPolicy
from services.chassis.access.tokens import new_token
from services.chassis.caller import Role
from services.chassis.calls.call import current_call
from services.chassis.calls.channel import open_channel
from services.chassis.calls.rpc_status import reason_of
from services.chassis.clock import SystemClock
from services.chassis.startup import StartupRefusedError
from tests.contract.chassis_grpc.probe import (
    UNARY,
    Probe,
    ProbeSettings,
    ProbeStub,
    Waiting,
    failure,
    probing,
    refusal,
)
from tests.support.certificates import Authority
from tests.support.clock import ManualClock


async def _who(request: str, context: Any) -> str:
    call = current_call()
    caller = call.principal
    roles = ",".join(sorted(caller.roles)) if len(caller.roles) < 5 else "all"
    return f"{caller.tenant} {caller.name}:{roles} {caller.on_behalf_of} {call.acting_run or None}"


PROBE = Probe(unary=_who)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


class TokenFolder:
    """Tokens of callers, and the server's file of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = str(folder / "tokens")
        Path(self.file).touch()

    def add(self, name: str, role: Role) -> str:
        """A file with a new token."""
        token, line = new_token(name, [role], "acme")
        with Path(self.file).open("a") as known:
            known.write(f"{line}\n")
        path = self._folder / f"{name}.token"
        path.write_text(f"{token}\n")
        return str(path)

    @staticmethod
    def text_of(file: str) -> str:
        return Path(file).read_text().strip()


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFolder:
    return TokenFolder(tmp_path)


@asynccontextmanager
async def calling(port: int, host: str = "127.0.0.1", **settings: Any) -> AsyncIterator[ProbeStub]:
    """A stub over a channel as the services open theirs, on a connection of its own."""
    peers = peers_of(ProbeSettings(**settings), SystemClock())
    channel = open_channel(f"{host}:{port}", peers=peers)
    async with channel:
        yield ProbeStub(channel)


@asynccontextmanager
async def called_as(
    name: str, role: Role, tokens: TokenFolder, probe: Probe = PROBE
) -> AsyncIterator[ProbeStub]:
    """A stub whose calls carry a new token, of a server that takes it."""
    file = tokens.add(name, role)
    async with (
        probing(probe, token_file=tokens.file) as served,
        calling(served.port, peer_token_file=file) as stub,
    ):
        yield stub


async def answer_of(stub: ProbeStub, asked: str = "x") -> str:
    answer: str = await stub.unary(asked, timeout=10)
    return answer


def tls_of(authority: Authority, **more: Any) -> dict[str, Any]:
    cert, key = authority.issue("server")
    return {"tls_cert_file": cert, "tls_key_file": key, **more}


async def test_a_server_with_a_certificate_speaks_tls_to_those_who_trust_its_authority(
    authority: Authority,
) -> None:
    async with probing(PROBE, **tls_of(authority)) as probe:
        port = probe.port
        async with calling(port, peer_ca_file=authority.ca_file) as stub:
            by_address = await answer_of(stub)
        async with calling(port, "localhost", peer_ca_file=authority.ca_file) as stub:
            by_name = await answer_of(stub)
    # Without a file of tokens the caller is the local one, as on loopback.
    assert by_address == by_name == "default local:all None None"


@pytest.mark.parametrize(
    ("trusted", "identities", "told"),
    [
        ("theirs", (), "CERTIFICATE_VERIFY_FAILED"),
        ("", (), ""),
        ("ours", ("elsewhere.example",), ""),
    ],
    ids=["another authority", "none", "certificate for another name"],
)
async def test_a_client_does_not_connect_to_a_server_whose_certificate_it_cannot_verify(
    trusted: str, identities: tuple[str, ...], told: str, authority: Authority, tmp_path: Path
) -> None:
    # given a server with a certificate, and what the client trusts
    cert, key = authority.issue("server", *identities)
    others = Authority(tmp_path / "theirs")
    ca_file = {"ours": authority.ca_file, "theirs": others.ca_file, "": ""}[trusted]

    # when
    async with (
        probing(PROBE, tls_cert_file=cert, tls_key_file=key) as probe,
        calling(probe.port, peer_ca_file=ca_file) as stub,
    ):
        failed = await failure(stub.unary("x", timeout=10))

    # then
    assert failed.code() is grpc.StatusCode.UNAVAILABLE
    assert told in (failed.details() or "")


async def test_mutual_tls_takes_callers_whom_its_authority_has_signed_and_no_others(
    authority: Authority, tmp_path: Path
) -> None:
    # given a server that asks for certificates of an authority
    callers, others = Authority(tmp_path / "callers"), Authority(tmp_path / "others")
    settings = tls_of(authority, tls_client_ca_file=callers.ca_file)
    async with probing(PROBE, **settings) as probe:
        # when callers come with the right one, one that others signed, and none
        answers = []
        for signer in (callers, others, None):
            pair = signer.issue("caller") if signer else ("", "")
            shown = {"peer_cert_file": pair[0], "peer_key_file": pair[1]}
            port = probe.port
            async with calling(port, peer_ca_file=authority.ca_file, **shown) as stub:
                try:
                    answers.append(await answer_of(stub))
                except grpc.aio.AioRpcError as error:
                    answers.append(error.code().name)

    # then
    assert answers == ["default local:all None None", "UNAVAILABLE", "UNAVAILABLE"]


async def test_a_new_certificate_counts_for_new_connections_without_a_restart(
    authority: Authority, tmp_path: Path
) -> None:
    # given a server, and an open connection to it
    clock = ManualClock()
    cert, key = authority.issue("server")
    async with (
        probing(PROBE, clock=clock, tls_cert_file=cert, tls_key_file=key) as probe,
        calling(probe.port, peer_ca_file=authority.ca_file) as old,
    ):
        await answer_of(old)

        # when its files are replaced by those of another authority
        other = Authority(tmp_path / "theirs")
        for written, place in zip(other.issue("server"), (cert, key), strict=True):
            os.replace(written, place)
        clock.advance(1.0)

        # then whoever comes now sees the new one, and the old connection goes on
        async with calling(probe.port, peer_ca_file=other.ca_file) as new:
            assert await answer_of(new) == "default local:all None None"
        assert await answer_of(old) == "default local:all None None"


async def test_a_half_written_certificate_keeps_the_old_one(authority: Authority) -> None:
    # given
    clock = ManualClock()
    cert, key = authority.issue("server")
    async with probing(PROBE, clock=clock, tls_cert_file=cert, tls_key_file=key) as probe:
        # when the certificate is replaced and the key not yet
        os.replace(authority.issue("next")[0], cert)
        clock.advance(1.0)

        # then callers still get through, and the new pair counts once it is whole
        async with calling(probe.port, peer_ca_file=authority.ca_file) as stub:
            between = await answer_of(stub)
        authority.issue("server")
        clock.advance(1.0)
        async with calling(probe.port, "localhost", peer_ca_file=authority.ca_file) as stub:
            after = await answer_of(stub)
    assert between == after == "default local:all None None"


async def test_tokens_say_who_calls_and_what_for(tokens: TokenFolder) -> None:
    # given a method for operators and admins
    rows = {UNARY: MethodPolicy(frozenset({Role.OPERATOR, Role.ADMIN}), deadline_cap_s=None)}
    vera, otto = tokens.add("vera", Role.VIEWER), tokens.add("otto", Role.OPERATOR)
    async with probing(Probe(unary=_who, policy=rows), token_file=tokens.file) as probe:
        port = probe.port

        # when an operator, a viewer and somebody without a token call it
        async with calling(port, peer_token_file=otto) as stub:
            operator = await answer_of(stub)
        async with calling(port, peer_token_file=vera) as stub:
            viewer = reason_of(await failure(stub.unary("x")))
        nobody = reason_of(await failure(probe.stub.unary("x")))

    # then
    assert operator == "acme otto:operator None None"
    assert (viewer.code, viewer.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    assert nobody.code is grpc.StatusCode.UNAUTHENTICATED
    assert nobody.reason == "UNAUTHENTICATED"


async def test_the_log_never_holds_a_token(
    tokens: TokenFolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    file = tokens.add("vera", Role.VIEWER)
    token = tokens.text_of(file)
    async with probing(PROBE, token_file=tokens.file) as probe:
        async with calling(probe.port, peer_token_file=file) as stub:
            await answer_of(stub)
        await failure(probe.stub.unary("x", metadata=[("authorization", f"Bearer {token}x")]))
    assert len(caplog.records) > 2
    assert token not in "".join(str(vars(record)) for record in caplog.records)


async def test_with_tls_and_tokens_other_machines_may_come_in(
    authority: Authority, tokens: TokenFolder
) -> None:
    file = tokens.add("vera", Role.VIEWER)
    settings = tls_of(authority, token_file=tokens.file, listen="0.0.0.0:0")
    async with (
        probing(PROBE, **settings) as probe,
        calling(probe.port, peer_ca_file=authority.ca_file, peer_token_file=file) as stub,
    ):
        assert await answer_of(stub) == "acme vera:viewer None None"


@pytest.mark.parametrize(
    ("given", "lacks", "missing"),
    [
        (("tls_cert_file", "tls_key_file"), "no authentication", "RUNYARD_PROBE_TOKEN_FILE"),
        (
            ("tls_cert_file", "tls_key_file", "tls_client_ca_file"),
            "no authentication",
            "RUNYARD_PROBE_TOKEN_FILE",
        ),
        (("token_file",), "no TLS", "RUNYARD_PROBE_TLS_CERT_FILE and RUNYARD_PROBE_TLS_KEY_FILE"),
    ],
)
async def test_one_of_the_two_is_not_enough(
    given: tuple[str, ...], lacks: str, missing: str, authority: Authority, tokens: TokenFolder
) -> None:
    """A certificate of the caller says nothing of its tenant and its roles."""
    every = tls_of(authority, tls_client_ca_file=authority.ca_file, token_file=tokens.file)
    refused = await refusal(listen="0.0.0.0:0", **{name: every[name] for name in given})
    assert f"this server has {lacks}: set {missing}, or set RUNYARD_PROBE_LISTEN" in refused


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"tls_key_file": ""}, "RUNYARD_PROBE_TLS_CERT_FILE is set and RUNYARD_PROBE_TLS_KEY_FILE"),
        ({"tls_cert_file": ""}, "RUNYARD_PROBE_TLS_KEY_FILE is set and RUNYARD_PROBE_TLS_CERT"),
        (
            {"tls_cert_file": "", "tls_key_file": "", "tls_client_ca_file": "any"},
            "RUNYARD_PROBE_TLS_CLIENT_CA_FILE is set and RUNYARD_PROBE_TLS_CERT_FILE is not",
        ),
        ({"tls_cert_file": "/no/such"}, "RUNYARD_PROBE_TLS_CERT_FILE: cannot read /no/such"),
        ({"tls_key_file": "OTHER"}, "not a certificate chain in PEM and the key of its first"),
        ({"tls_cert_file": "KEY"}, "not a certificate chain in PEM"),
        ({"tls_client_ca_file": "KEY"}, "not a certificate in PEM"),
        ({"peer_cert_file": "CERT"}, "RUNYARD_PROBE_PEER_CERT_FILE is set and RUNYARD_PROBE_PEER"),
        (
            {"peer_cert_file": "CERT", "peer_key_file": "KEY"},
            "RUNYARD_PROBE_PEER_CERT_FILE is set and RUNYARD_PROBE_PEER_CA_FILE is not",
        ),
        ({"peer_token_file": "EMPTY"}, "RUNYARD_PROBE_PEER_TOKEN_FILE: a token is one word"),
    ],
)
async def test_files_that_cannot_be_used_refuse_to_start(
    changes: dict[str, str], complaint: str, authority: Authority, tokens: TokenFolder
) -> None:
    cert, key = authority.issue("server")
    files = {"CERT": cert, "KEY": key, "OTHER": authority.issue("next")[1], "EMPTY": tokens.file}
    wanted = {name: files.get(value, value) for name, value in changes.items()}
    refused = await refusal(**{"tls_cert_file": cert, "tls_key_file": key, **wanted})
    assert complaint in refused


async def test_a_token_does_not_travel_unencrypted_to_another_machine(tokens: TokenFolder) -> None:
    file = tokens.add("vera", Role.VIEWER)
    peers = peers_of(ProbeSettings(peer_token_file=file), SystemClock())
    with pytest.raises(StartupRefusedError) as refused:
        open_channel("registry.example:7401", peers=peers)
    assert str(refused.value) == (
        "the token would travel unencrypted to registry.example:7401: set "
        "RUNYARD_PROBE_PEER_CA_FILE, or accept the risk with RUNYARD_PROBE_INSECURE=true"
    )
    accepted = peers_of(ProbeSettings(peer_token_file=file, insecure=True), SystemClock())
    await open_channel("registry.example:7401", peers=accepted).close()


async def test_a_service_says_for_whom_it_calls(tokens: TokenFolder) -> None:
    # given a service with the role of one
    async with called_as("runcontrol", Role.SERVICE, tokens) as stub:
        # when a loop of it works for a run
        with acting_for(OnBehalfOf("globex", "alice é", "run-1")):
            for_run = await answer_of(stub)
        itself = await answer_of(stub)

    # then the other end knows for whom, and knows the service by its own name and role
    assert for_run == "globex runcontrol:service alice é run-1"
    assert itself == "acme runcontrol:service None None"


async def test_no_other_role_may_call_on_behalf_of_others(tokens: TokenFolder) -> None:
    async with called_as("mallory", Role.ADMIN, tokens) as stub:
        with acting_for(OnBehalfOf("globex", "alice")):
            facts = reason_of(await failure(stub.unary("x")))
    assert facts.code is grpc.StatusCode.PERMISSION_DENIED
    assert facts.metadata["roles"] == "service"
    assert facts.message == "acting on behalf of others needs the role service"


async def test_the_log_says_who_tried_to_call_for_others(
    tokens: TokenFolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with called_as("mallory", Role.ADMIN, tokens) as stub:
        with acting_for(OnBehalfOf("globex", "alice")):
            await failure(stub.unary("x"))
    (line,) = [vars(record) for record in caplog.records if record.message == "call"]
    assert (line["rpc_code"], line["principal"], line["tenant"]) == (
        "PERMISSION_DENIED",
        "mallory",
        "acme",
    )


@pytest.mark.parametrize("key", ["authorization", "on-behalf-of"])
async def test_saying_twice_who_one_is_is_refused(key: str, tokens: TokenFolder) -> None:
    """Of two, a proxy before the server may have checked the other."""
    said = {
        "authorization": [f"Bearer {tokens.text_of(tokens.add('vera', Role.VIEWER))}"],
        "on-behalf-of": ["tenant=acme", "tenant=globex"],
    }[key]
    async with called_as("front", Role.SERVICE, tokens) as stub:
        call = stub.unary("x", metadata=[(key, each) for each in said])
        facts = reason_of(await failure(call))
    assert (facts.code, facts.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert [(v.field, v.description) for v in facts.violations] == [(key, "must be sent once")]


async def test_a_call_made_while_another_is_handled_is_on_behalf_of_its_caller(
    tokens: TokenFolder,
) -> None:
    # given a front that calls a back for its callers, with a token of its own
    async with called_as("front", Role.SERVICE, tokens) as stub:

        async def relay(request: str, context: Any) -> str:
            return await answer_of(stub)

        async with called_as("vera", Role.VIEWER, tokens, Probe(unary=relay)) as caller:
            # when
            answer = await answer_of(caller)

    # then
    assert answer == "acme front:service vera None"


async def test_a_channel_to_somebody_elses_server_tells_nothing(tokens: TokenFolder) -> None:
    """A provider of models is none of ours: neither token nor tenant is its business."""
    seen = []

    async def unary(request: str, context: Any) -> str:
        seen.extend(key for key, _ in context.invocation_metadata())
        return request

    async with probing(Probe(unary=unary)) as probe:
        with acting_for(OnBehalfOf("acme", "alice")):
            await probe.stub.unary("x")
    assert not {"authorization", "on-behalf-of"} & set(seen)


async def test_each_principal_that_a_service_acts_for_has_places_of_its_own(
    tokens: TokenFolder,
) -> None:
    # given a method that each caller may have open once
    row = MethodPolicy(ANY_ROLE, deadline_cap_s=None, concurrent_per_principal=1)
    waiting = Waiting()

    async def unary(request: str, context: Any) -> str:
        return await waiting.unary(request, context) if request == "wait" else request

    probe = Probe(unary, policy={UNARY: row})
    async with called_as("gateway", Role.SERVICE, tokens, probe) as stub:
        with acting_for(OnBehalfOf("acme", "alice")):
            alices = asyncio.ensure_future(answer_of(stub, "wait"))
            await waiting.started.wait()
            again = reason_of(await failure(stub.unary("x")))
        with acting_for(OnBehalfOf("acme", "bob")):
            bobs = await answer_of(stub)
        waiting.go_on.set()
        await alices

    # then alice's second call was refused, and bob's was not
    assert again.reason == "TOO_MANY_CALLS"
    assert bobs == "x"
