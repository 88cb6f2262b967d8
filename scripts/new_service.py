#!/usr/bin/env python3
"""Make a service out of the template: a copy with its own name, ready to run. Later: add an entity to it.

Standard library only. Exit codes: 0 done, 2 a wrong call, 3 the target cannot be used.
"""

from __future__ import annotations

import argparse
import json
import keyword
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # python3 -I leaves it out

from project_source.command import Parser, run
from service_entity.errors import CallError, TargetError
from service_entity.fields import EXAMPLE, MODIFIERS, TYPES, parse
from service_entity.names import entity_names
from service_entity.planning import plan
from service_entity.service import Service

TEMPLATE = Path(__file__).resolve().parents[1] / "assets" / "service"
TARGET = 3
LEFT_BEHIND = (
    ".venv", "__pycache__", "*.pyc", "*.db", "*.db-shm", "*.db-wal", "*.egg-info", ".env", ".mypy_cache", ".pytest_cache",
    ".ruff_cache", "build", "dist",
)  # fmt: skip
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
RESERVED = {"app", "tests", "migrations", "test", "site"}
URLS = {
    "sqlite": "sqlite:///{database}.db",
    "postgresql": "postgresql://user:password@localhost/{database}",
    "mariadb": "mariadb://user:password@localhost/{database}",
}


def make(target: Path, name: str, database: str) -> None:
    """Copy the template.

    Args:
        target: Does not exist, or is an empty folder.
        name: Of the project, in lower case.
        database: sqlite, postgresql or mariadb: the one that .env.example names first.

    Raises:
        TargetError: The target is not empty or cannot be written; nothing was made.
    """
    if not TEMPLATE.is_dir():
        raise TargetError(f"{TEMPLATE} does not exist: this script needs the assets folder beside scripts/")
    target = target.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise TargetError(f"{target} exists and is not an empty folder; name another one")
    above = next(parent for parent in target.parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise TargetError(f"{above} cannot be written; name a folder elsewhere")
    workshop = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=above))
    try:
        copy = workshop / "service"
        shutil.copytree(TEMPLATE, copy, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
        _name(copy, name, database)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rmdir()
        copy.rename(target)
    except OSError as error:
        raise TargetError(f"{error.filename or target}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _name(copy: Path, name: str, database: str) -> None:
    identifier = name.replace("-", "_")
    title = " ".join(word.capitalize() for word in re.split("[-_]", name))
    urls = [URLS[database], *(url for kind, url in URLS.items() if kind != database)]
    lines = [
        f"{'# ' if number else ''}DATABASE_URL={url.format(database=identifier)}" for number, url in enumerate(urls)
    ]
    _replace(copy / "pyproject.toml", r'(?m)^name = "service"$', f'name = "{name}"')
    _replace(copy / "README.md", r"(?m)\A# Heroes$", f"# {title}")
    _replace(copy / "README.md", r"`service\.db`", f"`{identifier}.db`")
    _replace(copy / ".env.example", r"(?m)^TITLE=.*$", f"TITLE={title}")
    _replace(copy / ".env.example", r"(?m)^(# )?DATABASE_URL=.*\n", "", times=3)
    _replace(copy / ".env.example", r"(?m)^POOL_SIZE=", "\n".join([*lines, "POOL_SIZE="]))
    _replace(copy / "app" / "config.py", r'title: str = "Heroes"', f"title: str = {json.dumps(title)}")
    _replace(copy / "app" / "config.py", r"sqlite:///service\.db", f"sqlite:///{identifier}.db")
    _replace(copy / "compose.yaml", r"(?m)POSTGRES_DB: service$", f"POSTGRES_DB: {identifier}")
    _replace(copy / "compose.yaml", r"@database/service\b", f"@database/{identifier}")


def _replace(path: Path, pattern: str, new: str, times: int = 1) -> None:
    text, done = re.subn(pattern, lambda _: new, path.read_text(encoding="utf-8"))
    if done != times:
        raise TargetError(f"the template has changed: {path.name} holds {pattern} {done} times, not {times}")
    path.write_text(text, encoding="utf-8")


def _checked_name(text: str) -> str:
    if not NAME.fullmatch(text) or len(text) > 50:
        raise argparse.ArgumentTypeError(
            f"{text!r}: write a name such as hero-api, in lower case, at most 50 characters"
        )
    identifier = text.replace("-", "_")
    if keyword.iskeyword(identifier) or identifier in RESERVED or identifier in sys.stdlib_module_names:
        raise argparse.ArgumentTypeError(f"{text!r} is a name of Python or of a folder in the service; choose another")
    if text.replace("_", "-") in _dependencies():
        raise argparse.ArgumentTypeError(f"{text!r} is a package that the service needs; choose another")
    return text


def _dependencies() -> set[str]:
    """The names of the packages in the template's pyproject.toml."""
    try:
        project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except OSError:  # said by make()
        return set()
    wanted = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    return {re.split(r"[^A-Za-z0-9._-]", one)[0].lower().replace("_", "-") for one in wanted}


def add_entity(target: Path, options: argparse.Namespace) -> dict[str, object]:
    """Add an entity to a service that ``make`` made.

    Args:
        target: The service.
        options: Of the command line: entity, fields, plural, table, allow_dirty.

    Returns:
        What was done.

    Raises:
        CallError: A name, a type or a modifier cannot be used.
        TargetError: The service cannot take the entity. After either error, nothing has changed.
    """
    names = entity_names(options.entity, options.plural, options.table)
    fields = parse(options.fields)
    service = Service(target)
    change = plan(service, names, fields)
    if not options.allow_dirty and (dirty := service.uncommitted(list(change.edited))):
        raise TargetError(
            f"{', '.join(dirty)}: not committed; commit first, so that git shows what is added, or use --allow-dirty"
        )
    change.write(target)
    return {
        "path": str(target.absolute()), "entity": names.entity, "table": names.table, "route": names.path,
        "revision": change.revision, "created": sorted(change.created), "edited": sorted(change.edited),
    }  # fmt: skip


def _parser() -> Parser:
    parser = Parser(
        description="Make a service out of the template, or add an entity to such a service.",
        epilog=f"""\
fields: "NAME:TYPE[:MODIFIER...] ...", such as "{EXAMPLE} customer:Customer"
types: {", ".join(TYPES.values())}, or the name of a table model in app/models (a reference)
modifiers: {", ".join(MODIFIERS)}
A list is filtered and sorted by fields with an index (unique, index, references), and by no others.
A reference that is nullable becomes null when what it refers to is deleted; any other keeps that from being deleted.
--entity never makes a service: make it first, then add one entity a call.

exit codes: 0 done, 2 a wrong call, 3 the target cannot be used (nothing was changed)""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "target", type=Path, metavar="DEST",
        help="folder to make; it must not exist, or be empty. With --entity: the service",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    new = parser.add_argument_group("a new service")
    new.add_argument("--name", type=_checked_name, help="name of the project; the folder's name where it is not given")
    new.add_argument("--database", choices=tuple(URLS), help="the one that .env.example names first (sqlite)")
    more = parser.add_argument_group("a new entity")
    more.add_argument("--entity", metavar="NAME", help="in CamelCase and singular, such as Invoice")
    more.add_argument("--fields", metavar="FIELDS", help="what it has; see below")
    more.add_argument(
        "--plural", metavar="NAME", help="such as invoices; by the rules of English where it is not given"
    )
    more.add_argument("--table", metavar="NAME", help="name of the table; the entity's where it is not given")
    more.add_argument("--allow-dirty", action="store_true", help="edit files that are not committed to git")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 done, 2 a wrong call, 3 the target cannot be used.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    wrong = ("name", "database") if options.entity is not None else ("fields", "plural", "table", "allow_dirty")
    for one in wrong:
        if getattr(options, one):
            other = "makes a new service" if options.entity is not None else "needs --entity"
            parser.error(f"--{one.replace('_', '-')} {other}")
    if options.entity is not None and options.fields is None:
        parser.error(f'--entity needs --fields, such as "{EXAMPLE}"')
    try:
        return _add(options) if options.entity is not None else _make(options)
    except argparse.ArgumentTypeError as error:
        parser.error(f"{error} (use --name)")
    except CallError as error:
        parser.error(str(error))
    except TargetError as error:
        print(f"new_service.py: {error}", file=sys.stderr)
        return TARGET


def _make(options: argparse.Namespace) -> int:
    name = options.name or _checked_name(re.sub(r"[\s.]+", "-", options.target.absolute().name.lower()))
    database = options.database or "sqlite"
    make(options.target, name, database)
    if options.json:
        print(json.dumps({"path": str(options.target.absolute()), "name": name, "database": database}))
        return 0
    extras = {"sqlite": "test", "postgresql": "postgresql,test", "mariadb": "mariadb,test"}[database]
    print(f"Made {name} in {options.target}. Next:")
    print(
        f"  cd {options.target} && cp .env.example .env && python3 -m venv .venv && .venv/bin/pip install -e '.[{extras}]'"
    )
    print("  .venv/bin/alembic upgrade head && .venv/bin/uvicorn app.main:app")
    return 0


def _add(options: argparse.Namespace) -> int:
    done = add_entity(options.target, options)
    if options.json:
        print(json.dumps(done))
        return 0
    print(
        f"Added {done['entity']} to {options.target}: table {done['table']}, migration {done['revision']}, endpoints "
        f"under {done['route']}. Next:"
    )
    print(f"  cd {options.target} && .venv/bin/pytest && .venv/bin/alembic upgrade head")
    return 0


if __name__ == "__main__":
    run(main)
