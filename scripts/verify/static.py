"""Linters and type checkers over the snippets, with the lines of the pages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verify import extract
from verify.extract import Program
from verify.pages import Page

_IGNORED = (
    "E402",  # a section imports where it needs a name
    "E703",
    "F704",  # top-level await
    "F811",  # a later block may define a name anew
    "F821",  # ty resolves names, the ambient ones included
    "ASYNC119",  # a session dependency yields inside `async with`: FastAPI closes it
    "B015",
    "B018",  # `expression  # => value`
    "UP042",  # the enum of the template, which older code can compare with strings
    "UP045",  # SQLModel reads Optional["Team"]
    "UP052",  # AsyncIterator is what the guides teach for a lifespan
    "PLE1142",
)
_SELECTED = ("ASYNC", "B", "E", "F", "UP", "W")
_RULES = (
    "import-not-found",
    "missing-argument",
    "missing-attribute",
    "missing-module-member",
    "too-many-positional-arguments",
    "unknown-argument",
    "unresolved-reference",
    "unused-awaitable",
)
_TY = re.compile(r"^(?P<path>.+?):(?P<line>\d+):(?P<column>\d+): \w+\[(?P<rule>[\w-]+)\] (?P<text>.*)$")
_TOP_LEVEL = "outside of an asynchronous function"  # top-level await, which pages may use


# what SQLModel and SQLAlchemy do not tell a type checker, though it is so
_UNTOLD = re.compile(
    r"`Pool` has no attribute `checked(?:out|in)`|has no attribute `__table__`|`list\[\w+\]` has no attribute `any`"
    r"|required parameter `\w+_id`"  # set through the relationship
)


@dataclass(frozen=True, order=True)
class Finding:
    """One complaint about a block."""

    page: Path
    line: int
    column: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{extract.page_name(self.page)}:{self.line}:{self.column}: {self.rule} {self.text}"


def check(page: Page, programs: Sequence[Program]) -> list[Finding]:
    """Lint and type-check the sections of a page.

    ❌ blocks must only parse. An import of the preface is unused only where no section uses it.

    Args:
        programs: The sections as extract.extract gave them.
    """
    wrong_on_purpose = {
        line for block in page.blocks if block.mark == "❌" for line in range(block.line, block.end_line + 1)
    }
    preface_end = page.sections[0].line if page.sections else 10**9
    found: dict[Finding, int] = {}
    for program in programs:
        for finding in {*_ruff(program), *_ty(program)}:
            found[finding] = found.get(finding, 0) + 1
    return sorted(
        finding
        for finding, times in found.items()
        if finding.line not in wrong_on_purpose
        and finding.line > 1
        and not (finding.rule == "F401" and finding.line < preface_end and times < len(programs))
    )


def _python_files(program: Program) -> list[Path]:
    return [program.folder / "section.py", *sorted(program.folder.glob("files*/**/*.py"))]


def _ruff(program: Program) -> list[Finding]:
    files = _python_files(program)
    command = [
        "ruff", "check", "--isolated", "--preview", "--no-cache", "--output-format=json", "--target-version=py311", "--line-length=120",
        f"--select={','.join(_SELECTED)}", f"--ignore={','.join(_IGNORED)}", *map(str, files),
    ]  # fmt: skip
    output = _run(command, program.folder)
    findings = json.loads(output)
    return [
        Finding(
            program.page, one["location"]["row"], one["location"]["column"], one["code"] or "syntax", one["message"]
        )
        for one in findings
        if one["code"] not in {"W391", "E303", "E305"} and _TOP_LEVEL not in one["message"]
    ]


def _ty(program: Program) -> list[Finding]:
    findings = []
    paths = [f"--extra-search-path={_newest_files(program)}"]
    if not any(step.block.title.startswith("app/") for step in program.steps):
        paths.append(f"--extra-search-path={extract.ROOT / 'assets' / 'service'}")
    command = [
        "ty", "check", "--output-format=concise", "--no-progress", "--exit-zero", f"--python={sys.prefix}", "--python-version=3.11",
        "--ignore=all", *(f"--error={rule}" for rule in _RULES), *paths, *map(str, _python_files(program)),
    ]  # fmt: skip
    for line in _run(command, program.folder).splitlines():
        if (match := _TY.match(line)) and _TOP_LEVEL not in match["text"] and not _UNTOLD.search(match["text"]):
            findings.append(
                Finding(program.page, int(match["line"]), int(match["column"]), match["rule"], match["text"])
            )
    return findings


def _run(command: list[str], folder: Path) -> str:
    program = Path(sys.executable).parent / command[0]
    result = subprocess.run([str(program), *command[1:]], cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode not in {0, 1}:
        raise RuntimeError(f"{command[0]} failed with exit code {result.returncode}: {result.stderr.strip()}")
    return result.stdout


def _newest_files(program: Program) -> Path:
    """The file tree of a section as it is at its end: a page may show a file twice."""
    merged = program.folder / "newest"
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir()
    for step in program.steps:
        if step.source:
            (merged / step.block.title).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(program.folder / step.source, merged / step.block.title)
    return merged
