"""Processes forked from a warm parent: the imports are paid once, and nothing leaks from one section into another."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import tempfile
import threading
import types
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
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


async def run(target: Callable[[list[str]], int], arguments: list[str]) -> tuple[int, str]:
    """Run ``target(arguments)`` in a forked child with this process's folder, path and environment.

    Returns:
        Its exit code, and what it wrote to stdout and stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "output")
        process = await asyncio.to_thread(
            start, _redirected, str(log), os.getpgrp(), os.getcwd(), sys.path, dict(os.environ), target, arguments
        )
        await asyncio.to_thread(process.join)
        code = process.exitcode if process.exitcode is not None else 1
        return code, log.read_text(errors="replace") if log.exists() else ""


def _redirected(
    log: str,
    group: int,
    folder: str,
    path: list[str],
    environment: dict[str, str],
    target: Callable[[list[str]], int],
    arguments: list[str],
) -> None:
    os.setpgid(0, group)  # a section that runs out of time is killed with all its processes
    stream = open(log, "w", buffering=1)  # noqa: SIM115  # open until the process ends
    sys.stdout = sys.stderr = stream
    os.chdir(folder)
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)
    tracing.mark_imports(tracing.HitFile())
    code = target(arguments)
    stream.flush()
    os._exit(code)
