from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.errors import RemoteProtocolError
from runtimed.wire.pool import (
    DaemonInfo,
    Pong,
    PoolRequest,
    PoolResponse,
    RoomInfo,
    RoomsList,
    RuntimeMetrics,
    decode_pool_request,
    decode_pool_response,
    encode_pool_request,
    encode_pool_response,
)
from unit.wire.strategies import messages


@given(messages(PoolRequest))
def test_every_request_comes_back(request: PoolRequest) -> None:
    assert decode_pool_request(encode_pool_request(request)) == request


@given(messages(PoolResponse))
def test_every_response_comes_back(response: PoolResponse) -> None:
    assert decode_pool_response(encode_pool_response(response)) == response


@given(st.binary(max_size=80))
def test_random_bytes_end_in_a_protocol_error(data: bytes) -> None:
    for payload in (data, b'{"type":"' + data):
        for decode in (decode_pool_request, decode_pool_response):
            with pytest.raises(RemoteProtocolError):
                decode(payload)


@pytest.mark.parametrize("payload", [b'{"type":"bogus"}', b"{}", b'{"type":"shutdown_notebook"}', b"[" * 100_000])
def test_unknown_and_malformed_requests_are_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_pool_request(payload)


def test_a_pong_says_what_we_can_only_when_we_say_it() -> None:
    assert encode_pool_response(Pong(protocol_version=4, daemon_version="1")) == (
        b'{"type":"pong","protocol_version":4,"daemon_version":"1"}'
    )
    assert json.loads(encode_pool_response(Pong(runtimed={"story": True})))["runtimed"] == {"story": True}


def test_a_room_is_told_with_every_field_that_serde_requires() -> None:
    rooms = RoomsList([RoomInfo(notebook_id="u", active_peers=0, has_kernel=False)])

    assert json.loads(encode_pool_response(rooms))["rooms"] == [
        {"notebook_id": "u", "active_peers": 0, "had_peers": False, "has_kernel": False, "ephemeral": False}
    ]


def test_what_the_real_daemon_answered_is_understood() -> None:
    info = decode_pool_response(
        b'{"type":"daemon_info","host_telemetry":true,"protocol_version":4,"daemon_api_version":1,'
        b'"daemon_version":"2.9.0+9c85319","pid":12558,"started_at":"2026-11-23T08:14:22.334129783Z",'
        b'"blob_port":47820,"execution_store_dir":"/x/executions"}'
    )
    metrics = decode_pool_response(
        b'{"type":"runtime_metrics","num_workers":2,"num_alive_tasks":11,"global_queue_depth":0,'
        b'"worker_busy_us":[2153,798],"worker_park_count":[5,14],"uptime_us":18904}'
    )

    assert isinstance(info, DaemonInfo)
    assert (info.pid, info.blob_port) == (12558, 47820)
    assert metrics == RuntimeMetrics(uptime_us=18904, num_workers=2, num_alive_tasks=11)
