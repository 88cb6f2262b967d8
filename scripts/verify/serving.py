"""The section's app behind a real uvicorn, and a client of it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import uvicorn

SECONDS = 20  # for one request


class AppServer:
    """Serves one app at a time in this event loop.

    Attributes:
        app: The app that is served.
        client: A client of it; None while nothing is served.
    """

    def __init__(self) -> None:
        self.app: Any = None
        self.client: httpx.AsyncClient | None = None
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def serve(self, app: Any) -> httpx.AsyncClient:
        """Serve an app on a free port, with its lifespan, in place of the one before.

        Raises:
            RuntimeError: Its lifespan failed.
        """
        await self.stop()
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, log_config=None, lifespan="on", ws="websockets-sansio", http="h11"
        )
        self._server, self.app = uvicorn.Server(config), app
        self._serving = asyncio.create_task(_run(self._server))
        while not self._server.started and not self._serving.done():  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.005)
        if self._serving.done():
            raise RuntimeError("the section's app did not start; its lifespan failed")
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=SECONDS)
        return self.client

    async def stop(self) -> None:
        """End the server and the client, if there are any."""
        if self.client:
            await self.client.aclose()
        if self._server and self._serving:
            self._server.should_exit = True
            await self._serving
        self.client = self._server = self._serving = None


async def _run(server: uvicorn.Server) -> None:
    try:
        await server.serve()
    except SystemExit:  # how uvicorn says that the lifespan failed; the log says why
        return
