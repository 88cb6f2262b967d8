"""The tests: how many files, which plugin runs async ones, and the scopes of their event loops."""

from __future__ import annotations

import configparser
import tomllib
from dataclasses import dataclass
from typing import Any

from project_source.files import Tree, is_test

OPTIONS = ("asyncio_mode", "asyncio_default_fixture_loop_scope", "asyncio_default_test_loop_scope", "filterwarnings")


@dataclass(frozen=True)
class Testing:
    """What is known of the tests.

    Attributes:
        options: Those of pytest that matter, as they stand in its configuration.
        config: The file that holds them.
        plugin: What runs async tests; "" where nothing is known to.
    """

    files: int
    options: dict[str, str]
    config: str
    plugin: str


def look(tree: Tree, declared: set[str]) -> Testing:
    """Count the test files, and read pytest's configuration nearest to the project's folder."""
    files = [path for path in tree.files if path.endswith(".py") and is_test(path) and "conftest" not in path]
    options: dict[str, Any] = {}
    config = ""
    for path in sorted(tree.files, key=lambda one: (one.count("/"), one)):
        name = path.rpartition("/")[2]
        if not config and name in {"pytest.toml", "pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg"}:
            options = _options(tree.text(path) or "", name)
            config = path if options else ""
    markers = any("anyio" in (tree.text(path) or "") for path in tree.files if path.endswith("conftest.py"))
    plugin = "pytest-asyncio" if "pytest-asyncio" in declared else "anyio" if markers else ""
    kept = {name: _shown(value) for name, value in options.items() if name in OPTIONS}
    return Testing(len(files), kept, config, plugin)


def _options(text: str, name: str) -> dict[str, Any]:
    try:
        if name.endswith(".toml"):
            table: Any = tomllib.loads(text)
            for key in ("tool", "pytest", "ini_options") if name == "pyproject.toml" else ("pytest",):
                table = table.get(key, {})
            return dict(table)
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(text)
        section = "tool:pytest" if name == "setup.cfg" else "pytest"
        return dict(parser.items(section)) if parser.has_section(section) else {}
    except (tomllib.TOMLDecodeError, configparser.Error, AttributeError, TypeError, ValueError):
        return {}


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else " ".join(str(value).split())
