"""`python -m verify.databases [postgresql|mariadb ...]`: start servers, print the URL of an empty database on each, and keep them until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading

from verify import databases
from verify.databases.mariadb import DRIVERS
from verify.databases.server import Unavailable
from verify.pages import Database

KINDS: tuple[Database, ...] = ("postgresql", "mariadb")


def main() -> int:
    """Run the command.

    Returns:
        0 after Ctrl-C, 1 where a server could not be had.
    """
    parser = argparse.ArgumentParser(prog="python -m verify.databases", description=__doc__)
    parser.add_argument(
        "kinds", nargs="*", choices=(*KINDS, []), metavar="postgresql|mariadb", help="both where none is named"
    )
    parser.add_argument(
        "--postgres", choices=("wheel", "local"), default="wheel", help="whose PostgreSQL binaries to run"
    )
    parser.add_argument("--mariadb-driver", choices=DRIVERS, default=DRIVERS[0])
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    servers = []
    try:
        for kind in [kind for kind in KINDS if kind in (options.kinds or KINDS)]:
            server = databases.start(kind, binaries=options.postgres, driver=options.mariadb_driver)
            servers.append(server)
            url = server.database_url("test")
            asyncio.run(databases.make_empty(url))
            print(url, f"{server.version} ({server.origin})", sep="\t", flush=True)
        stop.wait()
    except Unavailable as missing:
        print(missing, file=sys.stderr)
        return 1
    finally:
        for server in servers:
            if server.given:
                databases.drop_database(server, "test")
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
