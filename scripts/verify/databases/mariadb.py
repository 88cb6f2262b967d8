"""A throw-away MariaDB of the machine's own server binary."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from verify.databases.launch import Kind, launch, prepared_folder
from verify.databases.process import run, server_user
from verify.databases.server import Server, Unavailable

REMEDY = "apt-get install mariadb-server-core mariadb-client-core, or set TEST_MARIADB_URL"
KIND = Kind("mariadb", port_taken="Can't start server: Bind", stop_signal="TERM", remedy=REMEDY)
DRIVERS = ("asyncmy", "aiomysql")


def start(driver: str) -> Server:
    """Start a server.

    Args:
        driver: "asyncmy" or "aiomysql".

    Raises:
        Unavailable: The machine has no server, or it does not start.
    """
    with prepared_folder(KIND) as folder:
        return serve(KIND, folder, f"mariadb+{driver}", ("--skip-log-bin",), "ready for connections")


def serve(kind: Kind, folder: Path, drivername: str, options: Sequence[str], ready: str) -> Server:
    """Make the files of a server in ``folder``, and start it.

    Args:
        drivername: Of its URL.
        options: Of the command line, beside those of every server here.
        ready: What its log says when it takes connections.

    Raises:
        Unavailable: The machine has no server, or it does not start.
    """
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/usr/libexec"))
    binary, install = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    if not binary or not install:
        raise Unavailable(
            "this machine has no mariadbd" if not binary else "this machine has no mariadb-install-db", REMEDY
        )
    temporary, log = folder / "tmp", folder / "log"
    temporary.mkdir()
    if user := server_user():
        os.chown(temporary, user.pw_uid, user.pw_gid)
    environment = {"PATH": path, "TZ": "UTC", "TMPDIR": str(temporary)}
    files = (f"--datadir={folder / 'data'}", f"--tmpdir={temporary}")
    run([install, "--no-defaults", *files, *_INSTALL, *_FAST], folder, environment, kind.remedy)
    own = (*files, f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}")
    return launch(
        kind,
        folder,
        environment,
        command=lambda port: [binary, "--no-defaults", *own, f"--port={port}", *_OPTIONS, *_FAST, *options],
        ready=lambda: log.exists() and ready in log.read_text(errors="replace"),
        url=lambda port: f"{drivername}://root@127.0.0.1:{port}/mysql",
        origin=binary,
    )


_INSTALL = ("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
_FAST = (
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=0",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-log-file-size=32M",
    "--innodb-buffer-pool-size=64M",
)
_OPTIONS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--max-connections=200",
    "--innodb-fast-shutdown=2",
    "--character-set-server=utf8mb4",
)
