"""What the process of a section and the one that started it say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from verify.forking import Wish
from verify.pages import Database
from verify.probe import Raised


@dataclass(frozen=True)
class Result:
    """What became of one block on one database.

    Attributes:
        outcome: "passed", "failed" or "not run".
        message: For the other two: what was expected, what came, and where.
        seconds: Wall time.
        proofs: Checks made.
        statements: SQL that was sent, an executemany with its number of rows.
        raises: Announced errors with their classes.
    """

    line: int
    outcome: str
    message: str = ""
    seconds: float = 0.0
    proofs: int = 0
    statements: tuple[str, ...] = ()
    raises: tuple[Raised, ...] = ()


@dataclass(frozen=True)
class Restart:
    """A titled file was replaced: the rest runs in a new process."""

    step: int


@dataclass(frozen=True)
class Done:
    """The end of a process.

    Attributes:
        hits: Lines of the statements that ran.
        stops: Lines at which an announced error left a function.
        began: When the process began, on the clock of ``time.monotonic``.
        database_seconds: Spent on emptying the database and on the automatic tables.
    """

    hits: frozenset[int]
    stops: frozenset[int]
    began: float
    database_seconds: float


Message = Result | Restart | Done | Wish


@dataclass(frozen=True)
class Job:
    """What a process is to run.

    Attributes:
        folder: The extracted section.
        home: Folder of this run; the section's own folder is ``work`` below it.
        first: Number of the first step.
        trial: Line of a norun block that is tried after the blocks before it; 0 for a normal run.
        environment: What the servers of a lab are found by.
    """

    folder: Path
    database: Database
    url: str
    home: Path
    first: int = 0
    trial: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.home / "work"

    @property
    def stacks(self) -> Path:
        """Where the stacks stand when the section ran out of time."""
        return self.home / "stacks"
