"""What a project says about its audit: the table `[tool.async-sqlmodel]` of its pyproject.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditing.catalogue import RULES

KEYS = ("select", "ignore", "exclude", "possible", "per-file-ignores", "baseline")


class SettingsError(Exception):
    """The settings, or a file that they name, cannot be used; the text names it."""


@dataclass(frozen=True)
class Settings:
    """The table, checked.

    Attributes:
        select: Ids of the rules to look for; all where empty.
        ignore: Ids not to look for.
        exclude: Patterns of paths that are not read.
        possible: Whether findings of which a check is not sure are shown, too.
        by_path: Patterns of paths, and the ids not to look for there.
        baseline: File with the findings of old code, relative to the project; "" for none.
    """

    select: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    exclude: tuple[str, ...] = ()
    possible: bool = False
    by_path: tuple[tuple[str, frozenset[str]], ...] = ()
    baseline: str = ""


def project_of(path: Path) -> Path:
    """The folder of the project that a path belongs to: the nearest one with a pyproject.toml, else the path's own folder."""
    folder = path if path.is_dir() else path.parent
    return next((one for one in (folder, *folder.parents) if (one / "pyproject.toml").is_file()), folder)


def read(project: Path) -> Settings:
    """Read the settings of a project.

    Raises:
        SettingsError: pyproject.toml is malformed, or the table has an unknown key, rule or type.
    """
    path = project / "pyproject.toml"
    if not path.is_file():
        return Settings()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("async-sqlmodel", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None
    where = f"{path}: [tool.async-sqlmodel]"
    if unknown := set(table) - set(KEYS):
        raise SettingsError(f"{where}: unknown {', '.join(sorted(unknown))}; the keys are {', '.join(KEYS)}")
    by_path = table.get("per-file-ignores", {})
    if not isinstance(by_path, dict):
        raise SettingsError(f'{where}: per-file-ignores is a table such as {{ "tests/*" = ["ASM010"] }}')
    for key, kind in (("possible", bool), ("baseline", str)):
        if key in table and not isinstance(table[key], kind):
            raise SettingsError(f"{where}: {key} is {'true or false' if kind is bool else 'the path of a file'}")
    return Settings(
        select=rules(_texts(table, "select", where), f"{where}: select"),
        ignore=rules(_texts(table, "ignore", where), f"{where}: ignore"),
        exclude=_texts(table, "exclude", where),
        possible=table.get("possible", False),
        by_path=tuple((one, rules(_texts(by_path, one, where), f"{where}: {one}")) for one in by_path),
        baseline=table.get("baseline", ""),
    )


def rules(ids: Iterable[str], where: str) -> frozenset[str]:
    """Ids of rules, checked.

    Raises:
        SettingsError: There is no such rule.
    """
    given = frozenset(one.upper() for one in ids)
    if unknown := given - set(RULES):
        first, last = min(RULES), max(RULES)
        raise SettingsError(f"{where}: no rule {', '.join(sorted(unknown))}; they are {first} to {last}")
    return given


def _texts(table: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise SettingsError(f"{where}: {key} is a list of texts")
    return tuple(value)
