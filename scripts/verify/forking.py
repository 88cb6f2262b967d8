"""Processes forked from a warm parent: the imports are paid once, and nothing leaks from one section into another."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import traceback
import types
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from verify import tracing

_starting = threading.Lock()


def context() -> ForkServerContext:
    """The start method: a server with the libraries of verify.warm loaded, which forks a child for each job."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["verify.warm"])
    return found


def start(target: Callable[..., Any], *arguments: Any) -> ForkServerProcess:
    """Start a child that calls ``target``.

    multiprocessing would import the main module of this process (pytest) again in every child; an empty one stands in
    its place while the child is described.
    """
    process = context().Process(target=target, args=arguments)
    with _starting:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            process.start()
        finally:
            sys.modules["__main__"] = main
    return process


def exit_code(process: ForkServerProcess, seconds: float | None = None) -> int | None:
    """Wait for a child, from any thread.

    multiprocessing reads a child's exit code out of a pipe, once, and looks at all children whenever one is started.
    When two threads do so at the same time, the second finds the pipe empty and takes 255 for the code.

    Returns:
        Its exit code; None where it still runs after that time.
    """
    connection.wait([process.sentinel], seconds)
    with _starting:
        return process.exitcode


@dataclass(frozen=True)
class Wish:
    """What a section wants to be run beside it: an alembic command in a process forked from the same warm parent.

    A child of the fork server cannot ask it for children of its own (CPython starts a second server instead), so the
    section sends its wish to the process that started it.

    Attributes:
        group: Process group of the section, so that the child dies with it.
        log: File for stdout and stderr.
    """

    arguments: list[str]
    group: int
    folder: str
    path: list[str]
    environment: dict[str, str]
    log: str


def grant(wish: Wish, seconds: float) -> int:
    """Run a wish to its end.

    Args:
        seconds: Time after which the child is given up.

    Returns:
        Its exit code.
    """
    process = start(_run_wish, wish)
    code = exit_code(process, seconds)
    if code is None:
        process.kill()
        code = exit_code(process)
    return 1 if code is None else code


def _run_wish(wish: Wish) -> None:
    os.setpgid(0, wish.group)
    with open(wish.log, "wb") as log:  # alembic keeps the sys.stdout that it found when it was imported
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.chdir(wish.folder)
    sys.path[:] = wish.path
    sys.dont_write_bytecode = True
    os.environ.clear()
    os.environ.update(wish.environment)
    tracing.mark_imports(tracing.HitFile())
    code = _alembic(wish.arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _alembic(arguments: list[str]) -> int:
    from alembic.config import main

    try:
        main(argv=arguments, prog="alembic")
    except SystemExit as error:
        if isinstance(error.code, str):
            sys.stderr.write(error.code + "\n")
            return 1
        return error.code or 0
    except Exception:
        traceback.print_exc()
        return 1
    return 0
