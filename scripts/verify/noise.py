"""Warnings and logs of drivers that no user can avoid. Each entry has a test in tests/test_noise.py that it still occurs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from verify.pages import Database


@dataclass(frozen=True)
class Noise:
    """One known disturbance.

    Attributes:
        databases: Where it occurs.
        kind: warning, log, stderr or unraisable.
        category: Class of the warning or name of the logger.
        pattern: Regular expression that its whole text matches.
        source: Who emits it, and when.
    """

    databases: tuple[Database, ...]
    kind: str
    category: str
    pattern: str
    source: str


KNOWN: tuple[Noise, ...] = (
    Noise(
        ("sqlite",),
        "warning",
        "RuntimeWarning",
        r"coroutine 'Connection\.cursor' was never awaited",
        "aiosqlite: the adapter makes the coroutine before it finds that no greenlet runs (MissingGreenlet)",
    ),
    Noise(
        ("mariadb",),
        "log",
        "asyncmy",
        r"Name '\w+' ignored for PRIMARY key\.",
        "asyncmy logs the server's notes: MariaDB has no names for primary keys",
    ),
    Noise(
        ("sqlite",),
        "log",
        "sqlalchemy.pool.impl.AsyncAdaptedQueuePool",
        r"Exception during reset or similar \(MissingGreenlet: .*",
        "SQLAlchemy: a lazy load outside a greenlet fails at BEGIN, and the pool cannot roll the connection back either",
    ),
)


def is_known(database: Database, kind: str, category: str, text: str) -> bool:
    """Whether a disturbance is in the list."""
    return any(
        database in one.databases
        and one.kind == kind
        and one.category == category
        and re.fullmatch(one.pattern, text, re.DOTALL)
        for one in KNOWN
    )
