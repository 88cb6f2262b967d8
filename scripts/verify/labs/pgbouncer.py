"""PgBouncer in transaction mode, in front of the section's database."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url

from verify.databases.process import free_port, keep, private_folder, server_user
from verify.databases.server import Server
from verify.labs.lab import Lab, program

_CONFIGURATION = """\
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
"""


@contextmanager
def running(url: str) -> Iterator[Lab]:
    """PGBOUNCER_URL: the database of DATABASE_URL through a pooler that shares three server connections."""
    binary = program("pgbouncer", "pgbouncer")
    where = make_url(url)
    folder, port = private_folder("pgbouncer"), free_port()
    configuration, users = folder / "pgbouncer.ini", folder / "users"
    configuration.write_text(
        _CONFIGURATION.format(host=where.host, port=where.port or 5432, own_port=port, folder=folder), encoding="utf-8"
    )
    users.write_text(f'"{where.username}" "{where.password or ""}"\n', encoding="utf-8")
    if user := server_user():
        os.chown(configuration, user.pw_uid, user.pw_gid)
        os.chown(users, user.pw_uid, user.pw_gid)
    process = keep(
        [binary, "-q", configuration],
        folder,
        {},
        lambda: _listens(port),
        stop_signal="INT",
        remedy="apt-get install pgbouncer, or leave labs out with --no-labs",
    )
    server = Server("postgresql", url, "", binary, process, folder)
    pooled = where.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    try:
        yield Lab(url, {"PGBOUNCER_URL": pooled})
    finally:
        server.stop()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
