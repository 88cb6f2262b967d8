"""Findings as text, JSON, SARIF, or annotations of GitHub Actions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from auditing.catalogue import RULES
from auditing.finding import Finding
from project_source.project import Project

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def text(findings: Sequence[Finding], project: Project, limit: int) -> str:
    """A line for each finding, and a summary that names the card of each rule."""
    lines = [
        f"{one.path}:{one.line}:{one.column}: {one.rule} {one.severity}{' possible' if one.possible else ''}: "
        f"{one.message}; {one.remedy}{' [*]' if one.edits else ''}"
        for one in findings[:limit]
    ]
    if len(findings) > limit:
        lines.append(f"... and {len(findings) - limit} more: --limit shows them, --rule chooses")
    if not findings:
        return f"no findings in {len(project.modules)} Python files\n"
    files = len({one.path for one in findings})
    noun = "finding" if len(findings) == 1 else "findings"
    lines.append(f"\n{len(findings)} {noun} in {files} of {len(project.modules)} Python files")
    for rule, count in sorted(Counter(one.rule for one in findings).items()):
        lines.append(f"{count:5} {rule} {RULES[rule].title}: {RULES[rule].card}")
    if any(one.edits for one in findings):
        lines.append("[*] --fix repairs these; --diff shows how")
    return "\n".join(lines) + "\n"


def as_json(findings: Sequence[Finding], project: Project) -> str:
    """An object with `findings`, `files` and `unread`."""
    data = {
        "version": 1,
        "root": str(project.tree.root),
        "files": len(project.modules),
        "findings": [
            {
                "rule": one.rule, "severity": one.severity, "possible": one.possible, "path": one.path, "line": one.line,
                "column": one.column, "end_line": one.end_line, "message": one.message, "remedy": one.remedy,
                "fixable": bool(one.edits), "card": RULES[one.rule].card,
            }
            for one in findings
        ],
        "unread": [{"path": path, "reason": reason} for path, reason in project.tree.unread],
    }  # fmt: skip
    return json.dumps(data, indent=1) + "\n"


def sarif(findings: Sequence[Finding], project: Project, version: str) -> str:
    """A SARIF 2.1.0 log."""
    rules: list[dict[str, Any]] = [
        {
            "id": rule.id,
            "name": "".join(word.capitalize() for word in rule.title.replace("()", "").replace(",", "").split()),
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": rule.why},
            "help": {"text": f"See {rule.card}"},
            "defaultConfiguration": {"level": rule.severity},
        }
        for rule in RULES.values()
    ]
    index = {one["id"]: number for number, one in enumerate(rules)}
    results: list[dict[str, Any]] = [
        {
            "ruleId": one.rule,
            "ruleIndex": index[one.rule],
            "level": "note" if one.possible else one.severity,
            "message": {"text": f"{one.message}; {one.remedy}."},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": _uri(one.path), "uriBaseId": "%SRCROOT%"},
                        "region": {"startLine": one.line, "startColumn": one.column, "endLine": one.end_line},
                    }
                }
            ],
        }
        for one in findings
    ]
    unread = [
        {
            "level": "warning",
            "message": {"text": f"not read: {reason}"},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(path), "uriBaseId": "%SRCROOT%"}}}],
        }
        for path, reason in project.tree.unread
    ]
    run = {
        "tool": {"driver": {"name": "async-sqlmodel audit", "semanticVersion": version, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": unread}],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def github(findings: Sequence[Finding]) -> str:
    """A workflow command for each finding."""
    return "".join(
        f"::{'notice' if one.possible else one.severity} file={_property(one.path)},line={one.line},col={one.column},"
        f"endLine={one.end_line},title={one.rule}::{_data(f'{one.message}; {one.remedy}')}\n"
        for one in findings
    )


def explain(rule: str) -> str:
    """What a rule is about."""
    one = RULES[rule]
    return f"{one.id} ({one.severity}): {one.title}\n{one.why}\nWrong and right, both proved: {one.card}\n"


def _uri(path: str) -> str:
    return quote(path)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
