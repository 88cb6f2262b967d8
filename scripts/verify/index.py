"""INDEX.md: the map of the guides, by task, error message and database. Everything in it stands in the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from verify import contract, pages
from verify.pages import DATABASES, Page, Section

_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
_HEAD = """# Index

Generated from the guides by `python -m verify sync --write`. Open one page, not all of them.
"""


def generate(root: Path) -> str:
    """The text of INDEX.md.

    Raises:
        PageError: A page breaks the grammar, or does not say when to read it.
    """
    guides = [pages.parse(path) for path in sorted((root / "references").glob("*.md"))]
    programs = [page for page in guides if not pages.is_generated(page.path)]
    return "\n".join([_HEAD, *_tasks(guides, root), *_errors(programs, root), *_databases(programs, root)]).rstrip() + "\n"


def use_when(page: Page) -> str:
    """The sentence with which a guide starts: "Use this when ...".

    Raises:
        PageError: There is none.
    """
    match = re.search(
        r"^Use this when (.+?)(?:\n\n|\Z)", page.path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    if not match:
        raise pages.PageError(page.path, 1, "a guide starts with a paragraph `Use this when ...`")
    return " ".join(match[1].split())


def _link(page: Page, section: Section | None, root: Path, text: str) -> str:
    place = page.path.relative_to(root).as_posix()
    return f"[{text}]({place}#{pages.slug(section.title)})" if section and section.title else f"[{text}]({place})"


def _tasks(guides: list[Page], root: Path) -> Iterator[str]:
    yield "## By task\n"
    for page in guides:
        yield f"- {_link(page, None, root, page.title)}: {use_when(page)}"
        if not pages.is_generated(page.path):
            yield from (f"  - {_link(page, section, root, section.title)}" for section in page.sections)
    yield ""


def _errors(guides: list[Page], root: Path) -> Iterator[str]:
    rows: dict[str, list[str]] = {}
    for page in guides:
        for section in page.sections:
            for block in section.blocks:
                for one in contract.block_expectations(block, page.path):
                    if one.kind != "value":
                        message = f"{one.type}: {one.text}" if one.text else one.type
                        link = _link(page, section, root, section.title)
                        links = rows.setdefault(message.replace("|", "\\|"), [])
                        links += [link] if link not in links else []
    if not rows:
        return
    yield "## By error message\n\n| message | reproduced and cured in |\n|---|---|"
    yield from (
        f"| `{message}` | {', '.join(links)} |"
        for message, links in sorted(rows.items(), key=lambda row: row[0].lower())
    )
    yield ""


def _databases(guides: list[Page], root: Path) -> Iterator[str]:
    yield "## By database\n\nSections where a database behaves in its own way. All others hold for the three.\n"
    for database in DATABASES:
        links = []
        for page in guides:
            for section in page.sections:
                tagged = any(
                    database in one.databases
                    for block in section.blocks
                    for one in contract.block_expectations(block, page.path)
                )
                own = any(
                    (len(b.databases) < len(DATABASES) and database in b.databases) or database in b.queries
                    for b in section.blocks
                )
                if tagged or own:
                    links.append(_link(page, section, root, f"{page.title}: {section.title}"))
        if links:
            yield f"- {_NAMES[database]}: {', '.join(links)}"
