"""What pyproject.toml says about the project: the one place of its version."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class PackageError(Exception):
    """The package would be wrong; the text says what is wrong, and what to do."""


@dataclass(frozen=True)
class Project:
    """The project as the manifests of the package name it."""

    version: str
    description: str
    author: str
    keywords: tuple[str, ...]

    @classmethod
    def read(cls, root: Path) -> Project:
        """Read it.

        Raises:
            PackageError: The version is not one that the clients of the skill can compare.
        """
        said = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        project = cls(said["version"], said["description"], said["authors"][0]["name"], tuple(said["keywords"]))
        numbers(project.version)
        return project


def numbers(version: str) -> tuple[int, ...]:
    """A version as something to compare.

    Raises:
        PackageError: It is not of the form 1.2.3.
    """
    match = _VERSION.fullmatch(version)
    if not match:
        raise PackageError(f"pyproject.toml: the version {version} is not of the form 1.2.3")
    return tuple(map(int, match.groups()))
