"""INDEX.md: the map of the guides, by task, error message and database. Everything in it stands in the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from verify import contract, pages
from verify.pages import DATABASES, Page, Section

_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
PATHS = {  # learning paths: sections, read in this order
    "First endpoint": (
        "database-setup.md#normalise-the-url",
        "sessions.md#start-and-stop-the-application",
        "sessions.md#commit-before-the-response",
        "schemas.md#validate-before-you-build-the-row",
        "fastapi-integration.md#create-and-read-nested-rows",
        "fastapi-integration.md#answer-errors",
        "testing.md#test-the-app",
    ),
    "Relationships": (
        "relationships.md",
        "loading.md#load-what-you-read",
        "loading.md#choose-a-loading-strategy",
        "relationships.md#delete-a-parent",
        "relationships.md#query-across-a-relationship",
        "relationships.md#show-related-rows-in-a-response",
        "testing.md#count-the-queries-of-a-test",
    ),
    "Production": (
        "migrations.md#check-in-ci",
        "database-setup.md#size-the-pool",
        "production-patterns.md#survive-a-dead-network",
        "production-patterns.md#start-answer-for-health-stop",
        "operations.md#measure-the-pool-and-the-statements",
        "operations.md#back-up-postgresql",
        "high-availability.md#fail-over-to-the-standby",
    ),
}
SCENARIOS = {
    "Take over a synchronous code base": (
        "stale-idioms.md",
        "sessions.md#write-it-the-async-way",
        "loading.md#fix-missinggreenlet",
    ),
    "The service is slow": (
        "performance.md",
        "loading.md#choose-a-loading-strategy",
        "queries.md#paginate",
        "caching.md",
    ),
    "Tests pass, production fails": (
        "sqlite.md#what-it-accepts",
        "testing.md#share-one-event-loop",
        "sessions.md#commit-before-the-response",
    ),
    "Rows are lost or doubled": (
        "production-patterns.md#repeat-a-lost-commit",
        "fastapi-dependencies.md#a-returned-error-commits",
    ),
    "A table with millions of rows": (
        "async-operations.md",
        "queries.md#paginate",
        "schema-changes.md#add-a-required-column",
        "tenancy.md#partition-a-table",
    ),
    "Behind PgBouncer, Supabase or Neon": (
        "pgbouncer.md",
        "database-setup.md#normalise-the-url",
    ),
    "Several customers, one database": (
        "tenancy.md#keep-tenants-apart-in-the-session",
        "tenancy.md#let-postgresql-keep-them-apart",
        "servicebase.md#scope-soft-delete-tenants",
    ),
}
READINESS = ("best-practices.md", "Before production")  # the page and the section that hold the check-list
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
    maps = [*_paths(guides, root), *_readiness(guides)] if (root / "references" / READINESS[0]).exists() else []
    return (
        "\n".join([_HEAD, *_tasks(guides, root), *maps, *_errors(programs, root), *_databases(programs, root)]).rstrip()
        + "\n"
    )


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
        above = page.path.parent.relative_to(root).as_posix()
        text = re.sub(r"\]\((?=[\w-]+\.md)", f"]({above}/", use_when(page))  # the links of a page start beside it
        yield f"- {_link(page, None, root, page.title)}: {text}"
        if not pages.is_generated(page.path):
            yield from (f"  - {_link(page, section, root, section.title)}" for section in page.sections)
    yield ""


def _paths(guides: list[Page], root: Path) -> Iterator[str]:
    for title, ways in (("By learning path", PATHS), ("By scenario", SCENARIOS)):
        yield f"## {title}\n"
        for name, targets in ways.items():
            yield f"- {name}: {', '.join(_named(target, guides, root) for target in targets)}"
        yield ""


def _named(target: str, guides: list[Page], root: Path) -> str:
    """A link to a page or a section, by its title."""
    name, _, anchor = target.partition("#")
    page = next((one for one in guides if one.path.name == name), None)
    if page is None:
        raise pages.PageError(root / "references" / name, 1, f"INDEX.md leads to {name}, which does not exist")
    titles = [text for level, text, _ in page.headings if level == 2 and pages.slug(text.replace("`", "")) == anchor]
    if anchor and not titles:
        raise pages.PageError(page.path, 1, f"INDEX.md leads to #{anchor}, which is no heading of the page")
    return f"[{titles[0] if anchor else page.title}](references/{target})"


def _readiness(guides: list[Page]) -> Iterator[str]:
    """The check-list of the guide that holds it."""
    name, title = READINESS
    page = next(one for one in guides if one.path.name == name)
    lines = page.path.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0].splitlines()
    items = [line for line in lines if re.match(r"\d+\. ", line)]
    if not items:
        raise pages.PageError(page.path, 1, f"the section {title!r} holds no list")
    yield "## Readiness\n"
    yield from (re.sub(r"\]\((?=[\w-]+\.md)", "](references/", item) for item in items)
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
