"""Small projects with marked lines: what the audit must find in them, and where it must be silent.

A file of cases is named after its rule. `=== title` starts a case, `--- path` a file of it (app/main.py where none is named), and
`# <- ASM013` ends a line on which the rule must be found. A case without a mark is one in which the rule must find nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auditing.finding import Finding
from auditing.run import Selection, audit
from project_source.files import walk
from project_source.project import Project

MARK = re.compile(r"\s*#+ <- (?P<rules>ASM\d{3}(?:,? ASM\d{3})*)\s*$")


@dataclass(frozen=True)
class Case:
    """One small project.

    Attributes:
        files: Text by path.
    """

    title: str
    files: dict[str, str]

    @property
    def marks(self) -> set[tuple[str, int, str]]:
        """Path, line and rule of each mark."""
        return {mark for path, text in self.files.items() for mark in marks(path, text)}

    def write(self, folder: Path) -> None:
        """Write its files, without the marks."""
        for path, text in self.files.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("\n".join(MARK.sub("", line) for line in text.splitlines()) + "\n", encoding="utf-8")


def marks(path: str, text: str) -> Iterator[tuple[str, int, str]]:
    """The marked lines of a file."""
    for number, line in enumerate(text.splitlines(), 1):
        if match := MARK.search(line):
            for rule in re.findall(r"ASM\d{3}", match["rules"]):
                yield path, number, rule


def read(path: Path) -> list[Case]:
    """The cases of a file."""
    cases: list[Case] = []
    for title, text in re.findall(r"^=== (.+)\n((?:(?!=== ).*\n?)*)", path.read_text(encoding="utf-8"), re.MULTILINE):
        parts = re.split(r"^--- (.+)\n", text, flags=re.MULTILINE)
        files = dict(zip(parts[1::2], parts[2::2], strict=True)) if len(parts) > 1 else {"app/main.py": parts[0]}
        cases.append(Case(title.strip(), files))
    return cases


def findings(folder: Path, rule: str = "") -> list[Finding]:
    """What the audit finds in a folder, possible findings too."""
    return audit(Project(walk(folder)), Selection(frozenset({rule} if rule else ()), possible=True))


def places(found: list[Finding]) -> set[tuple[str, int, str]]:
    """Path, line and rule of findings."""
    return {(one.path, one.line, one.rule) for one in found}
