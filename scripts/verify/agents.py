"""AGENTS.md: an index of the skill for projects that want it always on, generated from SKILL.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from verify.project import PackageError

LIMIT = 2048  # bytes; the text is part of every request of the agent
WHERE = ".agents/skills/async-sqlmodel"  # where `npx skills add` and library-skills put it
_WIDEST, _NARROWEST = 100, 8  # characters that a purpose may have
_ROW = re.compile(r"^\| (?P<purpose>[^|]+) \| (?P<pages>[^|]*\]\(references/[^|]*) \|$", re.MULTILINE)
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
        PackageError: It does not fit, or SKILL.md has no table of pages.
    """
    rows = _ROW.findall((skill / "SKILL.md").read_text(encoding="utf-8"))
    if not rows:
        raise PackageError("SKILL.md has no table of pages: AGENTS.md is made out of it")
    pages = [(purpose, re.findall(r"\(references/([\w-]+)\.md", cell)) for purpose, cell in rows]
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


def _clipped(purpose: str, width: int) -> str:
    """The first words of a purpose."""
    words = purpose.replace("`", "")
    return _TRAILING.sub("", words if len(words) <= width else words[: width + 1].rpartition(" ")[0])


def _purpose_of(script: Path) -> str:
    """The first clause of its docstring."""
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    clause = re.split(r"[:.;,]", text)[0]
    if not clause:
        raise PackageError(f"scripts/{script.name} has no docstring: its first words stand in AGENTS.md")
    return clause[0].lower() + clause[1:]
