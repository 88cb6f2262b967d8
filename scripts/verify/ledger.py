"""The ledger: which executed block teaches a feature, or reproduces and cures what goes wrong for users.

`tests/ledger/pains/*.toml` and `tests/ledger/features/*.toml` hold one table for each id. It names a section and what
stands in one of its blocks (`message`, found in an expectation, or `block`), or a file that ships and the test that
exercises it (`asset` and `test`), or says why there is none (`instead`).
"""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from verify import contract, pages
from verify.pages import Block, Page, PageError, Section

FOLDER = Path("tests/ledger")
REASONS = ("dropped: ", "cannot reproduce: ", "warn: ")
KEYS = frozenset({"what", "message", "symptom", "cause", "section", "block", "asset", "test", "instead"})
ASSETS = (
    "assets/",
    "scripts/",
    "SKILL.md",
    "INDEX.md",
    "references/troubleshooting.md",
)  # what ships and is not run as a page


@dataclass(frozen=True)
class Entry:
    """One id.

    Attributes:
        name: Such as MG-LAZY-REL, or OPS-07a.
        message: What the user reads, as it stands in the section.
        symptom: What the user sees, where there is no message.
        cause: One line.
        section: `references/page.md#section`; "" where the entry says why there is none.
        block: Text of an executed block of the section.
        asset: A file that ships, in place of a section: quoted in a page, it is not run there.
        test: The test that exercises the asset, `tests/test_template.py::test_...`.
        instead: "dropped: ...", "cannot reproduce: ..." or "warn: ...".
        source: The file and id, for messages.
    """

    name: str
    source: Path
    message: str = ""
    symptom: str = ""
    cause: str = ""
    section: str = ""
    block: str = ""
    asset: str = ""
    test: str = ""
    instead: str = ""
    what: str = ""


def known(root: Path) -> dict[str, Any]:
    """All ids: `pains` with frequency and impact, `features` with their text."""
    data: dict[str, Any] = json.loads((root / FOLDER / "ids.json").read_text(encoding="utf-8"))
    return data


def read(root: Path, kind: str) -> dict[str, Entry]:
    """Read the entries.

    Args:
        kind: "pains" or "features".

    Raises:
        PageError: A file is malformed, an id stands twice, or there is no entry at all.
    """
    entries: dict[str, Entry] = {}
    for path in sorted((root / FOLDER / kind).glob("*.toml")):
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise PageError(path, 1, str(error)) from None
        for name, table in tables.items():
            if name in entries:
                raise PageError(path, 1, f"{name} stands in {entries[name].source.name}, too")
            if unknown := table.keys() - KEYS:
                raise PageError(path, 1, f"{name}: unknown {', '.join(sorted(unknown))}")
            entries[name] = Entry(name, path, **table)
    if not entries:
        raise PageError(root / FOLDER / kind, 1, "no entries found: nothing was checked")
    return entries


def check(entry: Entry, root: Path) -> None:
    """Check that the block of an entry exists and is run, or its asset exists and is tested.

    Raises:
        PageError: It does not, or the entry is incomplete.
    """
    if entry.instead:
        if not entry.instead.startswith(REASONS) or len(entry.instead.split()) < 4:
            raise PageError(entry.source, 1, f"{entry.name}: instead starts with one of {REASONS}, and gives a reason")
        if not entry.section:
            return
    if entry.asset or entry.test:
        _check_asset(entry, root)
        return
    section = _section(entry, root)
    wanted = entry.message or entry.block
    if not wanted:
        raise PageError(entry.source, 1, f"{entry.name}: give message or block, to find the block in {entry.section}")
    page = root / entry.section.partition("#")[0]
    found = [block for block in section.blocks if _holds(block, entry, page)]
    if not found:
        raise PageError(entry.source, 1, f"{entry.name}: no executed block of {entry.section} holds {wanted!r}")


def _check_asset(entry: Entry, root: Path) -> None:
    def wrong(reason: str) -> PageError:
        return PageError(entry.source, 1, f"{entry.name}: {reason}")

    if entry.section:
        raise wrong("give a section or an asset, not both")
    if not (entry.asset and entry.test):
        raise wrong("asset and test go together: the file, and the test that exercises it")
    if not entry.asset.startswith(ASSETS):
        raise wrong(f"{entry.asset} does not ship: an asset is below {' or '.join(ASSETS)}")
    if not (root / entry.asset).is_file():
        raise wrong(f"{entry.asset} does not exist")
    path, _, name = entry.test.partition("::")
    if not path.startswith("tests/") or not (root / path).is_file():
        raise wrong(f"{path} is no file of tests")
    if name not in _tests(root / path):
        raise wrong(f"{path} has no test {name!r}")


@cache
def _tests(path: Path) -> frozenset[str]:
    """The tests that a module defines."""
    functions = ast.parse(path.read_text(encoding="utf-8")).body
    return frozenset(
        one.name
        for one in functions
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test_")
    )


def _holds(block: Block, entry: Entry, page: Path) -> bool:
    if block.kind not in {"program", "file", "output"}:
        return False
    if entry.block:
        return entry.block in block.code
    if block.kind == "output":
        return entry.message in block.code
    return any(
        entry.message in (f"{one.type}: {one.text}" if one.type else one.text)
        for one in contract.block_expectations(block, page)
    ) or (block.language == "http" and entry.message in block.code)


def _section(entry: Entry, root: Path) -> Section:
    path, _, anchor = entry.section.partition("#")
    if not (root / path).is_file():
        raise PageError(entry.source, 1, f"{entry.name}: {path} does not exist")
    page = _parsed(root / path)
    for section in page.sections:
        if pages.slug(section.title.replace("`", "")) == anchor:
            return section
    if not anchor:
        return page.preface
    raise PageError(entry.source, 1, f"{entry.name}: {path} has no section #{anchor}")


@cache
def _parsed(path: Path) -> Page:
    return pages.parse(path)


# ---- troubleshooting.md -------------------------------------------------------------------------

_HEAD = """# Troubleshooting

Use this when you have an error message, or rows that are wrong without one: find it here, and open the one section that the row names.

- Search this page for a few words of the message. It stands as the test suite saw it; what is in another case or order is another error.
- Without a message, read the second table: what you see, and where the harm is shown and cured.
- Nothing fits? [INDEX.md](../INDEX.md) lists every message of every page.

<!-- Generated from tests/ledger/pains by `python -m verify sync --write`. -->
"""


def troubleshooting(root: Path) -> str:
    """The text of references/troubleshooting.md: every pain that is common or silent, with its section."""
    entries = read(root, "pains")
    shown = [entry for entry in entries.values() if entry.section]
    messages = sorted((one for one in shown if one.message), key=lambda one: one.message.lower())
    symptoms = sorted((one for one in shown if not one.message), key=lambda one: one.symptom.lower())
    lines = [_HEAD, "## By message\n", "| message | cause | see |", "|---|---|---|"]
    lines += [f"| `{_cell(one.message)}` | {_cell(one.cause)} | {_see(one, root)} |" for one in messages]
    lines += ["\n## By symptom\n", "| what you see | cause | see |", "|---|---|---|"]
    lines += [f"| {_cell(one.symptom)} | {_cell(one.cause)} | {_see(one, root)} |" for one in symptoms]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _see(entry: Entry, root: Path) -> str:
    section = _section(entry, root)
    path = entry.section.removeprefix("references/")
    return f"[{section.title or _parsed(root / entry.section).title}]({path})"


def must_be_shown(ids: Mapping[str, tuple[str, str]]) -> set[str]:
    """The pains that troubleshooting.md must hold: common ones, and silent ones."""
    return {name for name, (frequency, impact) in ids.items() if frequency in "AB" or "silent" in impact}
