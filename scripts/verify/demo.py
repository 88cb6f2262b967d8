"""The demo: a service made out of the template, with a few heroes in it, served and tried."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import uvicorn
from sqlalchemy import inspect, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "build" / "demo"
MARK = ".template"  # holds the hash of the template that the service was made of
DEFAULT_PORT = 8000
START_SECONDS = 30
FAILED, USAGE, UNUSABLE, PORT_TAKEN = 1, 2, 3, 4
TABLES = {"account", "alembic_version", "hero", "hero_tag", "mission", "mission_hero", "tag", "team"}
TEAMS = [
    {"name": "Preventers", "headquarters": "Sharp Tower"},
    {"name": "Z-Force", "headquarters": "Sister Margaret's Bar"},
]
HEROES = [
    {"name": "Deadpond", "secret_name": "Dive Wilson", "age": 31, "power": "7.50"},
    {"name": "Spider-Boy", "secret_name": "Pedro Parqueador", "age": 17, "power": "5.00"},
    {"name": "Rusty-Man", "secret_name": "Tommy Sharp", "age": 48, "power": "8.25"},
]


class DemoError(Exception):
    """The demo cannot go on.

    Attributes:
        code: Exit code of the process.
    """

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns:
        0 fine, 1 a request failed, 2 a wrong call, 3 the database or folder cannot be used, 4 the port is taken.
    """
    parser = Parser(prog="dev.py demo", description=__doc__)
    parser.add_argument("--port", type=_port, help=f"port on 127.0.0.1 (default {DEFAULT_PORT})")
    parser.add_argument(
        "--database", metavar="URL", help="postgresql://, mariadb:// or sqlite:/// in place of a file in build/demo"
    )
    parser.add_argument("--check", action="store_true", help="send requests, print what comes, and end")
    options = parser.parse_args(arguments)
    try:
        return _run(options.port, options.database, options.check)
    except DemoError as error:
        print(f"dev.py demo: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 0


def _run(port: int | None, database: str | None, check: bool) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a shell starts background jobs with SIGINT ignored
        signal.signal(number, _interrupt)
    with _bound(port, check) as listener:
        base = "http://{}:{}".format(*listener.getsockname())
        made = make_service()
        url = _absolute(database) if database else f"sqlite:///{HOME / 'demo.db'}"
        os.environ.update(DATABASE_URL=url, TITLE="Heroes (demo)")
        os.chdir(HOME)
        sys.path.insert(0, str(HOME))
        _refuse_foreign_tables(url)
        _migrate()
        with _served(listener, base) as ended:
            seeded = _seed(base)
            print(f"{'Made' if made else 'Reused'} {HOME.relative_to(ROOT)}, migrated {_shown(url)}, {seeded}.")
            if check:
                return _check(base)
            _say(base)
            try:
                ended()
            except KeyboardInterrupt:
                print("\nStopped.")
                return 0
            raise DemoError("the server ended; its message stands above", FAILED)


@contextmanager
def _served(listener: socket.socket, base: str) -> Iterator[Callable[[], None]]:
    """Serve the service by a thread of ours, so that it ends when we do, however that is.

    Yields:
        Waits until the server ends.

    Raises:
        DemoError: It does not start.
    """
    server = uvicorn.Server(uvicorn.Config("app.main:app", log_level="warning", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            if time.monotonic() > deadline or not thread.is_alive():
                raise DemoError(f"the server did not start within {START_SECONDS} s; its message stands above", FAILED)
            time.sleep(0.01)
        if (answer := request(base, "GET", "/health/ready"))[0] != 200:
            raise DemoError(f"the service is not ready: {answer[1]}", FAILED)
        yield thread.join
    finally:
        server.should_exit = True
        thread.join()


def make_service() -> bool:
    """Make the service anew where there is none, or the template has changed.

    Returns:
        Whether it was made.

    Raises:
        DemoError: build/demo is something else.
    """
    new_service = _new_service()
    digest = _hash(new_service)
    if HOME.exists():
        mark = HOME / MARK
        if not mark.exists() and any(HOME.iterdir()):
            raise DemoError(f"{HOME} was not made by the demo; move it away", UNUSABLE)
        if mark.exists() and mark.read_text() == digest:
            return False
        shutil.rmtree(HOME)
    try:
        HOME.parent.mkdir(parents=True, exist_ok=True)
        new_service.make(HOME, "demo", "sqlite")
    except (OSError, new_service.TargetError) as error:
        raise DemoError(str(error), UNUSABLE) from None
    (HOME / MARK).write_text(digest)
    return True


def _new_service() -> types.ModuleType:
    """scripts/new_service.py, which is no package of this one."""
    spec = importlib.util.spec_from_file_location("new_service", ROOT / "scripts" / "new_service.py")
    if not spec or not spec.loader:
        raise DemoError("scripts/new_service.py is missing", UNUSABLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _hash(new_service: types.ModuleType) -> str:
    ignored = shutil.ignore_patterns(*new_service.LEFT_BEHIND)
    digest = hashlib.sha256((ROOT / "scripts" / "new_service.py").read_bytes())
    for folder, folders, files in os.walk(new_service.TEMPLATE):
        folders[:] = sorted(set(folders) - ignored(folder, folders))
        for name in sorted(set(files) - ignored(folder, files)):
            path = Path(folder, name)
            digest.update(str(path.relative_to(new_service.TEMPLATE)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: write a number from 1 to 65535")
    return int(text)


def _bound(port: int | None, check: bool) -> socket.socket:
    """A socket that holds the port: nobody takes it until the server listens."""
    wanted = port or DEFAULT_PORT
    for number in [*range(wanted, 65536), *range(1024, wanted)]:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", number))
        except OSError:
            listener.close()
            continue
        if number == wanted or (check and port is None):
            return listener
        listener.close()
        raise DemoError(f"port {wanted} is taken; {number} is free: --port {number}", PORT_TAKEN)
    raise DemoError("no port is free", PORT_TAKEN)


def _absolute(text: str) -> str:
    """The URL, whose SQLite file is found from every folder."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise DemoError(f"{text!r} is not a database URL; write postgresql://user:password@host/name", USAGE) from None
    if url.get_backend_name() != "sqlite":
        return text
    if url.database in (None, "", ":memory:"):
        raise DemoError(f"{text!r} is gone with its connection; write sqlite:///some/file.db", USAGE)
    return url.set(database=os.path.abspath(str(url.database))).render_as_string(hide_password=False)


def _refuse_foreign_tables(url: str) -> None:
    from app.database import normalize_url

    async def names() -> set[str]:
        engine = create_async_engine(normalize_url(url))
        try:
            async with engine.connect() as connection:
                return set(await connection.run_sync(lambda c: inspect(c).get_table_names()))
        finally:
            await engine.dispose()

    try:
        found = asyncio.run(names())
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise DemoError(f"{_shown(url)} cannot be reached: {type(error).__name__}: {reason}", UNUSABLE) from None
    if foreign := sorted(found - TABLES) or (sorted(found) if found and "alembic_version" not in found else []):
        raise DemoError(
            f"{_shown(url)} holds tables that the demo did not make ({', '.join(foreign[:3])}); name an empty database",
            UNUSABLE,
        )


def _migrate() -> None:
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"the migrations failed: {done.stderr.strip().splitlines()[-1]}", FAILED)


def request(base: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Send a request.

    Returns:
        Status and parsed body.

    Raises:
        OSError: Nobody answers.
    """
    data = None if body is None else json.dumps(body).encode()
    message = urllib.request.Request(base + path, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(message, timeout=10) as response:
            text = response.read()
            return response.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def _seed(base: str) -> str:
    """Add what is missing."""
    status, page = request(base, "GET", "/heroes?limit=1")
    if status == 200 and page["total"]:
        return f"found {page['total']} heroes"
    for team in TEAMS:
        status, body = request(base, "POST", "/teams", team)
        if status not in (201, 409):
            raise DemoError(f"POST /teams answered {status}: {body}", FAILED)
    status, teams = request(base, "GET", "/teams")
    keys: dict[str, int] = {team["name"]: team["id"] for team in teams}
    rows = [{**hero, "team_id": keys[TEAMS[number % len(TEAMS)]["name"]]} for number, hero in enumerate(HEROES)]
    status, body = request(base, "PUT", "/heroes/bulk", rows)
    if status != 200:
        raise DemoError(f"PUT /heroes/bulk answered {status}: {body}", FAILED)
    return f"seeded {len(TEAMS)} teams and {len(HEROES)} heroes"


def _say(base: str) -> None:
    print(
        f"""
API documentation   {base}/docs
Try:
  curl '{base}/heroes?sort=-power&limit=2'
  curl '{base}/teams/1'
  curl -X POST {base}/teams -H 'Content-Type: application/json' -d '{{"name": "Mutants", "headquarters": "School"}}'

Ctrl-C ends it.""",
        flush=True,
    )


def _check(base: str) -> int:
    """Send requests like a user would, and print what comes.

    Returns:
        0 where every answer is the right one, else 1.
    """
    name = f"Check {time.time_ns()}"
    right = True

    def ask(method: str, path: str, body: Any, wanted: int) -> Any:
        nonlocal right
        status, answer = request(base, method, path, body)
        fine = status == wanted
        right = right and fine
        shown = json.dumps(answer, ensure_ascii=False)
        print(
            f"{'ok  ' if fine else 'FAIL'} {method:6} {path} -> {status}{'' if fine else f' (not {wanted})'} {shown[:100]}"
        )
        return answer

    hero = ask("POST", "/heroes", {"name": name, "secret_name": "x", "age": 30}, 201)
    path = f"/heroes/{hero.get('id', 0)}"
    ask("POST", "/heroes", {"name": name, "secret_name": "x"}, 409)
    ask("GET", path, None, 200)
    changed = ask("PATCH", path, {"age": 31}, 200)
    right = right and changed.get("age") == 31
    ask("PATCH", path, {"age": "old"}, 422)
    page = ask("GET", "/heroes?sort=-power&limit=2", None, 200)
    right = right and len(page.get("items", [])) == 2
    ask("DELETE", path, None, 204)
    ask("GET", path, None, 404)
    ask("GET", "/openapi.json", None, 200)
    print("All answers are right." if right else "Some answers are wrong.")
    return 0 if right else FAILED


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
