"""`python -m verify.databases [postgresql|mariadb ...]`: start servers, print their URLs, and keep them until Ctrl-C."""

from __future__ import annotations

import argparse
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
            servers.append(databases.start(kind, binaries=options.postgres, driver=options.mariadb_driver))
            print(
                servers[-1].database_url("test"), f"{servers[-1].version} ({servers[-1].origin})", sep="\t", flush=True
            )
        stop.wait()
    except Unavailable as missing:
        print(missing, file=sys.stderr)
        return 1
    finally:
        for server in servers:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
