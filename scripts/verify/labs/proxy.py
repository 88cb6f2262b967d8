"""A TCP proxy in front of the section's database that makes the faults of a network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from verify.databases.process import STARTUP_SECONDS, free_port
from verify.databases.server import Unavailable
from verify.labs.lab import Lab

SERVER = Path(__file__).with_name("proxy_server.py")


@contextmanager
def running(url: str) -> Iterator[Lab]:
    """PROXY_URL: the database of DATABASE_URL through the proxy. PROXY_CONTROL: where `PUT /<fault>` sets the fault."""
    where = make_url(url)
    port, control = free_port(), free_port()
    target = f"{where.host}:{where.port}"
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(port), target, str(control)],
        stdin=subprocess.PIPE,  # it ends when we do
        stdout=subprocess.PIPE,
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath)},
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        if process.stdout.readline() != b"ready\n":
            raise Unavailable("the fault proxy did not start", "run scripts/verify/labs/proxy_server.py by hand")
        through = where.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        yield Lab(url, {"PROXY_URL": through, "PROXY_CONTROL": f"http://127.0.0.1:{control}"})
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(STARTUP_SECONDS)
