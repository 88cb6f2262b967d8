"""The engine, proved by pages: each bad page fails as its comments say, and nowhere else; the good ones pass."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from verify.databases import Server
from verify.plugin import Suite
from verify.report import Record

PAGES = Path(__file__).parent / "pages"
ROOT = PAGES.parents[1]
BAD = sorted((PAGES / "bad").glob("*.md"))
SETTINGS = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT))
SECONDS = "4"  # for a section: long enough to start, short enough to hang
_FAILS = re.compile(r"<!-- fails: (?P<item>\w+)(?: \[(?P<where>[\w,]+)\])? (?P<line>\d+): (?P<text>.*?) -->")


@dataclass(frozen=True)
class Run:
    """One pytest process."""

    code: int
    output: str
    records: list[Record]


def run_pytest(suite: Suite, report: Path, *arguments: str | Path) -> Run:
    """Run pytest on the servers of this run."""
    environment = {**os.environ, "VERIFY_SECONDS": SECONDS}
    for database, variable in (("postgresql", "TEST_POSTGRES_URL"), ("mariadb", "TEST_MARIADB_URL")):
        found = suite.servers[database]  # type: ignore[index]
        if isinstance(found, Server):
            environment[variable] = found.database_url("inner_test")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SETTINGS, f"--report-file={report}", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    records = [Record(**one) for one in json.loads(report.read_text())["records"]] if report.exists() else []
    return Run(done.returncode, done.stdout + done.stderr, records)


@pytest.fixture(scope="module")
def prepared(suite: Suite) -> None:
    """The databases that the inner runs are given must exist."""
    import asyncio

    from verify import databases

    for found in suite.servers.values():
        if isinstance(found, Server):
            asyncio.run(databases.make_empty(found.database_url("inner_test")))


@pytest.fixture(scope="module")
def bad(suite: Suite, prepared: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All bad pages, in one run."""
    report = tmp_path_factory.mktemp("bad") / "report.json"
    return run_pytest(suite, report, "--continue-on-collection-errors", PAGES / "bad")


@pytest.fixture(scope="module")
def good(suite: Suite, prepared: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All good pages, in one run."""
    return run_pytest(suite, tmp_path_factory.mktemp("good") / "report.json", PAGES / "good")


def name_of(record: Record) -> tuple[str, str]:
    place = record.database if record.what == "block" else record.what
    return (record.what if record.what in ("page", "coverage") else str(record.line), place)


@pytest.mark.parametrize("page", BAD, ids=lambda path: path.stem)
def test_a_bad_page_fails_as_it_says(bad: Run, suite: Suite, page: Path) -> None:
    expected = _FAILS.findall(page.read_text(encoding="utf-8"))
    assert expected, f"{page} does not say how it fails"
    records = [record for record in bad.records if record.page.endswith(f"bad/{page.name}")]
    assert records, bad.output[-3000:]
    failed = {name_of(r): r.message for r in records if r.outcome == "failed" and "not run: " not in r.message}
    judged = {key: text for key, text in failed.items() if "not judged" not in text}
    wanted = {}
    for item, where, line, text in expected:
        for place in (where or {"collect": "page"}.get(item, item)).split(","):
            if place in suite.servers and place not in suite.available():
                continue
            wanted["page" if item == "collect" else item, place] = (line, text)
    assert judged.keys() == wanted.keys(), judged
    for key, (line, text) in wanted.items():
        assert f"{page.name}:{line}:" in judged[key], judged[key]
        assert text in judged[key], judged[key]


def test_there_are_bad_pages() -> None:
    assert len(BAD) > 90


def test_what_follows_a_failure_is_not_run_and_not_passed(bad: Run) -> None:
    records = [r for r in bad.records if r.page.endswith("first-failure-stops-the-section.md") and r.what == "block"]
    after = [r for r in records if "not run: the block on line" in r.message]
    assert after
    assert all(record.outcome == "failed" for record in after)
    assert len({record.line for record in records}) == 2


def test_a_good_page_passes_with_all_its_proofs(good: Run, suite: Suite) -> None:
    assert good.code == 0, good.output[-6000:]
    assert len(good.records) > 60
    if len(suite.available()) == 3:
        assert {record.outcome for record in good.records} == {"passed"}
    assert {record.what for record in good.records} == {"block", "excerpt", "norun", "coverage"}


def test_the_report_keeps_the_classes_of_an_error(good: Run, suite: Suite) -> None:
    raises = {
        r.database: r.raises[0]
        for r in good.records
        if r.page.endswith("basics.md") and r.raises and "Missing" in str(r.raises)
    }
    assert list(raises["sqlite"][1:]) == ["sqlalchemy.exc.StatementError", "sqlalchemy.exc.MissingGreenlet"]
    if "postgresql" in suite.available():
        assert list(raises["postgresql"][1:]) == ["sqlalchemy.exc.MissingGreenlet", "sqlalchemy.exc.MissingGreenlet"]


def test_one_block_can_be_named(suite: Suite, prepared: None, tmp_path: Path) -> None:
    page = PAGES / "good" / "basics.md"
    line = next(
        n for n, text in enumerate(page.read_text().splitlines(), 1) if text.startswith("```python {queries=2}")
    )
    run = run_pytest(suite, tmp_path / "report.json", f"{page}::{line}[sqlite]")
    assert run.code == 0, run.output
    assert [(record.line, record.database) for record in run.records] == [(line, "sqlite")]


def test_a_page_outside_the_repository_is_run(suite: Suite, prepared: None, tmp_path: Path) -> None:
    page = tmp_path / "mine.md"
    page.write_text("# Mine\n\n```python\n1 + 1  # => 2\n```\n")
    run = run_pytest(suite, tmp_path / "report.json", page)
    assert run.code == 0, run.output
    assert {record.database for record in run.records if record.what == "block"} == set(suite.available())


def test_a_missing_page_is_a_usage_error(suite: Suite, prepared: None, tmp_path: Path) -> None:
    run = run_pytest(suite, tmp_path / "report.json", tmp_path / "nosuch.md")
    assert run.code == 4
    assert "nosuch.md" in run.output


def test_a_missing_database_is_a_seen_skip_at_home_and_a_failure_in_ci(tmp_path: Path) -> None:
    page = tmp_path / "mine.md"
    page.write_text("# Mine\n\n```python\n1 + 1  # => 2\n```\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *SETTINGS,
        f"--report-file={tmp_path / 'r.json'}",
        str(page),
    ]
    environment = {**os.environ, "TEST_MARIADB_URL": "mariadb://u@127.0.0.1:1/app_test"}
    home = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert home.returncode == 0, home.stdout
    assert "mariadb: NOT RUN: TEST_MARIADB_URL cannot be reached" in home.stdout
    assert re.search(r"\d+ passed, 1 skipped", home.stdout)
    assert "(1 not verified)" in home.stdout
    ci = subprocess.run(
        [*command, "--require-all"], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert ci.returncode == 1
    assert "mariadb could not be started" in ci.stdout


def test_xdist_gives_one_table(suite: Suite, prepared: None, tmp_path: Path) -> None:
    one = run_pytest(suite, tmp_path / "one.json", PAGES / "good" / "basics.md")
    two = run_pytest(suite, tmp_path / "two.json", "-n2", "--dist=loadfile", PAGES / "good")
    assert two.code == 0, two.output[-3000:]
    assert two.output.count("= verified =") == 1

    def outcomes(run: Run) -> set[tuple[int, str, str]]:
        return {(r.line, r.database, r.outcome) for r in run.records if r.page.endswith("basics.md")}

    assert outcomes(one) == outcomes(two)


def test_an_extracted_section_runs_by_hand(suite: Suite, prepared: None, tmp_path: Path) -> None:
    page = tmp_path / "mine.md"
    page.write_text("# Mine\n\n## One\n\n```python\n1 + 1  # => 2\n```\n\n## Two\n\n```python\n1 + 1  # => 3\n```\n")
    extracted = subprocess.run(
        [sys.executable, "-m", "verify", "extract", str(page)], capture_output=True, text=True, check=True
    )
    codes = []
    for folder in extracted.stdout.splitlines():
        environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
        done = subprocess.run(
            [sys.executable, f"{folder}/main.py"], capture_output=True, text=True, check=False, env=environment
        )
        codes.append(done.returncode)
        if done.returncode:
            assert "mine.md:12" in done.stderr
            assert "got  2" in done.stderr
    assert codes == [0, 1]


def test_by_hand_a_database_with_tables_is_refused(suite: Suite, prepared: None, tmp_path: Path) -> None:
    import sqlite3

    page = tmp_path / "mine.md"
    page.write_text("# Mine\n\n```python\n1 + 1  # => 2\n```\n")
    extracted = subprocess.run(
        [sys.executable, "-m", "verify", "extract", str(page)], capture_output=True, text=True, check=True
    )
    precious = tmp_path / "precious.db"
    with sqlite3.connect(precious) as connection:
        connection.execute("CREATE TABLE precious (id INTEGER)")
    connection.close()
    environment = {**os.environ, "DATABASE_URL": f"sqlite+aiosqlite:///{precious}"}
    done = subprocess.run(
        [sys.executable, f"{extracted.stdout.strip()}/main.py"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 2
    assert "holds tables" in done.stderr
    assert precious.stat().st_size > 0
