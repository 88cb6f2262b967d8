"""The audit of a project: all checks, less what its settings and comments silence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from auditing import rules as rules
from auditing.catalogue import CHECKS, PROJECT_CHECKS, RULES
from auditing.finding import Finding, Found
from project_source.project import Project

_NOQA = re.compile(r"#\s*noqa(?::\s*(?P<codes>[A-Z]+\d+(?:[\s,]+[A-Z]+\d+)*))?", re.IGNORECASE)


@dataclass(frozen=True)
class Selection:
    """Which findings are wanted.

    Attributes:
        rules: Ids; all where empty.
        ignored: Ids that are not looked for.
        possible: Also findings of which a check is not sure.
        by_path: Patterns of paths with the ids that are not looked for there.
        below: Only files in these folders, or these files, relative to the project; all where empty.
    """

    rules: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    possible: bool = False
    by_path: dict[str, frozenset[str]] = field(default_factory=dict)
    below: tuple[str, ...] = ()

    def wants(self, rule: str) -> bool:
        return (not self.rules or rule in self.rules) and rule not in self.ignored

    def keeps(self, rule: str, found: Found) -> bool:
        """Whether a finding counts at its place."""
        if found.possible and not self.possible:
            return False
        if self.below and not any(found.path == one or found.path.startswith(f"{one}/") for one in self.below):
            return False
        return not any(rule in codes and _matches(found.path, pattern) for pattern, codes in self.by_path.items())


def audit(project: Project, selection: Selection | None = None) -> list[Finding]:
    """Run all checks.

    Returns:
        The findings, by file, line and rule; each once.
    """
    wanted = selection or Selection()
    findings = {
        Finding(**vars(found), rule=rule, severity=RULES[rule].severity)
        for rule, found in _all(project, [one for one in RULES if wanted.wants(one)])
        if wanted.keeps(rule, found) and not _silenced(project, rule, found)
    }
    return sorted(findings, key=lambda one: (one.path, one.line, one.column, one.rule, one.message))


def _all(project: Project, wanted: Iterable[str]) -> Iterator[tuple[str, Found]]:
    for rule in wanted:
        for check in CHECKS[rule]:
            for module in project.modules.values():
                for found in check(project, module):
                    yield rule, found
        for project_check in PROJECT_CHECKS[rule]:
            for found in project_check(project):
                yield rule, found


def _silenced(project: Project, rule: str, found: Found) -> bool:
    """Whether a `# noqa` stands on a line of the finding."""
    module = project.modules.get(found.path)
    lines = module.lines if module else (project.tree.text(found.path) or "").splitlines()
    for line in lines[found.line - 1 : found.end_line]:
        if match := _NOQA.search(line):
            codes = match["codes"]
            if codes is None or rule in re.split(r"[\s,]+", codes.upper()):
                return True
    return False


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or path.startswith(f"{pattern.rstrip('/')}/")
