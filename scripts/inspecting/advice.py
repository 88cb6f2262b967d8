"""What a project misses, and what to read or run next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from inspecting.code import Code
from inspecting.databases import Databases
from inspecting.migrations import Migrations
from inspecting.packages import Packages
from inspecting.testing import Testing
from project_source import known

FLOORS = {"sqlmodel": (0, 0, 45), "sqlalchemy": (2, 0), "fastapi": (0, 121), "pydantic": (2, 11)}
_SYNC = {
    "postgres",
    "postgresql",
    "postgresql+psycopg2",
    "mysql",
    "mysql+pymysql",
    "mysql+mysqldb",
    "mariadb",
    "sqlite",
    "sqlite+pysqlite",
}


@dataclass(frozen=True)
class Advice:
    """One thing to do.

    Attributes:
        what: What is missing or wrong, in a few words.
        read: The section of a guide, from the skill's folder.
    """

    what: str
    read: str


def kind(code: Code) -> str:
    """What sort of project it is, in a few words."""
    if code.models or "sqlmodel" in code.imports:
        is_async = any(one.is_async for one in code.engines) or code.uses_async_sessions
        return "async SQLModel" if is_async else "sync SQLModel"
    if code.declarative or "sqlalchemy" in code.imports:
        return f"plain SQLAlchemy, {'async' if code.uses_async_sessions else 'sync'}, without SQLModel"
    return "FastAPI without a database layer" if "fastapi" in code.imports else "no SQLModel, SQLAlchemy or FastAPI"


def missing(
    packages: Packages, databases: Databases, code: Code, migrations: list[Migrations], testing: Testing
) -> list[Advice]:
    """What to mend, the most urgent first."""
    found = [*_set_up(packages, databases, code), *_sessions(code), *_models(code), *_migrations(code, migrations)]
    if code.models and not testing.files:
        found.append(Advice("no tests", "references/testing.md"))
    elif testing.plugin == "pytest-asyncio" and code.models:
        scopes = [
            one
            for one in ("asyncio_default_fixture_loop_scope", "asyncio_default_test_loop_scope")
            if one not in testing.options
        ]
        if scopes:
            found.append(Advice(f"pytest without {scopes[0]}", "references/testing.md#share-one-event-loop"))
    return found


def _set_up(packages: Packages, databases: Databases, code: Code) -> Iterator[Advice]:
    if not (code.models or code.engines):
        return
    for name, floor in FLOORS.items():
        version = packages.version(name)
        if version and _numbers(version) < floor:
            wanted = ".".join(map(str, floor))
            yield Advice(f"{name} {version} is older than {wanted}", "references/stale-idioms.md")
    if code.uses_async_sessions and not packages.has("greenlet") and packages.sources and not _asyncio_extra(packages):
        yield Advice(
            "greenlet is not declared: sqlmodel[asyncio]", "references/session-errors.md#greenlet-is-not-installed"
        )
    settings = [one for one in databases.urls if "/.env" in f"/{one.path}"]
    if (
        code.uses_async_sessions
        and not code.chooses_driver
        and (sync := next((one for one in settings if one.scheme in _SYNC), None))
    ):
        yield Advice(f"{sync.path}:{sync.line} names a sync driver", "references/database-setup.md#normalise-the-url")


def _sessions(code: Code) -> Iterator[Advice]:
    for maker in code.makers:
        if maker.session in known.ASYNC_SESSIONS and maker.expires:
            yield Advice(f"objects expire at commit ({maker.path}:{maker.line})", "references/sessions.md")
        if maker.session == known.SQLALCHEMY_SESSION and "sqlmodel" in code.imports:
            yield Advice(f"sessions without exec ({maker.path}:{maker.line})", "references/sessions.md")
    for one in code.dependencies:
        if one.commits and "request" in one.scope:
            yield Advice(
                f"{one.name} commits after the response ({one.path}:{one.line})",
                "references/sessions.md#commit-before-the-response",
            )
    if not any(one.is_async for one in code.dependencies) and any(not one.is_async for one in code.dependencies):
        yield Advice("sync sessions in the routes", "references/sessions.md#write-it-the-async-way")


def _models(code: Code) -> Iterator[Advice]:
    lazy = sum(len(one.lazy) for one in code.models)
    if lazy and code.uses_async_sessions:
        yield Advice(f'relationships without lazy="raise": {lazy}', "references/loading.md")
    if unindexed := sum(len(one.unindexed) for one in code.models):
        yield Advice(f"foreign keys without an index: {unindexed}", "references/relationships.md")


def _migrations(code: Code, migrations: list[Migrations]) -> Iterator[Advice]:
    if code.models and not migrations:
        yield Advice("no migrations", "references/migrations.md")
    for one in migrations:
        if len(one.heads) > 1:
            yield Advice(f"{one.folder}: {len(one.heads)} heads", "references/migrations.md")
        if one.missing:
            yield Advice(f"{one.folder}: revision {one.missing[0]} does not exist", "references/migrations.md")
        if not one.has_metadata:
            yield Advice(f"{one.folder}/env.py gives no target_metadata", "references/migrations.md")
        if code.models and not one.imports_sqlmodel:
            yield Advice(f"{one.folder}/script.py.mako does not import sqlmodel", "references/migrations.md")


def following(code: Code, lacks: list[Advice]) -> list[str]:
    """What to do next: three lines at most."""
    if not code.models and not code.engines and not code.apps:
        return ["python3 scripts/new_service.py DEST makes a service", "read references/database-setup.md"]
    steps = [f"read {one.read}" for one in lacks[:2]]
    return [*dict.fromkeys(steps), "python3 scripts/audit.py PATH finds the lines to mend"]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", version)[:3])


def _asyncio_extra(packages: Packages) -> bool:
    return any("[asyncio" in (one.declared or "") for one in packages.packages.values())
