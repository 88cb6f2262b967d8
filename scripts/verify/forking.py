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
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode if process.exitcode is not None else 1


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
