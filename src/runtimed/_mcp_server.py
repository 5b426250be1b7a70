"""``runtimed-mcp``: an MCP server on stdin and stdout that ends when its host hangs up; kernels stay."""

from __future__ import annotations

import os
import signal
import sys
from argparse import ArgumentParser
from importlib.util import find_spec

from runtimed.settings import VERSION


def main() -> None:
    """The command: talks MCP until stdin ends."""
    parser = ArgumentParser(prog="runtimed-mcp", description="Shared Jupyter notebooks for agents, by MCP over stdio.")
    parser.add_argument("--version", action="version", version=f"runtimed {VERSION}")
    parser.parse_args()
    if find_spec("mcp") is None:
        sys.exit("runtimed-mcp needs the mcp package: pip install 'runtimed[mcp]'")
    # Nothing here needs tidying up, and a thread that reads stdin would hold up a KeyboardInterrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import anyio

    anyio.run(_serve)


async def _serve() -> None:
    from runtimed.mcp.server import create_server

    await create_server().run_stdio_async()
    # A thread may still wait for a daemon to start; the host, which has hung up, must not wait for that thread.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
