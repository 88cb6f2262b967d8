"""The servers of `lab=` sections: they start, they end, and a machine without them says what installs them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from verify import databases, labs
from verify.databases import Unavailable
from verify.labs import galera, patroni
from verify.pages import LABS
from verify.plugin import Suite

PAGE = Path(__file__).parent / "pages" / "labs" / "all.md"
ROOT = Path(__file__).parents[1]
URL = "postgresql+asyncpg://postgres@127.0.0.1:1/test"


@pytest.fixture
def url(suite: Suite) -> str:
    server = suite.server("postgresql")
    url = server.database_url("lab_test")
    asyncio.run(databases.make_empty(url))
    return url


def run_page(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"),
         "--rootdir", str(ROOT), f"--report-file={ROOT / 'build' / 'labs.json'}", str(PAGE), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | environment,
    )  # fmt: skip


def test_the_page_of_labs_has_a_section_for_each() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert {name for name in LABS if f"{{lab={name}}}" in text} == set(LABS)


def test_without_labs_their_sections_are_skipped_and_counted() -> None:
    done = run_page("--no-labs")
    assert done.returncode == 0, done.stdout
    assert "SKIPPED [1]" in done.stdout
    assert "lab=galera: --no-labs was given" in done.stdout
    assert "not judged: --no-labs was given" in done.stdout


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("redis", "no redis-server; apt-get install redis-server"),
        ("pgbouncer", "no pgbouncer; apt-get install pgbouncer"),
        ("galera", "no Galera library; apt-get install mariadb-server galera-4 rsync"),
        ("patroni", r"Patroni is not installed; pip install 'patroni\[raft,psycopg3\]'"),
    ],
)
def test_a_machine_without_the_server_says_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str, wanted: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setattr(galera, "_LIBRARIES", ())
    monkeypatch.setattr(patroni, "find_spec", lambda _: None)
    with pytest.raises(Unavailable, match=wanted), labs.running(name, URL):
        pass


def test_a_missing_lab_is_a_skip_at_home_and_a_failure_where_all_is_required(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "redis-server").write_text("#!/bin/sh\necho no more memory; exit 3\n")
    (tools / "redis-server").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    home = run_page("-k", "Redis or 16", PATH=path)
    required = run_page("-k", "Redis or 16", "--require-all", PATH=path)
    assert "a lab server could not be started" in home.stdout
    assert home.returncode == 0, home.stdout
    assert required.returncode == 1, required.stdout


@pytest.mark.parametrize("name", ["redis", "pgbouncer", "proxy"])
def test_the_servers_of_a_lab_end_with_it(url: str, name: str) -> None:
    before = set(psutil.Process().children(recursive=True))
    with labs.running(name, url):
        during = set(psutil.Process().children(recursive=True)) - before
    assert during
    psutil.wait_procs(during, timeout=5)
    assert not [one for one in during if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


async def _fault(control: str, fault: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.put(f"{control}/{fault}")


def _through_the_proxy(url: str, body: Callable[..., object]) -> None:
    async def run() -> None:
        engine = create_async_engine(lab.environment["PROXY_URL"], connect_args={"timeout": 2, "command_timeout": 1})
        try:
            await body(engine, lab.environment["PROXY_CONTROL"])  # type: ignore[misc]
        finally:
            await engine.dispose()

    with labs.running("proxy", url) as lab:
        asyncio.run(run())


def test_the_proxy_refuses_a_fault_that_it_does_not_know(url: str) -> None:
    async def body(_: object, control: str) -> None:
        answer = await _fault(control, "flood")
        assert (answer.status_code, "unknown fault" in answer.text) == (404, True)

    _through_the_proxy(url, body)


def test_each_fault_is_felt_and_ends(url: str) -> None:
    async def body(engine, control: str) -> None:  # type: ignore[no-untyped-def]
        async def ask() -> int:
            async with engine.connect() as connection:
                return int((await connection.execute(text("SELECT 1"))).scalar_one())

        assert await ask() == 1
        await _fault(control, "reset")
        with pytest.raises(DBAPIError):
            await ask()
        assert await ask() == 1
        await _fault(control, "blackhole")
        with pytest.raises(TimeoutError):
            await ask()
        await _fault(control, "refuse")
        with pytest.raises((OSError, DBAPIError)):
            await ask()
        await _fault(control, "none")
        assert await ask() == 1

    _through_the_proxy(url, body)


def test_a_commit_whose_reply_is_lost_has_happened(url: str) -> None:
    async def body(engine, control: str) -> None:  # type: ignore[no-untyped-def]
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE note (x int)"))
        await _fault(control, "lost-commit")
        with pytest.raises(DBAPIError) as caught:
            async with engine.begin() as connection:
                await connection.execute(text("INSERT INTO note VALUES (1)"))
        assert caught.value.connection_invalidated
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM note"))).scalar_one() == 1

    _through_the_proxy(url, body)


def test_every_lab_gives_its_section_what_it_promises(request: pytest.FixtureRequest) -> None:
    required = ["--require-all"] if request.config.getoption("--require-all") else []
    done = run_page(*required)
    if "could not be started" in done.stdout and not required:
        pytest.skip(done.stdout.splitlines()[-2])
    assert done.returncode == 0, done.stdout
