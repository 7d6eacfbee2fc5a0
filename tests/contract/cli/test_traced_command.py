"""The trace of a run begins at the command that submits it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from services.cli.traces.receiver import receiving
from services.cli.traces.ring import read_ring
from services.cli.traces.tree import find_traces
from tests.contract.cli.process import runyard
from tests.contract.cli.scripted import served
from tests.contract.cli.test_exit_codes import Ending

pytestmark = pytest.mark.slow


async def test_every_call_of_a_command_is_in_its_trace(tmp_path: Path) -> None:
    # given a receiver of spans
    scripted = Ending()  # type: ignore[abstract]  # no other method is called
    async with (
        served(rpc.add_RunControlServiceServicer_to_server, scripted) as address,
        receiving(tmp_path, 0) as port,
    ):
        at = {
            "RUNYARD_ENDPOINTS": f"runcontrol={address}",
            "RUNYARD_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        }

        # when a run is submitted and followed to its end
        answer = await runyard("run", "a", "hello", "--thread", "1", **at)

    # then one trace has both calls below the command
    assert answer.code == 0, answer.err
    (trace_id,) = {span.trace_id for span in read_ring(tmp_path)}
    (trace,) = find_traces(read_ring(tmp_path), trace_id)
    (root,) = trace.roots
    assert root.span.name == "runyard run"
    calls = [child.span.name.rpartition("/")[2] for child in root.children]
    assert calls == ["SubmitRun", "SubscribeRun"]
