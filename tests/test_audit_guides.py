"""The audit against the guides: each ❌ of a card is found at its line, and nothing is found in code that is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditing.finding import Finding
from auditing.run import Selection, audit
from project_source.files import walk
from project_source.project import Project
from verify import cards, extract, pages, sync
from verify.cards import Card
from verify.pages import Block, Page, Section

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "assets" / "service" / "app"  # what a page imports from `app`
AMBIENT = "from sqlmodel.ext.asyncio.session import AsyncSession; from sqlalchemy.ext.asyncio import AsyncEngine; engine: AsyncEngine; session: AsyncSession"
CARDS = cards.find(ROOT)
PAGES = [page for page in map(pages.parse, sync.shipped_pages()) if list(page.blocks)]


def write(page: Page, section: Section, block: Block, folder: Path) -> None:
    """Write a section as it is when a block has been read; for a block that is right, with the files that follow it."""
    program: dict[int, str] = {}
    files: dict[str, str] = {}
    reached = False
    for step in page.steps(section):
        if step.title and (not reached or step.title not in files):
            files[step.title] = step.code
        elif not reached and step.language == "python" and step.kind == "program":
            program |= dict(enumerate(step.code.splitlines(), step.code_line))
        reached = reached or step is block
        if reached and block.mark == "❌":
            break
    if program:
        program.setdefault(1, AMBIENT)
        if any("from app." in line for line in program.values()):
            files = {
                f"app/{one.relative_to(TEMPLATE)}": one.read_text(encoding="utf-8") for one in TEMPLATE.rglob("*.py")
            } | files
        files["section.py"] = "\n".join(program.get(line, "") for line in range(1, max(program) + 1)) + "\n"
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


def found_in(page: Page, section: Section, block: Block, folder: Path, selection: Selection) -> list[Finding]:
    """The findings inside a block."""
    write(page, section, block, folder)
    return inside(block, audit(Project(walk(folder)), selection))


def inside(block: Block, found: list[Finding]) -> list[Finding]:
    """The findings whose lines are a block's: section.py has the lines of the page, a file begins behind its fence."""
    path, shift = (block.title, block.line) if block.title else ("section.py", 0)
    return [one for one in found if one.path == path and block.line < one.line + shift <= block.end_line]


def test_there_are_cards_and_pages() -> None:
    assert {card.rule for card in CARDS} == set(cards.RULES)
    assert len(PAGES) > 20


@pytest.mark.parametrize("card", CARDS, ids=[f"{one.rule}-{one.page.path.stem}-{one.block.line}" for one in CARDS])
def test_the_bad_block_of_a_card_is_found(card: Card, tmp_path: Path) -> None:
    """In some block of the card's ❌ group: a card may need a file and the code that uses it."""
    group = [one for one in card.section.blocks if one.group == card.block.group]
    write(card.page, card.section, group[-1], tmp_path)
    everything = audit(Project(walk(tmp_path)), Selection(frozenset({card.rule}), possible=True))
    found = [one for block in group for one in inside(block, everything)]
    assert found, f"{card.rule} is not found in the block at {card.page.path.name}:{card.block.line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: extract.page_name(page.path))
def test_nothing_is_found_in_blocks_that_are_right(page: Page, tmp_path: Path) -> None:
    checked = 0
    for number, section in enumerate(page.programs):
        for block in page.steps(section):
            if block.kind in {"program", "file"} and block.mark != "❌":
                found = found_in(page, section, block, tmp_path / f"{number}-{block.line}", Selection())
                assert not found, "\n".join(f"{page.path.name}:{one.line} {one.rule} {one.message}" for one in found)
                checked += 1
    assert checked or not any(block.kind in {"program", "file"} for block in page.blocks)
