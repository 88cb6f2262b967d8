"""A Redis that keeps nothing on disk."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from verify.databases.process import free_port, keep, private_folder
from verify.databases.server import Server
from verify.labs.lab import Lab, program


@contextmanager
def running(url: str) -> Iterator[Lab]:
    """REDIS_URL beside the section's database."""
    binary = program("redis-server", "redis-server")
    folder, port = private_folder("redis"), free_port()
    command: list[str | Path] = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    process = keep(
        command,
        folder,
        {},
        lambda: _answers(port),
        stop_signal="TERM",
        remedy="apt-get install redis-server, or leave labs out with --no-labs",
    )
    server = Server("postgresql", url, "", binary, process, folder)
    try:
        yield Lab(url, {"REDIS_URL": f"redis://127.0.0.1:{port}/0"})
    finally:
        server.stop()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
