"""From prepared files to a server that answers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from verify.databases import connections
from verify.databases.process import free_port, keep, private_folder
from verify.databases.server import Server, Unavailable
from verify.pages import Database

ATTEMPTS = 3  # another process may take the free port before the server does


@dataclass(frozen=True)
class Kind:
    """What differs between servers.

    Attributes:
        port_taken: What the log says when somebody else has the port.
        stop_signal: INT or TERM: what ends the server fast.
        remedy: The line that helps when it does not start.
    """

    backend: Database
    port_taken: str
    stop_signal: str
    remedy: str


@contextmanager
def prepared_folder(kind: Kind) -> Iterator[Path]:
    """A folder for a server, removed again when its preparation or start fails."""
    folder = private_folder(kind.backend)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def launch(
    kind: Kind,
    folder: Path,
    environment: Mapping[str, str],
    command: Callable[[int], Sequence[str | Path]],
    ready: Callable[[], bool],
    url: Callable[[int], str],
    origin: str,
) -> Server:
    """Start a server on a free port.

    Args:
        folder: Its prepared files.
        command: The command line for a port.
        ready: Whether it takes connections.
        url: The URL for a port.
        origin: Whose server it is.

    Raises:
        Unavailable: It does not start, or refuses connections.
    """
    for attempt in range(1, ATTEMPTS + 1):
        port = free_port()
        try:
            process = keep(command(port), folder, environment, ready, stop_signal=kind.stop_signal, remedy=kind.remedy)
            break
        except Unavailable as error:
            if kind.port_taken not in error.reason or attempt == ATTEMPTS:
                raise
    server = Server(kind.backend, url(port), "", origin, process, folder)
    try:
        server.version = asyncio.run(connections.version(server.url))
    except Exception as error:
        server.stop()
        raise Unavailable(f"the server started but refuses connections: {error}", kind.remedy) from None
    return server
