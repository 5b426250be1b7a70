"""Mended: a message with half a character in it is read all the same, so that its sender gets an answer."""

from __future__ import annotations

import json

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError

from runtimed.mcp.mended import MendedStream

pytestmark = pytest.mark.anyio

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", "arguments": {"a": "\ud83d"}}}


async def mended(line: str) -> SessionMessage | Exception:
    """A line as the SDK reads it, and then we."""
    send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](1)
    async with send, MendedStream(receive) as stream:
        try:
            await send.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))
        except ValidationError as error:
            await send.send(error)
        return await stream.receive()


async def test_half_a_character_in_an_argument_reaches_the_tool() -> None:
    item = await mended(json.dumps(CALL))

    assert isinstance(item, SessionMessage)
    assert item.message.params["arguments"] == {"a": "\ud83d"}


async def test_what_can_be_read_is_passed_on() -> None:
    item = await mended(json.dumps(CALL).replace("ud83d", "u0041"))

    assert isinstance(item, SessionMessage)
    assert item.message.params["arguments"] == {"a": "A"}


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        "{}",
        '"\\ud83d"',
        json.dumps(CALL | {"method": "\ud83d"}),
        json.dumps(CALL | {"id": "\ud83d"}),
        json.dumps(CALL | {"params": {"name": "\ud83d"}}),
        json.dumps(CALL | {"params": ["\ud83d"]}),
    ],
)
async def test_what_is_no_message_stays_an_error(line: str) -> None:
    assert isinstance(await mended(line), ValidationError)


async def test_the_end_below_is_the_end() -> None:
    send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](1)
    send.close()

    assert [item async for item in MendedStream(receive)] == []
    await receive.aclose()
