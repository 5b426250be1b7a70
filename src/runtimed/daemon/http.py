"""Blobs and health over HTTP on loopback, for clients that cannot read the blob folder (PROTOCOL §8.5)."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from runtimed.store.blobs import BlobStore

HEADERS = {"Access-Control-Allow-Origin": "*", "Cache-Control": "public, max-age=31536000, immutable"}
NOT_HERE = {"Access-Control-Allow-Origin": "*"}


class BlobServer:
    """Serves the blob store on a port of the loopback interface; ``port`` is known before it serves."""

    def __init__(self, blobs: BlobStore) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(_application(blobs), log_config=None, access_log=False, lifespan="off", ws="none")
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)

    async def start(self) -> None:
        # Without Server.serve: it takes the process's signals, which are the daemon's, and wakes ten times a second.
        await self._server.startup(sockets=[self._socket])

    async def stop(self) -> None:
        """Let requests under way end, then close."""
        await self._server.shutdown(sockets=[self._socket])


def _application(blobs: BlobStore) -> Starlette:
    async def blob(request: Request) -> Response:
        digest = request.path_params["digest"]
        meta = await asyncio.to_thread(blobs.meta, digest)
        if meta is None:
            return JSONResponse({"error": f"no blob {digest}"}, status_code=404, headers=NOT_HERE)
        return FileResponse(blobs.path(digest), media_type=meta.media_type, headers=HEADERS)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(routes=[Route("/blob/{digest}", blob), Route("/health", health)])
