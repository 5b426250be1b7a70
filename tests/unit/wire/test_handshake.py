from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.errors import LocalProtocolError, RemoteProtocolError
from runtimed.wire.handshake import (
    HANDSHAKE_MAX,
    ConnectionInfo,
    Control,
    CreateNotebook,
    Handshake,
    HostedBridgeStatus,
    InitialLoad,
    NotebookSync,
    Opened,
    Opening,
    OpenNotebook,
    Pool,
    ProtocolCapabilities,
    PutBlobSupport,
    SettingsSync,
    SyncStatus,
    check_version,
    decode_control,
    decode_handshake,
    encode_control,
    encode_opening,
)
from unit.wire.strategies import messages


@given(messages(Handshake), st.binary(max_size=20), st.integers(1, 30))
def test_an_opening_is_whole_in_any_chunking(handshake: Handshake, rest: bytes, step: int) -> None:
    opening, opened, data = Opening(), None, encode_opening(handshake)
    pieces = [data[at : at + step] for at in range(0, len(data), step)]

    for piece in [*pieces[:-1], pieces[-1] + rest]:
        assert opened is None
        opened = opening.feed(piece)

    assert opened is not None
    assert (opened.version, opened.rest) == (4, rest)
    assert decode_handshake(opened.payload) == handshake


@given(messages(Control))
def test_every_control_message_comes_back(message: Control) -> None:
    assert decode_control(encode_control(message)) == message


@given(st.binary(max_size=60))
def test_random_bytes_open_nothing(data: bytes) -> None:
    for start in (b"", b"\xc0\xde\x01\xac\x04", b"\xc0\xde\x01\xac\x04\0\0\0\x04"):
        try:
            opened = Opening().feed(start + data)
            if opened is not None:
                decode_handshake(opened.payload)
        except RemoteProtocolError as error:
            assert str(error)


@pytest.mark.parametrize("wrong", [b"G", b"\xc0D", b"\xc0\xde\x01\xad"])
def test_wrong_magic_is_refused_at_its_first_byte(wrong: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="magic"):
        Opening().feed(wrong)


@pytest.mark.parametrize("size", [0, HANDSHAKE_MAX + 1, 2**32 - 1])
def test_a_handshake_of_no_or_too_many_bytes_is_refused_from_its_length(size: int) -> None:
    with pytest.raises(RemoteProtocolError):
        Opening().feed(b"\xc0\xde\x01\xac\x04" + size.to_bytes(4, "big"))


def test_the_version_is_told_and_not_judged_before_the_channel_is_known() -> None:
    assert Opening().feed(encode_opening(Pool(), version=9)) == Opened(9, b'{"channel":"pool"}', b"")


@pytest.mark.parametrize(
    ("handshake", "accepted"),
    [
        (Pool(), [0, 1, 3, 4, 5, 255]),
        (SettingsSync(), [1, 2, 3, 4]),
        (OpenNotebook(path="/a.ipynb"), [4]),
        (NotebookSync(notebook_id="a"), [4]),
        (CreateNotebook(runtime="python"), [4]),
    ],
)
def test_each_channel_takes_its_versions(handshake: Handshake, accepted: list[int]) -> None:
    for version in (0, 1, 3, 4, 5, 255):
        if version in accepted:
            check_version(handshake, version)
        else:
            with pytest.raises(RemoteProtocolError, match="version"):
                check_version(handshake, version)


@pytest.mark.parametrize(
    ("payload", "handshake"),
    [
        (
            {
                "channel": "create_notebook",
                "runtime": "python",
                "working_dir": "/w",
                "typed_bootstrap": True,
                "operator": "agent:probe:74b0a543",
            },
            CreateNotebook(runtime="python", working_dir="/w", typed_bootstrap=True, operator="agent:probe:74b0a543"),
        ),
        (
            {"channel": "notebook_sync", "notebook_id": "u", "protocol": "v4", "typed_bootstrap": True},
            NotebookSync(notebook_id="u", typed_bootstrap=True),
        ),
    ],
)
def test_handshakes_look_as_those_of_nteract(payload: dict[str, Any], handshake: Handshake) -> None:
    opened = Opening().feed(encode_opening(handshake))

    assert opened is not None
    assert json.loads(opened.payload) == payload


@pytest.mark.parametrize(
    "payload", [b'{"channel":"bogus"}', b"{}", b'{"channel":"open_notebook"}', b'{"channel":"pool"', b"\xff"]
)
def test_unknown_channels_and_garbage_are_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_handshake(payload)


def test_an_operator_that_would_weigh_on_every_change_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        decode_handshake(json.dumps({"channel": "open_notebook", "path": "/a", "operator": "x" * 257}).encode())


def test_we_do_not_open_with_more_than_a_daemon_reads() -> None:
    with pytest.raises(LocalProtocolError):
        encode_opening(OpenNotebook(path="x" * HANDSHAKE_MAX))


def test_the_answer_of_the_real_daemon_is_understood() -> None:
    info = decode_control(
        b'{"type":"notebook_connection_info","protocol":"v4","protocol_version":4,"daemon_version":"2.9.0+9c85319",'
        b'"put_blob":{"version":1,"single_frame_max":33554432,"multipart":true,"ephemeral_supported":true},'
        b'"notebook_sync_receipt":true,"local_environment_selection":true,'
        b'"actor_label":"local:unknown/agent:probe:00000001","connection_scope":"owner",'
        b'"comments_doc_id":"comments:local-room:u","comments_notebook_ref":{"kind":"local_room","room_id":"u"},'
        b'"notebook_id":"u","cell_count":1,"needs_trust_approval":false,"ephemeral":false}'
    )

    assert isinstance(info, ConnectionInfo)
    assert info.notebook_sync_receipt
    assert info.put_blob == PutBlobSupport(
        version=1, single_frame_max=33554432, multipart=True, ephemeral_supported=True
    )
    assert info.runtimed is None


def test_what_serde_requires_is_always_written() -> None:
    info = ConnectionInfo(notebook_id="u", cell_count=0, needs_trust_approval=False)

    assert json.loads(encode_control(info)) == {
        "type": "notebook_connection_info",
        "protocol": "v4",
        "notebook_id": "u",
        "cell_count": 0,
        "needs_trust_approval": False,
        "ephemeral": False,
    }
    assert json.loads(encode_control(ProtocolCapabilities())) == {"type": "protocol_capabilities", "protocol": "v4"}


def test_statuses_look_as_those_of_nteract() -> None:
    status = SyncStatus(notebook_doc="pending", runtime_state="pending", initial_load=InitialLoad(phase="not_needed"))

    assert encode_control(status) == (
        b'{"type":"sync_status","notebook_doc":"pending","runtime_state":"pending",'
        b'"initial_load":{"phase":"not_needed"}}'
    )
    assert encode_control(HostedBridgeStatus(status="not_applicable")) == (
        b'{"type":"hosted_bridge_status","status":"not_applicable"}'
    )


@pytest.mark.parametrize(
    ("notebook", "runtime", "phase", "settled"),
    [
        ("interactive", "ready", "not_needed", True),
        ("interactive", "ready", "ready", True),
        ("interactive", "ready", "streaming", False),
        ("interactive", "syncing", "ready", False),
        ("syncing", "ready", "ready", False),
    ],
)
def test_a_session_is_settled_when_everything_is_there(notebook: Any, runtime: Any, phase: Any, settled: bool) -> None:
    status = SyncStatus(notebook_doc=notebook, runtime_state=runtime, initial_load=InitialLoad(phase=phase))

    assert status.settled is settled
