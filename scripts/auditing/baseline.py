"""The findings that a project had when it began to use the audit, so that only new ones count."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from auditing.finding import Finding
from auditing.settings import SettingsError
from project_source.project import Project

VERSION = 1
Key = tuple[str, str, str]


def key(finding: Finding, project: Project) -> Key:
    """What stays the same when lines move: path, rule, and a digest of the line without its indentation."""
    lines = (project.tree.text(finding.path) or "").splitlines()
    text = lines[finding.line - 1].strip() if finding.line <= len(lines) else ""
    return finding.path, finding.rule, hashlib.sha256(text.encode()).hexdigest()[:16]


def write(path: Path, findings: Iterable[Finding], project: Project) -> int:
    """Write a baseline.

    Returns:
        How many findings it holds.

    Raises:
        SettingsError: The file cannot be written.
    """
    counts = Counter(key(one, project) for one in findings)
    rows = [{"path": p, "rule": r, "line": digest, "count": n} for (p, r, digest), n in sorted(counts.items())]
    try:
        path.write_text(json.dumps({"version": VERSION, "findings": rows}, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from None
    return counts.total()


def without(findings: Iterable[Finding], path: Path, project: Project) -> list[Finding]:
    """The findings that a baseline does not hold.

    Raises:
        SettingsError: The file is missing or malformed.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            raise SettingsError(f"{path}: version {data['version']}; write it again with --write-baseline")
        known = Counter({(one["path"], one["rule"], one["line"]): int(one["count"]) for one in data["findings"]})
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}; write it with --write-baseline") from None
    except (ValueError, KeyError, TypeError):
        raise SettingsError(f"{path}: not a baseline; write it with --write-baseline") from None
    fresh = []
    for one in findings:
        if known[place := key(one, project)] > 0:
            known[place] -= 1
        else:
            fresh.append(one)
    return fresh
