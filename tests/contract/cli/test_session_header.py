"""Commands name the session of a call in a header, by which a mesh can balance."""

from __future__ import annotations

import pytest

from tests.contract.cli.process import runyard
from tests.support.recording_router import recording_router

# The first 32 digits of the SHA-256 of "key:k".
OF_KEY = "d34663b3640f96a3c2f569dd6f3ccbf1"


@pytest.mark.parametrize("command", ["infer", "generate", "explain"])
async def test_commands_send_the_header_of_their_session(command: str) -> None:
    async with recording_router() as router:
        # when a command asks with a session, and without
        at = {"RUNYARD_ENDPOINTS": f"router={router.target}"}
        named = await runyard(command, "m", "hi", "--session", "k", **at)
        without = await runyard(command, "m", "hi", **at)

    # then the first call carries it
    assert named.code == without.code == 0, named.err + without.err
    assert router.headers == [OF_KEY, None]
