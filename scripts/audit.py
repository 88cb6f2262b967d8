#!/usr/bin/env python3
"""Look for what goes wrong with async SQLModel in a project, without running its code.

Settings stand in the project's pyproject.toml, table [tool.async-sqlmodel]: select, ignore, exclude, possible, per-file-ignores, baseline.
`# noqa: ASM013` at the end of a line silences it there. Standard library only.
Exit codes: 0 no findings, 1 findings (with --diff: something to repair), 2 a wrong call, or nothing to look at.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # python3 -I does not

from auditing import baseline, output, repair, settings
from auditing.catalogue import RULES
from auditing.finding import Finding
from auditing.run import Selection, audit
from auditing.settings import SettingsError
from project_source.command import Parser, run
from project_source.files import replace, walk
from project_source.project import Project

FOUND = 1
PASSES = 5  # of repairs that make room for others
LIMIT = 100  # findings printed as text


def parser() -> Parser:
    """The command line."""
    made = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add(
        "paths",
        nargs="*",
        type=Path,
        default=[Path()],
        metavar="PATH",
        help="folders or files of one project; this folder by default",
    )
    add("--rule", action="append", default=[], metavar="ID", help="look for this rule only; may be repeated")
    add("--ignore", action="append", default=[], metavar="ID", help="do not look for this rule; may be repeated")
    add("--exclude", action="append", default=[], metavar="GLOB", help="do not read these paths; may be repeated")
    add("--possible", action="store_true", help="also show findings of which a rule is not sure")
    add("--format", choices=("text", "json", "sarif", "github"), default="text", help="text by default")
    add("--json", action="store_const", dest="format", const="json", help="short for --format json")
    add("--limit", type=int, default=LIMIT, metavar="N", help=f"findings shown as text; {LIMIT} by default")
    add("--baseline", type=Path, metavar="FILE", help="leave out the findings that this file holds")
    add("--write-baseline", type=Path, metavar="FILE", help="write all findings to this file, and end")
    add("--fix", action="store_true", help="repair what can be repaired safely")
    add("--diff", action="store_true", help="show the repairs, and change nothing")
    add("--explain", metavar="ID", help="say what a rule is about, and end")
    add("--rules", action="store_true", help="list the rules, and end")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the audit.

    Returns:
        0, 1 or 2, as the module says.
    """
    command = parser()
    options = command.parse_args(arguments)
    try:
        if options.rules:
            print("\n".join(f"{rule.id} {rule.severity:7} {rule.title}" for rule in RULES.values()))
            return 0
        if options.explain:
            (rule,) = settings.rules([options.explain], "--explain")
            print(output.explain(rule), end="")
            return 0
        return look(options)
    except SettingsError as error:
        command.error(str(error))


def look(options: argparse.Namespace) -> int:
    """Audit the project that the options name, and print or repair what was found."""
    root, below = place(options.paths)
    own = settings.read(root)
    selection = Selection(
        rules=settings.rules(options.rule, "--rule") or own.select,
        ignored=own.ignore | settings.rules(options.ignore, "--ignore"),
        possible=options.possible or own.possible,
        by_path=dict(own.by_path),
        below=below,
    )
    exclude = (*own.exclude, *options.exclude)
    project = read(root, exclude)
    findings = audit(project, selection)
    if options.write_baseline:
        count = baseline.write(options.write_baseline, findings, project)
        print(f"{options.write_baseline} holds {count} findings")
        return 0
    old = options.baseline or (root / own.baseline if own.baseline else None)
    if options.diff:
        return show_repairs(project, findings)
    if options.fix:
        for _ in range(PASSES):
            if not repair_all(project, findings):
                break
            project = read(root, exclude)
            findings = audit(project, selection)
    if old:
        findings = baseline.without(findings, old, project)
    for path, reason in project.tree.unread:
        print(f"audit.py: {path} was not read: {reason}", file=sys.stderr)
    if options.format == "json":
        print(output.as_json(findings, project), end="")
    elif options.format == "sarif":
        print(output.sarif(findings, project, version()), end="")
    elif options.format == "github":
        print(output.github(findings), end="")
    else:
        print(output.text(findings, project, max(options.limit, 0)), end="")
    return FOUND if findings else 0


def place(paths: Sequence[Path]) -> tuple[Path, tuple[str, ...]]:
    """The project of some paths, and the paths relative to it.

    Raises:
        SettingsError: A path does not exist, or lies in another project.
    """
    for path in paths:
        if not path.exists():
            raise SettingsError(f"{path} does not exist")
    resolved = [path.resolve() for path in paths]
    root = settings.project_of(resolved[0])
    for path, given in zip(resolved, paths, strict=True):
        if not path.is_relative_to(root):
            raise SettingsError(f"{given} is not in {root}, the project of {paths[0]}: audit them one after the other")
    below = tuple(path.relative_to(root).as_posix() for path in resolved)
    return root, () if "." in below else below


def read(root: Path, exclude: Sequence[str]) -> Project:
    """Parse a project.

    Raises:
        SettingsError: It cannot be read, or holds no Python file.
    """
    try:
        project = Project(walk(root, exclude))
    except OSError as error:
        raise SettingsError(f"{root}: {error.strerror or error}") from None
    if not project.modules:
        for path, reason in project.tree.unread:
            print(f"audit.py: {path} was not read: {reason}", file=sys.stderr)
        raise SettingsError(f"{root} holds no Python file that can be read: nothing was looked at")
    return project


def repair_all(project: Project, findings: Sequence[Finding]) -> int:
    """Write the repairs.

    Returns:
        How many findings were repaired.
    """
    count = 0
    for path, module in project.modules.items():
        new, done = repair.repaired(module, [one for one in findings if one.path == path])
        if done:
            try:
                replace(project.tree.root / path, new)
            except OSError as error:
                raise SettingsError(f"{path}: {error.strerror or error}") from None
            print(f"audit.py: {path}: {len(done)} repaired", file=sys.stderr)
            count += len(done)
    return count


def show_repairs(project: Project, findings: Sequence[Finding]) -> int:
    """Print what --fix would change.

    Returns:
        1 where it would change something, else 0.
    """
    changed = 0
    for path, module in project.modules.items():
        new, done = repair.repaired(module, [one for one in findings if one.path == path])
        if done:
            print(repair.diff(path, module.source, new), end="")
            changed = FOUND
    return changed


def version() -> str:
    """The version that SKILL.md names, beside the folder of this script."""
    try:
        skill = (Path(__file__).resolve().parents[1] / "SKILL.md").read_text(encoding="utf-8")
    except OSError:
        skill = ""
    found = re.search(r'^  version: "([^"]+)"$', skill, re.MULTILINE)
    return found[1] if found else "0.0.0"


if __name__ == "__main__":
    run(main)
