"""Three MariaDB nodes of one Galera cluster: every node takes writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from verify.databases import mariadb
from verify.databases.launch import Kind, prepared_folder
from verify.databases.process import free_port
from verify.databases.server import Server, Unavailable
from verify.labs.lab import Lab, program, resume

NODES = 3
_REMEDY = "apt-get install mariadb-server galera-4 rsync"
_KIND = Kind("mariadb", port_taken="Can't start server: Bind", stop_signal="TERM", remedy=_REMEDY)
_LIBRARIES = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")
_DETECTION = (  # a dead node is noticed in about two seconds; the stock values take five times that
    "evs.keepalive_period=PT0.3S;evs.suspect_timeout=PT1S;evs.inactive_check_period=PT0.3S;evs.inactive_timeout=PT3S"
)


@contextmanager
def running(url: str) -> Iterator[Lab]:
    """DATABASE_URL on the first node; NODE_URLS and NODE_PIDS of all, divided by spaces."""
    library = next((path for path in _LIBRARIES if Path(path).exists()), None)
    if library is None:
        raise Unavailable("this machine has no Galera library", _REMEDY)
    for tool in ("wsrep_sst_rsync", "rsync"):
        program(tool, _REMEDY.removeprefix("apt-get install "))
    listen = [free_port() for _ in range(NODES)]
    driver = make_url(url).drivername
    with ExitStack() as stack:
        servers = [_node(stack, number, listen, library, driver) for number in range(NODES)]
        pids = [(server.folder / "pid").read_text(encoding="utf-8").strip() for server in servers if server.folder]
        for pid in pids:
            stack.callback(resume, int(pid))
        urls = [server.database_url("lab") for server in servers]
        yield Lab(urls[0], {"NODE_URLS": " ".join(urls), "NODE_PIDS": " ".join(pids)})


def _node(stack: ExitStack, number: int, listen: Sequence[int], library: str, drivername: str) -> Server:
    provider = {
        "gmcast.listen_addr": f"tcp://127.0.0.1:{listen[number]}",
        "ist.recv_addr": f"127.0.0.1:{free_port()}",
        "gcache.size": "16M",
    }
    others = ",".join(f"127.0.0.1:{port}" for port in listen[:number])
    options = [
        "--wsrep-on=ON",
        f"--wsrep-provider={library}",
        "--wsrep-provider-options=" + ";".join([*(f"{key}={value}" for key, value in provider.items()), _DETECTION]),
        "--wsrep-cluster-name=lab",
        f"--wsrep-cluster-address=gcomm://{others}",
        f"--wsrep-node-name=node{number + 1}",
        "--wsrep-node-address=127.0.0.1",
        f"--wsrep-sst-receive-address=127.0.0.1:{free_port()}",
        "--wsrep-sst-method=rsync",
        "--binlog-format=ROW",
        "--innodb-autoinc-lock-mode=2",
        *(["--wsrep-new-cluster"] if number == 0 else []),
    ]
    with prepared_folder(_KIND) as folder:
        server = mariadb.serve(_KIND, folder, drivername, options, "Synchronized with group, ready for connections")
    stack.callback(server.stop)
    return server
