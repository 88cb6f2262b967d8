"""What a lab gives to its section."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from verify.databases import connections
from verify.databases.process import STARTUP_SECONDS
from verify.databases.server import Unavailable


@dataclass(frozen=True)
class Lab:
    """Servers that run.

    Attributes:
        url: The section's database: ``DATABASE_URL`` and the ambient engine.
        environment: URLs and process ids for the section.
    """

    url: str
    environment: Mapping[str, str]


def program(name: str, package: str) -> str:
    """The path of a server program.

    Raises:
        Unavailable: The machine has none.
    """
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which(name, path=path)
    if not found:
        raise Unavailable(f"this machine has no {name}", f"apt-get install {package}")
    return found


def resume(pid: int) -> None:
    """Let a process that a section may have stopped by SIGSTOP go on, so that it can end."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def make_everywhere(url: str, nodes: Sequence[str]) -> None:
    """Make an empty database, and wait until it has come to every node.

    Args:
        url: The database, where it is made.
        nodes: Its URLs on the other nodes.

    Raises:
        Unavailable: It has not come in time.
    """
    asyncio.run(connections.make_empty(url))
    deadline = time.monotonic() + STARTUP_SECONDS
    for node in nodes:
        while True:
            try:
                asyncio.run(connections.version(node))
                break
            except asyncpg.InvalidCatalogNameError:
                if time.monotonic() > deadline:
                    raise Unavailable(f"{node} does not follow the other nodes", "read its log") from None
                time.sleep(0.05)
