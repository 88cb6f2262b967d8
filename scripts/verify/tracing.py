"""Which statements of titled files ran: in the section's process, in forked children, and in processes it starts."""

from __future__ import annotations

import builtins
import os
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any, Protocol

from verify import instrument

FILES = "VERIFY_FILES"  # names a file: one line for each titled file of the section
HITS = "VERIFY_HITS"  # names a file: one line for each statement that ran in a child
CHILD_SITE = Path(__file__).parent / "child_site"  # its sitecustomize.py traces processes that the section starts


class Marker(Protocol):
    """Told of every statement before it runs."""

    def hit(self, line: int) -> None: ...


class HitFile:
    """A marker for a forked child: writes each line once, at once, so that a killed child loses nothing."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._file = open(os.environ[HITS], "a", buffering=1)  # noqa: SIM115

    def hit(self, line: int) -> None:
        if line not in self._seen:
            self._seen.add(line)
            self._file.write(f"{line}\n")


def prepare(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Make the two files in ``folder``.

    Returns:
        What the environment of the section and its children must hold.
    """
    files, hits = folder / "files", folder / "hits"
    files.touch()
    hits.touch()
    path = os.pathsep.join(part for part in (str(CHILD_SITE), environment.get("PYTHONPATH", "")) if part)
    return {FILES: str(files), HITS: str(hits), "PYTHONPATH": path}


def add_file(path: Path) -> None:
    """Say that a file of the run folder is a titled one, with lines equal to those of the page."""
    with open(os.environ[FILES], "a") as files:
        files.write(f"{path}\n")


def child_hits() -> set[int]:
    """Lines that ran in children so far."""
    return {int(line) for line in Path(os.environ[HITS]).read_text().split()}


def mark_imports(marker: Marker) -> None:
    """Make every import of a titled file report to ``marker``."""
    setattr(builtins, instrument.PROBE, marker)
    plain = SourceFileLoader.source_to_code

    def source_to_code(self: SourceFileLoader, data: Any, path: Any, **options: Any) -> CodeType:
        if str(path) in Path(os.environ[FILES]).read_text().splitlines():
            return instrument.module(bytes(data).decode(), str(path))
        return plain(self, data, path, **options)

    SourceFileLoader.source_to_code = source_to_code  # type: ignore[assignment,method-assign]
