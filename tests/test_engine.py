"""The engine, proved by pages: each bad page fails as its comments say, and nowhere else; the good ones pass."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from verify import by_hand, databases
from verify.databases import Server
from verify.plugin import Suite
from verify.report import Record

PAGES = Path(__file__).parent / "pages"
ROOT = PAGES.parents[1]
BAD = sorted((PAGES / "bad").glob("*.md"))
SETTINGS = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT))
XDIST = (PAGES / "good" / "basics.md", PAGES / "bad" / "queries-differ-on-one-database.md")
_FAILS = re.compile(r"<!-- fails: (?P<item>\w+)(?: \[(?P<where>[\w,]+)\])? (?P<line>\d+): (?P<text>.*?) -->")


@dataclass(frozen=True)
class Run:
    """One pytest process."""

    code: int
    output: str
    records: list[Record]


def given_servers(suite: Suite) -> dict[str, str]:
    """The environment in which an inner run uses the servers of this one."""
    environment = dict(os.environ)
    for database, variable in (("postgresql", "TEST_POSTGRES_URL"), ("mariadb", "TEST_MARIADB_URL")):
        found = suite.servers[database]  # type: ignore[index]
        if isinstance(found, Server):
            environment[variable] = found.database_url("inner_test")
    return environment


def run_pytest(suite: Suite, report: Path, *arguments: str | Path, **environment: str) -> Run:
    """Run pytest on the servers of this run."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SETTINGS, f"--report-file={report}", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=False, env=given_servers(suite) | environment,
    )  # fmt: skip
    records = [Record(**one) for one in json.loads(report.read_text())["records"]] if report.exists() else []
    return Run(done.returncode, done.stdout + done.stderr, records)


@pytest.fixture(scope="module")
def prepared(suite: Suite) -> None:
    """The databases that the inner runs are given must exist."""
    for found in suite.servers.values():
        if isinstance(found, Server):
            asyncio.run(databases.make_empty(found.database_url("inner_test")))


@pytest.fixture(scope="module")
def runs(suite: Suite, prepared: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Run]]]:
    """The pages, in runs at the same time: the good ones, the bad ones, those that never end, and two under xdist."""
    folder = tmp_path_factory.mktemp("runs")
    hanging = [page for page in BAD if page.stem.startswith("section-that-")]
    others = [page for page in BAD if page not in hanging]
    collect = "--continue-on-collection-errors"
    with ThreadPoolExecutor(4) as pool:
        yield {
            "xdist": pool.submit(run_pytest, suite, folder / "xdist.json", "-n2", "--dist=loadfile", *XDIST),
            "good": pool.submit(run_pytest, suite, folder / "good.json", PAGES / "good"),
            "bad": pool.submit(run_pytest, suite, folder / "bad.json", collect, *others),
            "hanging": pool.submit(run_pytest, suite, folder / "hanging.json", *hanging, VERIFY_SECONDS="2"),
        }


@pytest.fixture(scope="module")
def good(runs: dict[str, Future[Run]]) -> Run:
    return runs["good"].result()


@pytest.fixture(scope="module")
def bad(runs: dict[str, Future[Run]]) -> Run:
    done = [runs["bad"].result(), runs["hanging"].result()]
    return Run(max(run.code for run in done), done[0].output + done[1].output, done[0].records + done[1].records)


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


def test_a_missing_database_is_a_seen_skip_at_home_and_a_failure_in_ci(
    suite: Suite, prepared: None, tmp_path: Path
) -> None:
    page = tmp_path / "mine.md"
    page.write_text("# Mine\n\n```python\n1 + 1  # => 2\n```\n")
    away = {"TEST_MARIADB_URL": "mariadb://u@127.0.0.1:1/app_test"}
    home = run_pytest(suite, tmp_path / "home.json", page, **away)
    assert home.code == 0, home.output
    assert "mariadb: NOT RUN: TEST_MARIADB_URL cannot be reached" in home.output
    assert re.search(r"\d+ passed, 1 skipped", home.output)
    assert "(1 not verified)" in home.output
    ci = run_pytest(suite, tmp_path / "ci.json", page, "--require-all", **away)
    assert ci.code == 1
    assert "mariadb could not be started" in ci.output


def test_xdist_gives_the_same_outcomes_and_one_table(runs: dict[str, Future[Run]], good: Run, bad: Run) -> None:
    run = runs["xdist"].result()
    names = tuple(page.name for page in XDIST)
    assert run.code == 1
    assert run.output.count("= verified =") == 1

    def outcomes(records: list[Record]) -> set[tuple[str, int, str, str, str]]:
        return {(r.page, r.line, r.database, r.outcome, r.message) for r in records if r.page.endswith(names)}

    assert outcomes(run.records) == outcomes(good.records + bad.records)


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A section that passes, and one that fails."""
    page = tmp_path_factory.mktemp("by_hand") / "mine.md"
    page.write_text("# Mine\n\n## One\n\n```python\n1 + 1  # => 2\n```\n\n## Two\n\n```python\n1 + 1  # => 3\n```\n")
    command = [sys.executable, "-m", "verify", "extract", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [Path(folder) for folder in done.stdout.splitlines()]


def run_by_hand(folder: Path, url: str | None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, str(folder / "main.py")],
        capture_output=True, text=True, check=False, env=environment | ({"DATABASE_URL": url} if url else {}),
    )  # fmt: skip


def test_a_section_passes_by_hand(extracted: list[Path]) -> None:
    done = run_by_hand(extracted[0], None)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mine.md:5 [sqlite] passed" in done.stdout


def test_a_section_fails_by_hand(suite: Suite, prepared: None, extracted: list[Path]) -> None:
    database = suite.available()[-1]
    done = run_by_hand(extracted[1], suite.server(database).database_url("by_hand_test"))
    databases.drop_database(suite.server(database), "by_hand_test")
    assert done.returncode == 1
    assert f"mine.md:11 [{database}] failed" in done.stdout
    assert "mine.md:12" in done.stderr
    assert "got  2" in done.stderr


def test_by_hand_a_database_with_tables_is_refused(extracted: list[Path], tmp_path: Path) -> None:
    precious = tmp_path / "precious.db"
    with sqlite3.connect(precious) as connection:
        connection.execute("CREATE TABLE precious (id INTEGER)")
    connection.close()
    before = precious.read_bytes()
    done = run_by_hand(extracted[0], f"sqlite:///{precious}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "holds tables (precious)" in done.stderr
    assert precious.read_bytes() == before


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nonsense", "is not a database URL"),
        ("oracle://host/app", "one of sqlite, postgresql, mariadb, mysql"),
        ("sqlite://", "name a file or a database"),
        ("sqlite:////nowhere/app.db", "the folder /nowhere does not exist"),
        ("postgresql+psycopg2://host/app", "is not asynchronous, or not installed"),
        ("postgresql://u:secret@127.0.0.1:1/app", "cannot be opened: ConnectionRefusedError"),
        ("mariadb://u:secret@127.0.0.1:1/app_test", "cannot be opened: OperationalError"),
    ],
)
def test_by_hand_a_wrong_url_is_one_line(
    url: str, text: str, extracted: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SystemExit) as left:
        by_hand.main(str(extracted[0] / "main.py"))
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert text in said
    assert "secret" not in said


def test_a_folder_that_is_no_section_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        by_hand.main(str(tmp_path / "main.py"))
    assert left.value.code == 2
    assert "not an extracted section" in capsys.readouterr().err
