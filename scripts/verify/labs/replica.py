"""A PostgreSQL primary and a streaming standby, with durable settings: the fast ones lose commits and lag behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from verify.databases import postgresql
from verify.databases.launch import prepared_folder
from verify.databases.process import run
from verify.databases.server import Server
from verify.labs.lab import Lab, make_everywhere, resume

_KIND = postgresql.KINDS["wheel"]
_SETTINGS = {"wal_level": "replica", "hot_standby": "on", "wal_keep_size": "64MB"}


@contextmanager
def running(_: str) -> Iterator[Lab]:
    """DATABASE_URL on the primary, REPLICA_URL on the standby, PRIMARY_PID, and PATH with PostgreSQL's tools."""
    with ExitStack() as stack:
        primary, bin_folder = _primary(stack)
        standby = _standby(stack, primary)
        assert primary.folder
        assert standby.folder
        pid = (primary.folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0]
        replica = make_url(standby.url).set(database="lab").render_as_string(hide_password=False)
        environment = {
            "REPLICA_URL": replica,
            "PRIMARY_PID": pid,
            "PATH": f"{bin_folder}:{postgresql.environment()['PATH']}",
        }
        stack.callback(resume, int(pid))
        make_everywhere(primary.database_url("lab"), [replica])
        yield Lab(primary.database_url("lab"), environment)


def _primary(stack: ExitStack) -> tuple[Server, str]:
    with prepared_folder(_KIND) as folder:
        home, origin = postgresql.usable("wheel", folder)
        run(postgresql.initdb(home, folder / "data"), folder, postgresql.environment(), _KIND.remedy)
        server = postgresql.serve(_KIND, home, folder, _SETTINGS, origin)
    stack.callback(server.stop)
    return server, str(home / "bin")


def _standby(stack: ExitStack, primary: Server) -> Server:
    where = make_url(primary.url)
    with prepared_folder(_KIND) as folder:
        home, origin = postgresql.usable("wheel", folder)
        source = ["-h", "127.0.0.1", "-p", str(where.port), "-U", "postgres"]
        how: list[str | Path] = ["-R", "-X", "stream", "-c", "fast", "--no-sync", "-D", folder / "data"]
        run([home / "bin" / "pg_basebackup", *source, *how], folder, postgresql.environment(), _KIND.remedy)
        server = postgresql.serve(_KIND, home, folder, _SETTINGS, origin)
    stack.callback(server.stop)
    return server
