"""Server processes that never outlive the process that started them, run by an ordinary user, in memory where there is room."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from verify.databases.server import Unavailable

STARTUP_SECONDS = 60.0
_ROOM = 2**30  # bytes free in /dev/shm before servers keep their files there; a container often has 64 MB
_KEEPER = r"""
exec 3<&0
trap '' INT TERM HUP
signal=$1; folder=$2; shift 2
"$@" </dev/null 3<&- &
server=$!
{ read -r line; : >"$folder/stopping"; kill -s "$signal" "$server"; } <&3 &
watcher=$!
wait "$server"
code=$?
kill -9 "$watcher" 2>/dev/null
if [ -e "$folder/stopping" ]; then
    for attempt in 1 2 3; do rm -rf "$folder" && break; sleep 1; done  # a child of the command may still write
fi
exit "$code"
"""


def private_folder(name: str) -> Path:
    """A new folder: in memory where there is room, else among the temporary files. The server's user owns it."""
    memory = Path("/dev/shm")  # noqa: S108
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    folder = Path(tempfile.mkdtemp(prefix=f"verify-{name}-", dir=memory if roomy else None))
    if user := server_user():
        os.chown(folder, user.pw_uid, user.pw_gid)
    folder.chmod(0o755)
    return folder


def server_user() -> pwd.struct_passwd | None:
    """For root: the user that servers run as, because they refuse to run as root. None for anyone else."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "mysql", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Unavailable("root has no ordinary user to run servers as", "run the tests as an ordinary user")


def _as_server_user() -> dict[str, Any]:
    """Arguments of subprocess that give up root."""
    if user := server_user():
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return {}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def remove_after_us(folder: Path) -> subprocess.Popen[bytes]:
    """A shell that removes a folder when the pipe to its stdin closes."""
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; rm -rf "$1"', "keeper", str(folder)],
        cwd="/",
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], remedy: str) -> None:
    """Run a preparing command as the server's user. Like a server, it ends when we die.

    Args:
        folder: Holds what the command makes, and its output in ``log``.

    Raises:
        Unavailable: It failed; the reason is the end of its output.
    """
    with open(folder / "log", "w+b") as log:
        process = _keeper(command, folder, environment, log, "KILL")
        try:
            code = process.wait()
        finally:
            _end(process)
        if code:
            raise Unavailable(f"{command[0]} failed: {_tail(log)}", remedy)


def keep(
    command: Sequence[str | Path],
    folder: Path,
    environment: Mapping[str, str],
    ready: Callable[[], bool],
    *,
    stop_signal: str,
    remedy: str,
    drop_root: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a server and wait until it is ready.

    Args:
        folder: Holds the server's files, and its output in ``log``.
        ready: Whether it takes connections.
        stop_signal: INT or TERM: what ends it fast.
        remedy: What helps when it does not start.
        drop_root: Run it as the server's user; False where the command does so itself.

    Returns:
        Its keeper.

    Raises:
        Unavailable: It ended, or was not ready in time; the reason is the end of its log.
    """
    with open(folder / "log", "w+b") as log:  # stays readable when the keeper has removed the folder
        process = _keeper(command, folder, environment, log, stop_signal, drop_root)
        try:
            deadline = time.monotonic() + STARTUP_SECONDS
            while time.monotonic() < deadline and process.poll() is None:
                if ready():
                    return process
                time.sleep(0.01)
            ended = process.returncode
        except BaseException:
            _end(process)
            raise
        _end(process)
        text = _tail(log)
    if ended is not None:
        raise Unavailable(f"{command[0]} ended with exit code {ended}: {text}", remedy)
    raise Unavailable(f"{command[0]} was not ready after {STARTUP_SECONDS:.0f} s: {text}", remedy)


def _keeper(
    command: Sequence[str | Path],
    folder: Path,
    environment: Mapping[str, str],
    log: IO[bytes],
    stop_signal: str,
    drop_root: bool = True,
) -> subprocess.Popen[bytes]:
    """Run a command as the server's user, kept by a shell.

    When the pipe to the shell's stdin closes - because we close it, or because we died, even by kill -9 - it ends the
    command and removes ``folder``. The folder of a command that ends by itself stays.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", _KEEPER, "keeper", stop_signal, str(folder), *(str(part) for part in command)],
        env=environment,
        **(_as_server_user() if drop_root else {}),
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    process.wait()


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return " | ".join(line.strip() for line in lines[-4:]) or "no output"
