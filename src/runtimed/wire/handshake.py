"""Handshake: a connection says once what it is for, in time and in our version, or it is refused."""

from __future__ import annotations

import struct
from typing import Any, Final, Literal, NamedTuple

import msgspec

from runtimed.errors import LocalProtocolError, RemoteProtocolError
from runtimed.wire.frames import KIB, MAGIC, PREAMBLE, VERSION
from runtimed.wire.messages import Label, Message, decode_json, encode_json

HANDSHAKE_MAX: Final = 64 * KIB
PROTOCOL: Final = f"v{VERSION}"
OURS: Final = {"version": 1}  # what we say under ``runtimed``, here and in a pong: the peer is one of us

_LENGTH = struct.Struct(">I")
_JSON_AT = len(PREAMBLE) + _LENGTH.size


# What a client opens with.


class _Channel(Message, frozen=True, tag_field="channel"):
    pass


class Pool(_Channel, frozen=True, tag="pool"):
    pass


class SettingsSync(_Channel, frozen=True, tag="settings_sync"):
    pass


class KernelLease(_Channel, frozen=True, tag="kernel_lease"):
    """Ours: what follows is in wire/leases."""


class _RoomChannel(_Channel, frozen=True, kw_only=True):
    typed_bootstrap: bool = False
    operator: Label | None = None
    client: str | None = None  # ours: "runtimed" when it is one of our own clients
    name: str | None = None  # ours: what the notebook is called, where its id was made from a name


class NotebookSync(_RoomChannel, frozen=True, kw_only=True, tag="notebook_sync"):
    notebook_id: str
    # A factory, so that it is always written.
    protocol: str = msgspec.field(default_factory=lambda: PROTOCOL)
    working_dir: str | None = None
    initial_metadata: str | None = None  # JSON


class CreateNotebook(_RoomChannel, frozen=True, kw_only=True, tag="create_notebook"):
    runtime: str
    working_dir: str | None = None
    notebook_id: str | None = None
    ephemeral: bool | None = None
    package_manager: str | None = None
    environment_mode: str | None = None
    dependencies: list[str] | None = None


class OpenNotebook(_RoomChannel, frozen=True, tag="open_notebook"):
    path: str


Handshake = Pool | SettingsSync | KernelLease | NotebookSync | CreateNotebook | OpenNotebook
RoomHandshake = NotebookSync | CreateNotebook | OpenNotebook


# What a daemon answers on a notebook channel, and tells on the way to a live session.


class _Control(Message, frozen=True, tag_field="type"):
    pass


class PutBlobSupport(Message, frozen=True, kw_only=True):
    version: int
    single_frame_max: int
    multipart: bool
    ephemeral_supported: bool


class CommentsNotebookRef(Message, frozen=True):
    kind: str
    room_id: str | None = None


class _Bootstrap(_Control, frozen=True, kw_only=True):
    protocol: str = msgspec.field(default_factory=lambda: PROTOCOL)
    protocol_version: int | None = None
    daemon_version: str | None = None
    put_blob: PutBlobSupport | None = None
    notebook_sync_receipt: bool = False
    local_environment_selection: bool = False
    actor_label: str | None = None
    connection_scope: str | None = None
    comments_doc_id: str | None = None
    comments_notebook_ref: CommentsNotebookRef | None = None
    runtimed: dict[str, Any] | None = None  # ours: our capabilities


class ProtocolCapabilities(_Bootstrap, frozen=True, kw_only=True, tag="protocol_capabilities"):
    """The answer to notebook_sync."""


class ConnectionInfo(_Bootstrap, frozen=True, kw_only=True, tag="notebook_connection_info"):
    """The answer to create_notebook and open_notebook; with ``error`` the refusal of any."""

    notebook_id: str
    cell_count: int
    needs_trust_approval: bool
    ephemeral: bool = msgspec.field(default_factory=lambda: False)
    notebook_path: str | None = None
    error: str | None = None


class InitialLoad(Message, frozen=True):
    phase: Literal["not_needed", "streaming", "ready", "failed"]
    reason: str | None = None  # of failed


class SyncStatus(_Control, frozen=True, kw_only=True, tag="sync_status"):
    """Where the start of a session stands; always told whole."""

    notebook_doc: Literal["pending", "syncing", "interactive"]
    runtime_state: Literal["pending", "syncing", "ready"]
    initial_load: InitialLoad

    @property
    def settled(self) -> bool:
        """Whether clients stop waiting: both documents are there and the file, if any, is loaded."""
        loaded = self.initial_load.phase in ("not_needed", "ready")
        return loaded and self.notebook_doc == "interactive" and self.runtime_state == "ready"


class HostedBridgeStatus(_Control, frozen=True, tag="hosted_bridge_status"):
    status: str


Control = ConnectionInfo | ProtocolCapabilities | SyncStatus | HostedBridgeStatus

_handshakes: msgspec.json.Decoder[Handshake] = msgspec.json.Decoder(Handshake)
_controls: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)


class Opened(NamedTuple):
    version: int
    payload: bytes  # for decode_handshake
    rest: bytes  # what came after it


class Opening:
    """Collects the first bytes of a connection until its handshake is whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Opened | None:
        """The handshake once it is there; wrong magic is refused at its first wrong byte."""
        self._buffer += data
        head = self._buffer[: len(MAGIC)]
        if head != MAGIC[: len(head)]:
            raise RemoteProtocolError("a connection that does not open with the magic bytes of this protocol")
        if len(self._buffer) < _JSON_AT:
            return None
        (size,) = _LENGTH.unpack_from(self._buffer, len(PREAMBLE))
        if not 0 < size <= HANDSHAKE_MAX:
            raise RemoteProtocolError(f"a handshake of {size} bytes; it must have 1 to {HANDSHAKE_MAX}")
        return self._opened(_JSON_AT + size)

    def _opened(self, end: int) -> Opened | None:
        if len(self._buffer) < end:
            return None
        return Opened(self._buffer[len(MAGIC)], bytes(self._buffer[_JSON_AT:end]), bytes(self._buffer[end:]))


def decode_handshake(payload: bytes) -> Handshake:
    return decode_json(_handshakes, payload)


def check_version(handshake: Handshake, version: int) -> None:
    """The pool answers anybody, so that a client of another version can find out whom it met."""
    accepted = range(1, VERSION + 1) if isinstance(handshake, SettingsSync) else (VERSION,)
    if not isinstance(handshake, Pool) and version not in accepted:
        raise RemoteProtocolError(f"a client that speaks version {version} of the protocol; this is {VERSION}")


def encode_opening(handshake: Handshake, version: int = VERSION) -> bytes:
    payload = encode_json(handshake)
    if len(payload) > HANDSHAKE_MAX:
        raise LocalProtocolError(f"a handshake of {len(payload)} bytes; the cap is {HANDSHAKE_MAX}")
    return MAGIC + bytes([version]) + _LENGTH.pack(len(payload)) + payload


def decode_control(payload: bytes) -> Control:
    return decode_json(_controls, payload)


def encode_control(message: Control) -> bytes:
    return encode_json(message)
