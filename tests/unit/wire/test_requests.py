from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.errors import RemoteProtocolError
from runtimed.wire.requests import (
    AcknowledgeNotebookSync,
    ExecuteCell,
    GetHistory,
    InterruptExecution,
    LaunchKernel,
    Request,
    RequestEnvelope,
    SaveNotebook,
    action_of,
    decode_request,
    encode_request,
)
from unit.wire.strategies import messages

HEAD = "5cb837a3e10c24a4107f4bf04260c35621ad8f003ec7fbcbe63407028a22f33b"


@given(messages(RequestEnvelope))
def test_every_request_comes_back(envelope: RequestEnvelope) -> None:
    assert decode_request(encode_request(envelope)) == envelope


@given(messages(Request))
def test_a_request_is_named_as_on_the_wire(request: Request) -> None:
    payload = encode_request(RequestEnvelope(id="1", request=request))

    assert json.loads(payload)["action"] == action_of(request)


@given(st.binary(max_size=80))
def test_random_bytes_end_in_a_protocol_error(data: bytes) -> None:
    for payload in (data, b'{"id":"1","action":"' + data, b'{"id":"1","action":"send_comm","message":' + data):
        try:
            assert decode_request(payload).id == "1"
        except RemoteProtocolError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("request_", "payload"),
    [
        (ExecuteCell("c"), {"action": "execute_cell", "cell_id": "c"}),
        (InterruptExecution(), {"action": "interrupt_execution"}),
        (SaveNotebook(format_cells=False), {"action": "save_notebook", "format_cells": False}),
        (
            LaunchKernel(kernel_type="python", env_source="auto"),
            {"action": "launch_kernel", "kernel_type": "python", "env_source": "auto"},
        ),
    ],
)
def test_requests_look_as_those_of_nteract(request_: Request, payload: dict[str, Any]) -> None:
    assert json.loads(encode_request(RequestEnvelope(id="1", request=request_))) == {"id": "1", **payload}


def test_the_changes_a_request_needs_stand_in_its_envelope() -> None:
    envelope = RequestEnvelope(id="1", required_heads=(HEAD,), request=AcknowledgeNotebookSync())

    payload = encode_request(envelope)

    assert json.loads(payload) == {"id": "1", "required_heads": [HEAD], "action": "acknowledge_notebook_sync"}
    assert decode_request(payload) == envelope


def test_fields_this_version_does_not_know_are_passed_over() -> None:
    envelope = decode_request(
        b'{"id":"1","action":"get_history","n":3,"unique":true,"pattern":null,"newer":[{}],"required_heads":[]}'
    )

    assert envelope == RequestEnvelope(id="1", request=GetHistory(n=3, unique=True))


@pytest.mark.parametrize(
    "payload",
    [
        b'{"id":"1","action":"bogus"}',
        b'{"id":"1"}',
        b'{"action":"interrupt_execution"}',
        b'{"id":"1","action":"execute_cell"}',
        b'{"id":"1","action":"execute_cell","cell_id":7}',
        b'{"id":"1","action":"interrupt_execution","required_heads":["ab"]}',
        b'{"id":"1","action":"interrupt_execution","required_heads":["' + b"z" * 64 + b'"]}',
        b'{"id":"1","action":"run_all_cells","cell_execution_ids":[["a","b"]]}',
        b"not json",
        b'{"id":"1","action":"send_comm","message":' + b"[" * 100_000,
    ],
    ids=lambda payload: payload[:60].decode(),
)
def test_unknown_and_malformed_requests_are_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_request(payload)


def test_a_request_cannot_wait_for_endlessly_many_changes() -> None:
    heads = json.dumps([HEAD] * 5000)

    with pytest.raises(RemoteProtocolError):
        decode_request(f'{{"id":"1","action":"interrupt_execution","required_heads":{heads}}}'.encode())
