"""The files of a project: what is read, what is left out, and why."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

LEFT_OUT = frozenset({
    ".bzr", ".direnv", ".eggs", ".git", ".git-rewrite", ".hg", ".idea", ".ipynb_checkpoints", ".mypy_cache", ".nox", ".pyenv",
    ".pytest_cache", ".pytype", ".ruff_cache", ".svn", ".tox", ".venv", ".vscode", "__pycache__", "__pypackages__", "_build",
    "build", "dist", "htmlcov", "node_modules", "site-packages", "venv",
})  # fmt: skip
LARGEST = 2 * 1024 * 1024  # bytes; a larger file holds data, not code


_TEST_FOLDERS = frozenset({"test", "tests", "testing", "e2e"})


def is_test(path: str) -> bool:
    """Whether a file belongs to the tests of a project."""
    *folders, name = path.split("/")
    return (
        name.startswith("test_")
        or name.endswith("_test.py")
        or name == "conftest.py"
        or not _TEST_FOLDERS.isdisjoint(folders)
    )


@dataclass(frozen=True)
class Tree:
    """The files below a folder.

    Attributes:
        root: The folder.
        files: Paths relative to it, with slashes, sorted.
        unread: Files that were left out though they might matter, with the reason.
    """

    root: Path
    files: tuple[str, ...]
    unread: list[tuple[str, str]] = field(default_factory=list)

    def read(self, name: str) -> bytes | None:
        """The content of a file; None, and a note in `unread`, where it cannot be had."""
        try:
            with (self.root / name).open("rb") as file:
                data = file.read(LARGEST + 1)
        except OSError as error:
            self.unread.append((name, error.strerror or str(error)))
            return None
        if len(data) > LARGEST:
            self.unread.append((name, f"larger than {LARGEST} bytes"))
            return None
        return data

    def text(self, name: str) -> str | None:
        """The content of a file as text. What is not UTF-8 is replaced: such a file is still worth a look."""
        data = self.read(name)
        return None if data is None else data.decode("utf-8-sig", errors="replace")


def replace(path: Path, content: bytes) -> None:
    """Write a file that exists, in one step and with its mode: it is there as a whole, old or new.

    Raises:
        OSError: It cannot be written.
    """
    path = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, path.stat().st_mode & 0o7777)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def walk(root: Path, exclude: Iterable[str] = ()) -> Tree:
    """List the files of a project.

    Args:
        root: A folder. Links to folders are not followed, and links to files only where they stay inside it.
        exclude: Patterns such as `tests/*` or `legacy`, matched against the path and each of its folders.

    Raises:
        OSError: The folder cannot be listed.
    """
    patterns = tuple(pattern.rstrip("/") for pattern in exclude)
    real = os.path.realpath(root)
    files: list[str] = []
    unread: list[tuple[str, str]] = []

    def visit(folder: str, prefix: str) -> None:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if not prefix:
                raise
            unread.append((prefix, error.strerror or str(error)))
            return
        for entry in entries:
            name = prefix + entry.name
            if any(fnmatchcase(name, pattern) or fnmatchcase(entry.name, pattern) for pattern in patterns):
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in LEFT_OUT and not os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
                    visit(entry.path, name + "/")
            elif entry.is_symlink() and not os.path.realpath(entry.path).startswith(real + os.sep):
                unread.append((name, "a link that leads out of the project"))
            elif entry.is_file():
                files.append(name)

    visit(os.fspath(root), "")
    return Tree(root, tuple(files), unread)
