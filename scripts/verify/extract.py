"""Pages as runnable folders: `build/snippets/<page>/<nn>_<slug>/` with section.json, section.py, its files and a main.py."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from verify.pages import DATABASES, Block, Database, Page, PageError, Section

ROOT = Path(__file__).parents[2]
SNIPPETS = ROOT / "build" / "snippets"
SECONDS = int(os.environ.get("VERIFY_SECONDS", "30"))  # for one section; the tests of the engine take less
LAB_SECONDS = 120  # for one section with lab servers

HEADER = (
    "from verify.ambient import client, engine, session  # made before the first block, as the page's reader has them"
)
_MAIN = '''"""{page}, section {title!r}. Run it by hand: DATABASE_URL=... python main.py (SQLite without it)."""

from verify.by_hand import main

main(__file__)
'''


@dataclass(frozen=True)
class Step:
    """A block as the runner takes it: its code, where to find it in the page, and what it must print."""

    block: Block
    source: str = ""  # for a file: its path inside the extracted folder
    output: Block | None = None  # the untitled text or json block that shows what it prints


@dataclass(frozen=True)
class Program:
    """One extracted section.

    Attributes:
        own_tables: It makes its tables itself.
        seconds: Its limit.
        lab: The servers that it has beside its database.
        databases: Those that it runs on.
    """

    folder: Path
    page: Path
    title: str
    line: int
    own_tables: bool
    seconds: int
    lab: str
    databases: tuple[Database, ...]
    steps: tuple[Step, ...]


def extract(page: Page, root: Path = ROOT, into: Path = SNIPPETS) -> list[Program]:
    """Write the folders of a page, where they are not as they should be: another run may be using them.

    Args:
        root: The repository, for the name of the page's folder.
        into: Where the folders go.

    Returns:
        One program for each section that is run.
    """
    home = into / page_name(page.path, root).removesuffix(".md")
    programs: list[Program] = []
    files: dict[Path, str] = {}
    for number, section in enumerate(page.programs, 1):
        slug = re.sub(r"[^a-z0-9]+", "_", (section.title or page.title).lower()).strip("_")[:40]
        program, own = _program(page, section, home / f"{number:02}_{slug}")
        programs.append(program)
        files |= own
    there = {path: path.read_text(encoding="utf-8") for path in home.rglob("*") if path.is_file()}
    if there != files:
        shutil.rmtree(home, ignore_errors=True)
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return programs


def page_name(path: Path, root: Path = ROOT) -> str:
    """The name of a page in reports: its path in the repository, or its full path without the first slash."""
    path = path.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix().lstrip("/")


def load(folder: Path) -> Program:
    """Read an extracted folder back.

    Raises:
        PageError: It is not one.
    """
    try:
        data = json.loads((folder / "section.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PageError(folder, 1, f"not an extracted section: {error}") from None
    python = (folder / "section.py").read_text(encoding="utf-8").splitlines(keepends=True)
    steps = []
    for step in data["steps"]:
        block = _block(step["block"])
        if block.kind == "program" and block.language == "python":
            block = _block({**step["block"], "code": "".join(python[block.code_line - 1 : step["end"]])})
        steps.append(Step(block, step["source"], _block(step["output"]) if step["output"] else None))
    return Program(
        folder,
        Path(data["page"]),
        data["title"],
        data["line"],
        data["own_tables"],
        data["seconds"],
        data["lab"],
        tuple(data["databases"]),
        tuple(steps),
    )


def _block(data: dict[str, Any]) -> Block:
    return Block(**{**data, "databases": tuple(data["databases"])})


def _program(page: Page, section: Section, folder: Path) -> tuple[Program, dict[Path, str]]:
    """The program of a section, and its files."""
    files: dict[Path, str] = {}
    blocks = page.steps(section)
    python: dict[int, str] = {1: HEADER}
    steps: list[Step] = []
    seen: set[str] = set()
    for block in blocks:
        if block.kind == "file":
            place = Path("files" if block.title not in seen else f"files.{block.line}", block.title)
            seen.add(block.title)
            files[folder / place] = file_text(block)
            steps.append(Step(block, place.as_posix()))
        elif block.kind == "output":
            steps[-1] = Step(steps[-1].block, steps[-1].source, block)
        elif block.kind in {"program", "norun"}:
            steps.append(Step(block))
            if block.kind == "program" and block.language == "python":
                python.update(enumerate(block.code.splitlines(), block.code_line))
    lines = [python.get(number, "") for number in range(1, max(python) + 1)]
    files[folder / "section.py"] = "\n".join(lines) + "\n"
    own = any("create_all" in b.code or (b.language == "bash" and "alembic" in b.code) for b in blocks if not b.norun)
    starts_pythons = any(block.kind == "program" and block.language == "bash" for block in blocks)
    lab, where = next(((block.lab, block.databases) for block in section.blocks if block.lab), ("", DATABASES))
    seconds = LAB_SECONDS if lab else SECONDS * (1 + 2 * starts_pythons)
    program = Program(folder, page.path.resolve(), section.title, section.line, own, seconds, lab, where, tuple(steps))
    described = {
        "page": str(program.page),
        "title": program.title,
        "line": program.line,
        "own_tables": own,
        "seconds": seconds,
        "lab": lab,
        "databases": where,
        "steps": [_described(step) for step in steps],
    }
    files[folder / "section.json"] = json.dumps(described, ensure_ascii=False, indent=1)
    files[folder / "main.py"] = _MAIN.format(page=page_name(page.path), title=section.title)
    return program, files


def _described(step: Step) -> dict[str, Any]:
    block = asdict(step.block)
    if step.block.kind in {"program", "file"} and (step.block.language == "python" or step.source):
        block["code"] = ""  # stands in section.py, or in the file
    return {
        "block": block,
        "end": step.block.end_line,
        "source": step.source,
        "output": asdict(step.output) if step.output else None,
    }


def file_text(block: Block) -> str:
    """A titled block as it is written: Python keeps the line numbers of the page, so that tracebacks name them."""
    return "\n" * (block.code_line - 1) + block.code if block.language == "python" else block.code


def summary(programs: Sequence[Program]) -> str:
    """One line for each folder."""
    return "\n".join(f"{program.folder}  {len(program.steps)} blocks" for program in programs)
