"""Three PostgreSQL nodes under Patroni, with its own Raft as the store of who leads."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from verify.databases import postgresql
from verify.databases.launch import prepared_folder
from verify.databases.process import free_port, keep, server_user
from verify.databases.server import Server, Unavailable
from verify.labs.lab import Lab, make_everywhere, program

NODES = 3
_KIND = postgresql.KINDS["wheel"]
_SECONDS = 60  # for a leader to be found and the others to follow
_CLUSTER = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3, "maximum_lag_on_failover": 1048576}  # ttl 20 is the least


@dataclass(frozen=True)
class _Ports:
    database: int
    rest: int
    raft: int


@contextmanager
def running(_: str) -> Iterator[Lab]:
    """DATABASE_URL names all nodes, and leads to the one that takes writes.

    PATRONI_URLS are the nodes' REST interfaces, in the order of the hosts; NODE_PIDS the pids of each node's Patroni
    and PostgreSQL, divided by a comma.
    """
    if find_spec("patroni") is None or find_spec("pysyncobj") is None:
        raise Unavailable("Patroni is not installed", "pip install 'patroni[raft,psycopg3]'")
    ports = [_Ports(free_port(), free_port(), free_port()) for _ in range(NODES)]
    with ExitStack() as stack:
        nodes = [_node(stack, number, ports) for number in range(NODES)]
        _wait_for_members(ports, nodes)
        hosts = "&".join(f"host=127.0.0.1:{one.database}" for one in ports)
        environment = {
            "PATRONI_URLS": " ".join(f"http://127.0.0.1:{one.rest}" for one in ports),
            "NODE_PIDS": " ".join(_pids(node) for node in nodes),
        }
        url = f"postgresql+asyncpg://postgres@/lab?{hosts}&target_session_attrs=read-write"
        make_everywhere(url, [f"postgresql+asyncpg://postgres@127.0.0.1:{one.database}/lab" for one in ports])
        yield Lab(url, environment)


def _node(stack: ExitStack, number: int, ports: Sequence[_Ports]) -> Server:
    with prepared_folder(_KIND) as folder:
        home, origin = postgresql.usable("wheel", folder)
        configuration = folder / "patroni.json"
        configuration.write_text(json.dumps(_configuration(number, ports, home, folder)), encoding="utf-8")
        process = keep(
            [*_unprivileged(), sys.executable, "-m", "patroni", configuration],
            folder,
            postgresql.environment() | {"HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            lambda: True,
            stop_signal="TERM",
            remedy=_KIND.remedy,
            drop_root=False,
        )
        server = Server("postgresql", "", "", origin, process, folder)
    stack.callback(server.stop)
    return server


def _unprivileged() -> list[str]:
    """For root: PostgreSQL refuses to run as root, and this Python may stand where only root can read."""
    user = server_user()
    if user is None:
        return []
    tool = program("setpriv", "util-linux")
    keep_reading = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [tool, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *keep_reading]


def _wait_for_members(ports: Sequence[_Ports], nodes: Sequence[Server]) -> None:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        members = _members(ports[0])
        if sum(one["state"] in {"running", "streaming"} for one in members) == NODES and "leader" in {
            one["role"] for one in members
        }:
            return
        time.sleep(0.2)
    logs = [
        (node.folder / "log").read_text(errors="replace").strip().splitlines()[-3:] for node in nodes if node.folder
    ]
    raise Unavailable(f"Patroni's nodes did not find together in {_SECONDS} s: {logs}", _KIND.remedy)


def _members(node: _Ports) -> list[dict[str, Any]]:
    with (
        suppress(OSError, ValueError),
        urllib.request.urlopen(f"http://127.0.0.1:{node.rest}/cluster", timeout=2) as answer,
    ):
        members: list[dict[str, Any]] = json.load(answer).get("members", [])
        return members
    return []


def _pids(node: Server) -> str:
    import psutil  # comes with Patroni

    assert node.process
    assert node.folder
    patroni = next(one for one in psutil.Process(node.process.pid).children() if "patroni" in " ".join(one.cmdline()))
    postmaster = (node.folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0]
    return f"{patroni.pid},{postmaster}"


def _configuration(number: int, ports: Sequence[_Ports], home: Path, folder: Path) -> dict[str, Any]:
    own = ports[number]
    return {
        "scope": "lab",
        "name": f"node{number + 1}",
        "restapi": {"listen": f"127.0.0.1:{own.rest}", "connect_address": f"127.0.0.1:{own.rest}"},
        "raft": {
            "data_dir": str(folder / "raft"),
            "self_addr": f"127.0.0.1:{own.raft}",
            "partner_addrs": [f"127.0.0.1:{one.raft}" for one in ports if one is not own],
        },
        "bootstrap": {"dcs": _CLUSTER, "initdb": [{"auth": "trust"}, {"encoding": "UTF8"}, "no-sync"]},
        "postgresql": {
            "listen": f"127.0.0.1:{own.database}",
            "connect_address": f"127.0.0.1:{own.database}",
            "data_dir": str(folder / "data"),
            "bin_dir": str(home / "bin"),
            "pgpass": str(folder / "pgpass"),
            "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": "postgres"}},
            "parameters": {"unix_socket_directories": str(folder), "shared_buffers": "32MB", "timezone": "UTC"},
            "pg_hba": [
                "local all all trust",
                "host all all 127.0.0.1/32 trust",
                "host replication all 127.0.0.1/32 trust",
            ],
        },
    }
