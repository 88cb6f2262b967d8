"""Runs sections on databases: a forked process for each, two at a time on two cores, with a time limit."""

from __future__ import annotations

import dataclasses
import os
import queue
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from verify import forking, labs, section
from verify.extract import Program
from verify.forking import Wish
from verify.messages import Done, Job, Message, Restart, Result
from verify.pages import Database

GRACE = 30  # seconds for a process to start, and to end itself when its section ran out of time


@dataclass
class SectionRun:
    """What came of a section on a database.

    Attributes:
        results: By the line of the block.
        problem: What the section left behind, or why its process died outside a block.
        hits: Lines of the statements that ran.
        stops: Lines at which an announced error left a function.
        process_seconds: From the wish for a process to its first line of code, and from its last one to its end.
        database_seconds: Spent on emptying the database and on the automatic tables.
    """

    program: Program
    database: Database
    results: dict[int, Result] = field(default_factory=dict)
    problem: str = ""
    hits: set[int] = field(default_factory=set)
    stops: set[int] = field(default_factory=set)
    seconds: float = 0.0
    process_seconds: float = 0.0
    database_seconds: float = 0.0


class Runner:
    """Runs sections in the background; a slot is a process and a database of its own on every server.

    Args:
        urls: For each slot, the database URLs.
    """

    def __init__(self, urls: Sequence[Mapping[Database, str]]) -> None:
        self._slots: queue.SimpleQueue[Mapping[Database, str]] = queue.SimpleQueue()
        for slot in urls:
            self._slots.put(slot)
        self._pool = ThreadPoolExecutor(len(urls), thread_name_prefix="section")
        self._home = Path(tempfile.mkdtemp(prefix="verify-", dir=_fast_folder()))
        self._home.chmod(0o755)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._home, ignore_errors=True)

    def submit(self, program: Program, database: Database, trial: int = 0) -> Future[SectionRun]:
        """Run a section as soon as a slot is free.

        Args:
            trial: Line of a norun block to try after the blocks before it.
        """
        return self._pool.submit(self._run, program, database, trial)

    def _run(self, program: Program, database: Database, trial: int) -> SectionRun:
        slot = self._slots.get()
        home = Path(tempfile.mkdtemp(dir=self._home))
        try:
            return run_section(program, database, slot[database], home, trial)
        finally:
            shutil.rmtree(home, ignore_errors=True)
            self._slots.put(slot)


def run_section(program: Program, database: Database, url: str, home: Path, trial: int = 0) -> SectionRun:
    """Run one section now.

    Args:
        url: A database that is emptied first.
        home: A folder for the run.
        trial: Line of a norun block to try after the blocks before it.

    Raises:
        Unavailable: The servers of its lab cannot be had.
    """
    outcome = SectionRun(program, database)
    started = time.monotonic()
    with labs.running(program.lab, url) as lab:
        job = Job(program.folder, database, lab.url, home, 0, trial, lab.environment)
        job.work.mkdir()
        first: int | None = 0
        while first is not None:
            first = _run_process(dataclasses.replace(job, first=first), outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


def _run_process(job: Job, outcome: SectionRun) -> int | None:
    """Run one process of a section.

    Returns:
        The step with which the next process starts, None at the end.
    """
    ours, theirs = forking.context().Pipe()
    asked = time.monotonic()
    process = forking.start(_child, job, theirs)
    theirs.close()
    restart: int | None = None
    done, last = False, asked
    deadline = asked + outcome.program.seconds + GRACE
    try:
        while ours.poll(max(0.0, deadline - time.monotonic())):
            message: Message = ours.recv()
            if isinstance(message, Wish):
                ours.send(forking.grant(message, max(0.0, deadline - time.monotonic())))
            elif isinstance(message, Restart):
                restart = message.step
            elif isinstance(message, Done):
                done = True
                outcome.hits |= message.hits
                outcome.stops |= message.stops
                outcome.database_seconds += message.database_seconds
                outcome.process_seconds += message.began - asked
                last = time.monotonic()
            elif message.line:
                outcome.results[message.line] = message
            else:
                outcome.problem = message.message
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the child is gone; what it had to say has been read
    finally:
        _kill(process.pid)
        code = forking.exit_code(process)
        ours.close()
    if done:
        outcome.process_seconds += time.monotonic() - last
        return restart
    _blame_death(job, outcome, code)
    return None


def _child(job: Job, connection: Connection) -> None:
    section.run(job, connection.send, connection.recv)
    connection.close()
    os._exit(0)


def _kill(pid: int | None) -> None:
    try:
        if pid:
            os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _blame_death(job: Job, outcome: SectionRun, code: int | None) -> None:
    """The process ended too early: the block that ran fails, those after it were not run."""
    stacks = job.stacks.read_text(errors="replace") if job.stacks.exists() else ""
    said = (job.home / "stderr").read_text(errors="replace") if (job.home / "stderr").exists() else ""
    reason = "\n".join([f"the process died with exit code {code}", *said.splitlines()[-15:]])
    if stacks:
        reason = f"the section ran longer than {outcome.program.seconds} s; its stacks:\n{stacks}"
    elif code == -signal.SIGKILL:
        reason = "the process was killed: it gave no sign of life, or the machine ran out of memory"
    waiting = [
        step.block.line
        for step in outcome.program.steps
        if job.database in step.block.databases and step.block.line not in outcome.results and not step.block.norun
    ]
    if not waiting:
        outcome.problem = reason
        return
    first, *rest = waiting
    outcome.results[first] = Result(first, "failed", f"{outcome.program.page}:{first}: {reason}")
    for line in rest:
        outcome.results[line] = Result(line, "not run", f"not run: the block on line {first} failed before it")


def _fast_folder() -> str | None:
    """Memory, where there is room; else the system's folder for temporary files."""
    memory = Path("/dev/shm")  # noqa: S108
    return (
        str(memory)
        if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
        else None
    )
