"""pytest: every markdown file is a test file, every block an item for each database."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

from verify import contract, coverage, databases, extract, pages, sync
from verify import report as page_report
from verify.databases import Server, Unavailable
from verify.databases.mariadb import DRIVERS
from verify.extract import Program
from verify.pages import DATABASES, Block, Database, Page, PageError
from verify.runner import Runner, SectionRun

_ENVIRONMENT = "VERIFY_SERVERS"  # the controller of xdist hands its servers to the workers


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("async-sqlmodel")
    group.addoption(
        "--require-all", action="store_true", help="a database that cannot be started is a failure, not a skip"
    )
    group.addoption("--postgres", choices=("wheel", "local"), default="wheel", help="whose PostgreSQL binaries to run")
    group.addoption("--mariadb-driver", choices=DRIVERS, default=DRIVERS[0], help="driver for MariaDB")
    group.addoption("--no-labs", action="store_true", help="skip the sections that need servers beside the three")
    group.addoption(
        "--report-file", type=Path, default=page_report.FILE, metavar="FILE", help="what was verified, as JSON"
    )
    group.addoption(
        "--slots", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help="sections that run at the same time"
    )


class Suite:
    """Servers, runs and results of one pytest process."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.worker: str = getattr(config, "workerinput", {}).get("workerid", "main")
        self.report = page_report.Report()
        self._servers: dict[Database, Server | Unavailable] = {}
        self._runner: Runner | None = None
        self._runs: dict[tuple[Path, Database, int], Future[SectionRun]] = {}
        self._names: list[str] = []

    @property
    def servers(self) -> Mapping[Database, Server | Unavailable]:
        """The three databases; those that are not there with the reason. They are started at the first call."""
        if not self._servers:
            handed = json.loads(os.environ[_ENVIRONMENT]) if self.worker != "main" else None
            for database in DATABASES:
                try:
                    if handed is None:
                        self._servers[database] = databases.start(
                            database,
                            binaries=self.config.getoption("--postgres"),
                            driver=self.config.getoption("--mariadb-driver"),
                        )
                    elif "reason" in handed[database]:
                        self._servers[database] = Unavailable(**handed[database])
                    else:
                        self._servers[database] = databases.attach(**handed[database])
                except Unavailable as missing:
                    self._servers[database] = missing
            self.report.databases = {name: page_report.described(one) for name, one in self._servers.items()}
        return self._servers

    def hand_to_workers(self) -> None:
        """Start the servers, and tell the workers where they are."""
        described = {
            name: {"reason": one.reason, "remedy": one.remedy}
            if isinstance(one, Unavailable)
            else {"backend": name, "url": one.url, "version": one.version, "origin": one.origin}
            for name, one in self.servers.items()
        }
        os.environ[_ENVIRONMENT] = json.dumps(described)

    def server(self, database: Database) -> Server:
        """A server, or a skip that is seen and counted; a failure under --require-all."""
        found = self.servers[database]
        if isinstance(found, Unavailable):
            self.miss(database, found)
        return found

    def result(self, future: Future[SectionRun]) -> SectionRun:
        """The run of a section. Where the servers of its lab are missing: a skip that is seen, or a failure."""
        try:
            return future.result()
        except Unavailable as missing:
            self.miss("a lab server", missing)

    def leaves_out(self, program: Program) -> bool:
        """Whether a section is skipped because it needs a lab."""
        return bool(program.lab) and bool(self.config.getoption("--no-labs"))

    def miss(self, what: str, missing: Unavailable) -> NoReturn:
        """A skip that is seen and counted; a failure under --require-all."""
        reason = f"{what} could not be started: {missing.reason}; {missing.remedy}"
        if self.config.getoption("--require-all"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    def available(self) -> list[Database]:
        """The databases that are there."""
        return [name for name, one in self.servers.items() if isinstance(one, Server)]

    def submit(self, program: Program, database: Database, trial: int = 0) -> Future[SectionRun]:
        """Run a section once, however many items ask for it."""
        key = (program.folder, database, trial)
        if key not in self._runs:
            self._runs[key] = self.runner.submit(program, database, trial)
        return self._runs[key]

    @property
    def runner(self) -> Runner:
        """The runner, started at the first call."""
        if self._runner is None:
            slots = 1 if self.worker != "main" else self.config.getoption("--slots")
            self._names = [f"verify_test_{os.getpid()}_{slot}" for slot in range(slots)]  # a given server may be shared
            running = {name: one for name, one in self.servers.items() if isinstance(one, Server)}
            self._runner = Runner([
                {name: one.database_url(slot) for name, one in running.items()} for slot in self._names
            ])
        return self._runner

    def close(self) -> None:
        """End what was started."""
        if self._runner:
            self._runner.__exit__()
        for server in self._servers.values():
            if isinstance(server, Server):
                for name in self._names:
                    databases.drop_database(server, name)
                if self.worker == "main":
                    server.stop()


_SUITE = pytest.StashKey[Suite]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the suite."""
    suite = config.stash[_SUITE] = Suite(config)
    if suite.worker == "main" and getattr(config.option, "numprocesses", None):
        suite.hand_to_workers()
    if suite.worker == "main":
        config.pluginmanager.register(Reporter(suite))


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers."""
    if suite := config.stash.get(_SUITE, None):
        suite.close()


@pytest.fixture(scope="session")
def suite(request: pytest.FixtureRequest) -> Suite:
    """Servers and runner of this pytest process."""
    return request.config.stash[_SUITE]


@pytest.fixture(params=DATABASES)
def server(request: pytest.FixtureRequest, suite: Suite) -> Server:
    """Each of the three servers in turn."""
    return suite.server(request.param)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> MarkdownFile | None:
    """Collect markdown files, but those that are generated."""
    if file_path.suffix != ".md" or pages.is_generated(file_path):
        return None
    return MarkdownFile.from_parent(parent, path=file_path)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the sections before their items are asked for; a worker of xdist does not know which will be its own."""
    suite = session.config.stash[_SUITE]
    if session.config.option.collectonly or suite.worker != "main":
        return
    for item in session.items:
        if isinstance(item, PageItem):
            item.start(suite)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the line of the page in the list of failures."""
    outcome = yield
    if isinstance(item, PageItem):
        outcome.user_properties = [("verify", asdict(item.record))]
    return outcome


class MarkdownFile(pytest.File):
    """A page."""

    def collect(self) -> Iterator[pytest.Item]:
        """Parse, check and extract the page; its items follow the order of the sections."""
        try:
            page = pages.parse(self.path)
            contract.check(page)
        except PageError as error:
            raise self.CollectError(str(error)) from None
        worker = self.config.stash[_SUITE].worker
        into = extract.SNIPPETS if worker == "main" else extract.SNIPPETS.with_name(f"snippets-{worker}")
        programs = extract.extract(page, into=into)
        preface = (
            []
            if page.programs == (page.preface,)
            else [b for b in page.preface.blocks if b.kind in {"program", "file"}]
        )
        for program in programs:
            own = [step.block for step in program.steps if step.block not in preface]
            for database in DATABASES:
                for block in own:
                    if block.kind in {"program", "file"} and database in block.databases:
                        yield self._item(BlockItem, f"{block.line}[{database}]", page, block, [program], database)
            for block in own:
                if block.kind == "norun" and block.language == "python":
                    yield self._item(TrialItem, f"{block.line}[norun]", page, block, [program], block.databases[0])
        for block in preface:
            for database in (one for one in block.databases if any(one in program.databases for program in programs)):
                yield self._item(BlockItem, f"{block.line}[{database}]", page, block, programs, database)
        for block in page.blocks:
            if block.kind == "excerpt":
                yield self._item(ExcerptItem, f"{block.line}[excerpt]", page, block, [], None)
        if programs:
            yield self._item(CoverageItem, "coverage", page, None, programs, None)

    def _item(
        self,
        kind: type[PageItem],
        name: str,
        page: Page,
        block: Block | None,
        programs: list[Program],
        database: Database | None,
    ) -> PageItem:
        item: PageItem = kind.from_parent(self, name=name)
        item.page, item.block, item.programs, item.database = page, block, programs, database
        item.record = page_report.Record(
            extract.page_name(page.path), block.line if block else 0, database or "", item.what
        )
        return item


class PageFailureError(Exception):
    """An item failed; the text is all there is to say."""


class PageItem(pytest.Item):
    """Something that is verified about a page."""

    page: Page
    block: Block | None
    programs: list[Program]
    database: Database | None
    record: page_report.Record
    what = "block"

    def start(self, suite: Suite) -> list[Future[SectionRun]]:
        """Start the runs that the item needs."""
        if self.database is None or self.database not in suite.available():
            return []
        return [
            suite.submit(program, self.database)
            for program in self.programs
            if self.database in program.databases and not suite.leaves_out(program)
        ]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any) -> Any:
        """Say what failed, without a traceback of the suite."""
        if isinstance(excinfo.value, PageFailureError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, *args)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the block stands."""
        line = self.block.line if self.block else 1
        where = self.database or self.what
        return self.path, line - 1, f"{extract.page_name(self.path)}:{line} [{where}]"


class BlockItem(PageItem):
    """A block on a database."""

    def runtest(self) -> None:
        """Pass where the block passed in every section that runs it."""
        assert self.block
        assert self.database
        suite = self.config.stash[_SUITE]
        suite.server(self.database)
        if all(suite.leaves_out(program) for program in self.programs):
            pytest.skip(f"lab={self.block.lab}: --no-labs was given")
        failures = []
        for future in self.start(suite):
            run = suite.result(future)
            result = run.results.get(self.block.line)
            if result is None:
                raise PageFailureError(f"{self.path}:{self.block.line}: the block gave no result; {run.problem}")
            self.record.seconds += result.seconds
            self.record.proofs += result.proofs
            self.record.statements = list(result.statements)
            self.record.raises = [(one.line, one.outer, one.inner) for one in result.raises]
            if result.outcome != "passed":
                failures.append(result.message)
            if (
                run.problem
                and self.block == [s.block for s in run.program.steps if self.database in s.block.databases][-1]
            ):
                failures.append(run.problem)
        if failures:
            raise PageFailureError(failures[0])


class TrialItem(PageItem):
    """A norun block, tried without network."""

    what = "norun"

    def start(self, suite: Suite) -> list[Future[SectionRun]]:
        """Start the trial."""
        assert self.block
        assert self.database
        if self.database not in suite.available():
            return []
        return [suite.submit(self.programs[0], self.database, self.block.line)]

    def runtest(self) -> None:
        """Fail where the block works after all."""
        assert self.block
        assert self.database
        suite = self.config.stash[_SUITE]
        suite.server(self.database)
        result = suite.result(self.start(suite)[0]).results.get(self.block.line)
        if result is None or result.outcome != "passed":
            raise PageFailureError(
                result.message if result else f"{self.path}:{self.block.line}: the block could not be tried"
            )


class ExcerptItem(PageItem):
    """A quotation of an asset."""

    what = "excerpt"

    def runtest(self) -> None:
        """Compare the quotation with the asset."""
        assert self.block
        try:
            sync.check_excerpt(self.page, self.block)
        except PageError as error:
            raise PageFailureError(str(error)) from None


class CoverageItem(PageItem):
    """All statements of a page ran."""

    what = "coverage"

    def start(self, suite: Suite) -> list[Future[SectionRun]]:
        """Start every section on every database."""
        return [
            suite.submit(program, database)
            for program in self.programs
            for database in suite.available()
            if database in program.databases and not suite.leaves_out(program)
        ]

    def runtest(self) -> None:
        """Name the statements that never ran."""
        suite = self.config.stash[_SUITE]
        if any(suite.leaves_out(program) for program in self.programs):
            pytest.skip("not judged: --no-labs was given")
        runs = [suite.result(future) for future in self.start(suite)]
        failed = [r for run in runs for r in run.results.values() if r.outcome != "passed"]
        if failed:
            raise PageFailureError(f"{self.path}: not judged: the block on line {failed[0].line} failed")
        if missing := coverage.never_ran(self.page, runs, suite.available()):
            lines = self.path.read_text(encoding="utf-8").splitlines()
            raise PageFailureError(
                "\n".join(f"{self.path}:{line}: never ran: {lines[line - 1].strip()}" for line in missing)
            )


class Reporter:
    """Counts what was verified, and prints the table at the end; under xdist it lives in the controller."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count an item when its test phase is over."""
        record = dict(report.user_properties).get("verify")
        if record and (report.when == "call" or report.outcome == "skipped"):
            self.suite.report.add(cast(dict[str, Any], record), report.outcome, str(report.longrepr or ""))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a page that breaks the grammar."""
        if report.failed and report.nodeid.endswith(".md"):
            record = asdict(page_report.Record(report.nodeid, 0, "", "page"))
            self.suite.report.add(record, report.outcome, str(report.longrepr or ""))

    def pytest_sessionfinish(self) -> None:
        """Write build/report.json."""
        if self.suite.report.records:
            self.suite.report.write(self.suite.config.getoption("--report-file"))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what was verified, and how each database was had."""
        if self.suite.report.databases:
            terminalreporter.section("verified")
            terminalreporter.write_line(self.suite.report.text())
