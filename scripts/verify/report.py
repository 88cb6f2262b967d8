"""What was verified: page by database, how each database was had, and what was not run."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from verify.databases import Server, Unavailable
from verify.extract import ROOT
from verify.pages import DATABASES, Page

FILE = ROOT / "build" / "report.json"
MARKERS = ("<!-- verified:begin -->", "<!-- verified:end -->")
PACKAGES = ("sqlmodel", "sqlalchemy", "fastapi", "pydantic", "alembic", "aiosqlite", "asyncpg", "asyncmy")


@dataclass
class Record:
    """One item.

    Attributes:
        what: block, excerpt, norun, coverage, or page for one that breaks the grammar.
        seconds: Wall time of the block.
        proofs: Checks made in it.
        statements: SQL that it sent.
        raises: Announced errors: line, outer class, innermost class.
        message: Why it was not verified.
    """

    page: str
    line: int
    database: str
    what: str
    outcome: str = ""
    seconds: float = 0.0
    proofs: int = 0
    statements: list[str] = field(default_factory=list)
    raises: list[tuple[int, str, str]] = field(default_factory=list)
    message: str = ""


def described(found: Server | Unavailable) -> str:
    """How a database was had, or why not."""
    if isinstance(found, Unavailable):
        return f"NOT RUN: {found.reason}; {found.remedy}"
    return f"{found.version} ({found.origin})"


class Report:
    """The records of one run."""

    def __init__(self) -> None:
        self.databases: dict[Any, str] = {}
        self.records: list[Record] = []

    def add(self, record: dict[str, Any], outcome: str, message: str) -> None:
        """Take the record of an item."""
        self.records.append(Record(**{**record, "outcome": outcome, "message": message}))

    def table(self) -> list[tuple[str, dict[str, str]]]:
        """Rows of page and, by database, "blocks / proofs / seconds"."""
        cells: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
        for record in self.records:
            if record.what == "block":
                cells[record.page][record.database].append(record)
        return [(page, {name: _cell(records) for name, records in row.items()}) for page, row in sorted(cells.items())]

    def text(self) -> str:
        """The table for a terminal."""
        rows = [
            ("page", *DATABASES),
            *((page, *(row.get(name, "-") for name in DATABASES)) for page, row in self.table()),
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines = lines if len(rows) > 1 else []
        others = [record for record in self.records if record.what != "block"]
        if self.records:
            lines.append("(blocks run / proofs / seconds)")
        for what in ("excerpt", "norun", "coverage"):
            if found := [record for record in others if record.what == what]:
                passed = sum(record.outcome == "passed" for record in found)
                lines.append(f"{what}: {passed} of {len(found)} passed")
        return "\n".join([*lines, *(f"{name}: {how}" for name, how in self.databases.items())])

    def write(self, file: Path = FILE) -> None:
        """Write the report as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        data = {
            "date": datetime.now(UTC).date().isoformat(),
            "databases": self.databases,
            "packages": {name: version(name) for name in PACKAGES},
            "records": [asdict(record) for record in self.records],
        }
        file.write_text(json.dumps(data, indent=1), encoding="utf-8")


def read(file: Path = FILE) -> tuple[Report, dict[str, Any]]:
    """Read a report back.

    Returns:
        The report, and the document with date and versions.

    Raises:
        FileNotFoundError: No run has written one.
    """
    data = json.loads(file.read_text(encoding="utf-8"))
    report = Report()
    report.databases = data["databases"]
    report.records = [Record(**record) for record in data["records"]]
    return report, data


def write_readme(readme: Path, report: Report, document: dict[str, Any]) -> None:
    """Put the table of a run between the markers of the README.

    Raises:
        ValueError: The README has no markers, or the run is not whole.
    """
    text = readme.read_text(encoding="utf-8")
    head, begin, rest = text.partition(MARKERS[0])
    _, end, tail = rest.partition(MARKERS[1])
    if not begin or not end:
        raise ValueError(f"{readme} has no {MARKERS[0]} ... {MARKERS[1]}")
    if wrong := [r for r in report.records if r.outcome != "passed"]:
        raise ValueError(
            f"{wrong[0].page}:{wrong[0].line} [{wrong[0].database}] was not verified; run the whole suite first"
        )
    lines = ["", f"| page | {' | '.join(DATABASES)} |", "|---|" + "---|" * len(DATABASES)]
    for page, row in report.table():
        cells = [" / ".join(row[name].split(" / ")[:2]) if name in row else "-" for name in DATABASES]
        lines.append(f"| [{page}]({page}) | {' | '.join(cells)} |")
    packages = ", ".join(f"{name} {number}" for name, number in document["packages"].items())
    servers = ", ".join(f"{name} {how.split(' (')[0]}" for name, how in report.databases.items())
    lines += ["", f"Blocks run / checks made, on {document['date']}, with {packages}; {servers}.", ""]
    readme.write_text(f"{head}{begin}{chr(10).join(lines)}{end}{tail}", encoding="utf-8")


def shares(pages: Iterable[Page]) -> str:
    """How many blocks are not run, shown in part, or meant for one database."""
    blocks = [block for page in pages for block in page.blocks]
    counted = {
        "norun": sum(bool(block.norun) for block in blocks),
        "partial": sum(bool(block.partial) for block in blocks),
        "restricted": sum(len(block.databases) < len(DATABASES) for block in blocks),
        "lab": sum(bool(block.lab) for block in blocks),
    }
    return f"of {len(blocks)} blocks: " + ", ".join(f"{count} {name}" for name, count in counted.items())


def _cell(records: list[Record]) -> str:
    passed = [record for record in records if record.outcome == "passed"]
    text = f"{len(passed)} / {sum(r.proofs for r in passed)} / {sum(r.seconds for r in passed):.1f}"
    missing = len(records) - len(passed)
    return f"{text} ({missing} not verified)" if missing else text
