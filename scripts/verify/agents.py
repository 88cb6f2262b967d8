"""AGENTS.md: an index of the skill for projects that want it always on, generated from SKILL.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from verify.project import PackageError

LIMIT = 2048  # bytes; the text is part of every request of the agent
WHERE = ".agents/skills/async-sqlmodel"  # where `npx skills add` and library-skills put it
_WIDEST, _NARROWEST = 100, 8  # characters that a purpose may have
_PAGE = re.compile(r"\(references/([\w-]+)\.md")
_TRAILING = re.compile(r"(?:[\s,;:.–-]|\b(?:a|an|and|at|by|for|in|of|on|or|over|the|to|with))+$")
_TEXT = """\
[async-sqlmodel]|root: {where}
|IMPORTANT: these libraries changed; trust these pages, not memory. Before you write or review SQLModel, SQLAlchemy asyncio or Alembic code, read SKILL.md (defaults, traps) and the page that fits.
|error messages, databases, scenarios: search INDEX.md
|python3 {where}/scripts/NAME --help, purpose=NAME:
{scripts}
|references/PAGE.md, purpose=PAGE:
{pages}
"""


def generate(skill: Path) -> str:
    """The index.

    Args:
        skill: The skill as it is installed.

    Raises:
        PackageError: It does not fit, or SKILL.md names no page.
    """
    pages = list(_occasions((skill / "SKILL.md").read_text(encoding="utf-8")))
    if not pages:
        raise PackageError("SKILL.md says of no page when to read it: AGENTS.md is made out of that")
    named = {page for _, row in pages for page in row}
    rest = sorted({path.stem for path in (skill / "references").glob("*.md")} - named)
    scripts = "".join(f"|{_purpose_of(path)}={path.name}" for path in sorted((skill / "scripts").glob("*.py")))
    for width in range(_WIDEST, _NARROWEST - 1, -1):
        entries = [f"|{_clipped(purpose, width)}={','.join(row)}" for purpose, row in pages]
        entries += [f"|more={','.join(rest)}"] if rest else []
        text = _TEXT.format(where=WHERE, scripts=scripts, pages="".join(entries))
        if len(text.encode()) < LIMIT:
            return text
    raise PackageError(f"AGENTS.md would have {len(text.encode())} bytes, and must have less than {LIMIT}")


def _occasions(text: str) -> Iterator[tuple[str, list[str]]]:
    """The occasions to read a page, and the pages: a row of a table, or a sentence of a list that ends with its links."""
    for line in text.splitlines():
        if line.startswith("| "):
            parts = [(line.split("|")[1], line)]
        elif line.startswith("- "):
            parts = [(one.partition(": [")[0], one) for one in re.split(r"(?<=\))\. ?", line.removeprefix("- "))]
        else:
            continue
        yield from ((purpose.strip(), pages) for purpose, part in parts if (pages := _PAGE.findall(part)))


def _clipped(purpose: str, width: int) -> str:
    """The first words of a purpose."""
    words = re.sub(r"[`|=]", "", purpose)
    return _TRAILING.sub("", words if len(words) <= width else words[: width + 1].rpartition(" ")[0])


def _purpose_of(script: Path) -> str:
    """The first clause of its docstring."""
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    clause = re.split(r"[:.;,]", text)[0]
    if not clause:
        raise PackageError(f"scripts/{script.name} has no docstring: its first words stand in AGENTS.md")
    return clause[0].lower() + clause[1:]
