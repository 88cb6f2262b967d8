"""A throw-away MariaDB of the machine's own server binary."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from verify.databases import connections
from verify.databases.process import free_port, keep, private_folder, run, server_user
from verify.databases.server import Server, Unavailable

ATTEMPTS = 3  # another process may take the free port before the server does
REMEDY = "apt-get install mariadb-server-core mariadb-client-core, or set TEST_MARIADB_URL"
DRIVERS = ("asyncmy", "aiomysql")


def start(driver: str) -> Server:
    """Start a server.

    Args:
        driver: "asyncmy" or "aiomysql".

    Raises:
        Unavailable: The machine has no server, or it does not start.
    """
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/usr/libexec"))
    binary, install = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    if not binary or not install:
        raise Unavailable(
            "this machine has no mariadbd" if not binary else "this machine has no mariadb-install-db", REMEDY
        )
    folder = private_folder("mariadb")
    data, temporary = folder / "data", folder / "tmp"
    try:
        temporary.mkdir()
        if user := server_user():
            os.chown(temporary, user.pw_uid, user.pw_gid)
        environment = {"PATH": path, "TZ": "UTC", "TMPDIR": str(temporary)}
        run(
            [install, "--no-defaults", f"--datadir={data}", f"--tmpdir={temporary}", *_INSTALL, *_FAST],
            environment,
            REMEDY,
        )
        for attempt in range(ATTEMPTS):
            port = free_port()
            socket = folder / "socket"
            try:
                process = keep(
                    [
                        binary,
                        "--no-defaults",
                        f"--datadir={data}",
                        f"--tmpdir={temporary}",
                        f"--socket={socket}",
                        f"--port={port}",
                        f"--pid-file={folder / 'pid'}",
                        *_OPTIONS,
                        *_FAST,
                    ],
                    folder,
                    environment,
                    lambda: "ready for connections" in _read(folder / "log"),
                    stop_signal="TERM",
                    remedy=REMEDY,
                )
                break
            except Unavailable as error:
                if "Can't start server: Bind" not in error.reason or attempt == ATTEMPTS - 1:
                    raise
        server = Server("mariadb", f"mariadb+{driver}://root@127.0.0.1:{port}/mysql", "", binary, process, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    try:
        server.version = asyncio.run(connections.version(server.url))
    except Exception as error:
        server.stop()
        raise Unavailable(f"the server started but refuses connections: {error}", REMEDY) from None
    return server


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
    "--skip-log-bin",
    "--max-connections=200",
    "--innodb-fast-shutdown=2",
    "--character-set-server=utf8mb4",
)


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
