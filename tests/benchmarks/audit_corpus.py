"""Precision and speed of the audit on real projects. `python tests/benchmarks/audit_corpus.py --corpus DIR`

DIR holds `corpus.json`, a list of {"repository": "owner/name", "commit": ...}, and each project's files in `owner+name/`.
Every finding is looked up in tests/audit/judgements/*.tsv, by repository, path, line and rule; one that was not judged
counts as wrong. Exit codes: 0 all rules are precise, 1 some rule is below the limit, 2 a wrong call.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from auditing.catalogue import RULES  # noqa: E402
from auditing.finding import Finding  # noqa: E402
from auditing.run import Selection, audit  # noqa: E402
from project_source.files import walk  # noqa: E402
from project_source.project import Project  # noqa: E402

JUDGEMENTS = ROOT / "tests" / "audit" / "judgements"
COLUMNS = ("repository", "commit", "path", "line", "rule", "verdict", "note")
LIMIT = 95  # right findings in 100, for a rule that is on by default


@dataclass(frozen=True)
class Source:
    """A project of the corpus."""

    repository: str
    commit: str
    folder: Path


def corpus(folder: Path) -> list[Source]:
    """The projects that are there."""
    listed = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    found = [Source(one["repository"], one["commit"], folder / one["repository"].replace("/", "+")) for one in listed]
    return [one for one in found if one.folder.is_dir()]


def judgements() -> dict[tuple[str, str, str, int, str], str]:
    """The verdicts: "true" for a finding that is right, "false" for a false alarm.

    Raises:
        SystemExit: A line is malformed.
    """
    verdicts: dict[tuple[str, str, str, int, str], str] = {}
    for path in sorted(JUDGEMENTS.glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
                if len(row) != len(COLUMNS) or not row[3].isdecimal() or row[5] not in {"true", "false"}:
                    raise SystemExit(
                        f"{path}:{number}: write {', '.join(COLUMNS)}, with tabs; the verdict is true or false"
                    )
                verdicts[row[0], row[1], row[2], int(row[3]), row[4]] = row[5]
    return verdicts


def main() -> int:
    """Run the benchmark.

    Returns:
        0, 1 or 2.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--rule", action="append", default=[], choices=tuple(RULES), help="only this rule; may be repeated"
    )
    parser.add_argument("--possible", action="store_true", help="also findings of which the audit is not sure")
    parser.add_argument("--show", choices=("unjudged", "false", "all"), help="print these findings with their lines")
    options = parser.parse_args()
    sources = corpus(options.corpus)
    if not sources:
        parser.error(f"{options.corpus} holds no project that its corpus.json names")
    verdicts = judgements()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    lines, seconds = 0, 0.0
    for source in sources:
        started = time.process_time()
        project = Project(walk(source.folder))
        found = audit(project, Selection(frozenset(options.rule), possible=options.possible))
        seconds += time.process_time() - started
        lines += sum(len(module.lines) for module in project.modules.values())
        for one in found:
            verdict = verdicts.get((source.repository, source.commit, one.path, one.line, one.rule), "unjudged")
            counts[one.rule][verdict] += 1
            if options.show in {verdict, "all"}:
                show(source, one, verdict, project)
    return table(counts, len(sources), lines, seconds)


def show(source: Source, one: Finding, verdict: str, project: Project) -> None:
    """Print a finding as a line of the judgements, with its source below it."""
    print("\t".join((source.repository, source.commit, one.path, str(one.line), one.rule, verdict, one.message)))
    text = (project.tree.text(one.path) or "").splitlines()
    for number in range(max(1, one.line - 2), min(len(text), one.line + 3) + 1):
        print(f"    {'>' if number == one.line else ' '} {number}: {text[number - 1][:160]}")


def table(counts: dict[str, Counter[str]], projects: int, lines: int, seconds: float) -> int:
    """Print precision by rule, and speed.

    Returns:
        1 where a rule is below the limit, else 0.
    """
    print(f"{'rule':8} {'right':>6} {'wrong':>6} {'unjudged':>9} {'precision':>10}")
    below = 0
    for rule in sorted(counts):
        right, wrong, unjudged = (counts[rule][name] for name in ("true", "false", "unjudged"))
        precision = 100 * right / (right + wrong + unjudged)
        below += precision < LIMIT
        print(
            f"{rule:8} {right:6} {wrong:6} {unjudged:9} {precision:9.1f}%{'  below the limit' if precision < LIMIT else ''}"
        )
    silent = sorted(set(RULES) - set(counts))
    print(f"no findings: {', '.join(silent) or 'none'}")
    print(
        f"{projects} projects, {lines:,} lines, {seconds:.2f} s of CPU time, {lines / max(seconds, 1e-9):,.0f} lines a second"
    )
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
