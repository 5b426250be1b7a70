"""``runtimed-mcp``: an MCP server on stdin and stdout that ends when its host hangs up; kernels stay."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from argparse import ArgumentParser
from importlib.util import find_spec
from typing import TYPE_CHECKING

from runtimed.settings import VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Serve = Callable[[], Awaitable[None]]

log = logging.getLogger(__name__)


def main() -> None:
    """The command: talks MCP until stdin ends."""
    parser = ArgumentParser(prog="runtimed-mcp", description="Shared Jupyter notebooks for agents, by MCP over stdio.")
    parser.add_argument("--version", action="version", version=f"runtimed {VERSION}")
    parser.parse_args()
    if find_spec("mcp") is None:
        sys.exit("runtimed-mcp needs the mcp package: pip install 'mcp>=2.1,<3'")
    # Nothing here needs tidying up, and a thread that reads stdin would hold up a KeyboardInterrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import anyio

    anyio.run(_until_the_host_hangs_up, _made())


def _made() -> Serve:
    # The SDK makes tens of thousands of objects that live as long as we do: looking for garbage among them
    # cost a seventh of the start, and later a pause in the middle of a call.
    gc.disable()
    from runtimed.mcp.server import create_server

    server = create_server()
    gc.freeze()
    gc.enable()
    return server.run_stdio_async


async def _until_the_host_hangs_up(serve: Serve) -> None:
    try:
        await serve()
    except* (BrokenPipeError, ConnectionResetError):
        log.info("the host hung up in the middle of an answer")
    # A thread may still wait for a daemon to start; the host, which has hung up, must not wait for that thread.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
