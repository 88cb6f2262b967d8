"""`proxy_server.py PORT HOST:PORT CONTROL_PORT`: forward TCP with the fault that `PUT /<fault>` on the control port names.

Faults: none; blackhole (bytes are swallowed, connections stay open); reset (every connection is reset, later ones are
forwarded); refuse (connections are reset as they come); lost-commit (the reply to the next COMMIT is lost).
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress

FAULTS = frozenset({"none", "blackhole", "reset", "refuse", "lost-commit"})


class Proxy:
    """Connections in pairs: client and server."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port, self.fault = host, port, "none"
        self.clients: set[asyncio.StreamWriter] = set()

    def set(self, fault: str) -> None:
        """Change the fault."""
        self.fault = fault
        if fault in {"reset", "refuse"}:
            for client in self.clients:
                _reset(client)
        if fault == "reset":
            self.fault = "none"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until one side ends it."""
        if self.fault == "refuse":
            _reset(writer)
            return
        self.clients.add(writer)
        upstream: asyncio.StreamWriter | None = None
        with suppress(OSError, asyncio.IncompleteReadError):
            answers, upstream = await asyncio.open_connection(self.host, self.port)
            tasks = {
                asyncio.create_task(self._forward(reader, upstream, writer)),
                asyncio.create_task(self._forward(answers, writer, None)),
            }
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self.clients.discard(writer)
        for side in (upstream, writer):
            if side is not None:
                side.close()

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, client: asyncio.StreamWriter | None
    ) -> None:
        while data := await source.read(65536):
            if self.fault == "blackhole":
                continue
            lost = client is not None and self.fault == "lost-commit" and b"COMMIT" in data
            if lost:
                self.fault = "blackhole"  # swallows the reply
            target.write(data)
            await target.drain()
            if lost and client is not None:
                await asyncio.sleep(0.2)
                self.fault = "none"
                _reset(client)
                return

    async def controlled(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request `PUT /<fault>`."""
        head = await reader.readuntil(b"\r\n\r\n")
        fault = head.split()[1].decode().strip("/")
        known = fault in FAULTS
        if known:
            self.set(fault)
        status, body = ("200 OK", fault) if known else ("404 Not Found", f"unknown fault; one of {sorted(FAULTS)}")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST: with a linger time of 0 the kernel throws away what it has not sent."""
    taken = writer.get_extra_info("socket")
    with suppress(OSError):
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _serve(port: int, target: str, control: int) -> None:
    host, _, target_port = target.rpartition(":")
    proxy = Proxy(host, int(target_port))
    await asyncio.start_server(proxy.connected, "127.0.0.1", port)
    await asyncio.start_server(proxy.controlled, "127.0.0.1", control)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
