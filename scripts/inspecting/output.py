"""The findings as text for an agent, and as JSON for a program."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from inspecting import advice
from inspecting.advice import Advice
from inspecting.code import Code, Place
from inspecting.databases import Databases
from inspecting.migrations import Migrations
from inspecting.packages import Package, Packages
from inspecting.testing import Testing

SHORT = {"models": 20, "schemas": 8}  # names of a topic in the short text
PLACES = 3  # of every other topic
MISSING = 6
MAIN = frozenset({
    "sqlmodel",
    "sqlalchemy",
    "fastapi",
    "pydantic",
    "alembic",
    "asyncpg",
    "aiosqlite",
    "asyncmy",
    "aiomysql",
    "pytest-asyncio",
})
VERSION = 1


@dataclass(frozen=True)
class Inspection:
    """Everything that was found."""

    root: str
    python_files: int
    unread: list[tuple[str, str]]
    packages: Packages
    databases: Databases
    code: Code
    migrations: list[Migrations]
    testing: Testing
    missing: list[Advice]


def as_data(found: Inspection) -> dict[str, Any]:
    """The object of `--json`; `schema.json` beside this module describes it."""
    code = found.code
    return {
        "version": VERSION,
        "root": found.root,
        "kind": advice.kind(code),
        "python_files": found.python_files,
        "unread": [{"path": path, "reason": reason} for path, reason in found.unread],
        "python": {"requires": found.packages.requires_python, "environment": found.packages.environment},
        "packages": {name: dataclasses.asdict(one) for name, one in sorted(found.packages.packages.items())},
        "databases": {
            "urls": [dataclasses.asdict(one) for one in found.databases.urls],
            "images": [{"image": image, "path": path} for image, path in found.databases.images],
        },
        "fastapi": {"apps": _all(code.apps), "routers": _all(code.routers), "routes": code.routes},
        "engines": _all(code.engines),
        "session_factories": _all(code.makers),
        "sessions_by_hand": _all(code.sessions_by_hand),
        "session_dependencies": _all(code.dependencies),
        "models": [
            {**dataclasses.asdict(one), "foreign": dict(one.foreign), "relationships": dict(one.relationships)}
            for one in code.models
        ],
        "declarative": _all(code.declarative),
        "schemas": _all(code.schemas),
        "migrations": [dataclasses.asdict(one) for one in found.migrations],
        "tests": dataclasses.asdict(found.testing),
        "missing": [dataclasses.asdict(one) for one in found.missing],
        "next": advice.following(code, found.missing),
    }


def _all(places: Sequence[Place]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(one) for one in places]


def text(found: Inspection, *, verbose: bool) -> str:
    """One line a topic; with `verbose`, one line a thing."""
    lines = [f"{advice.kind(found.code)}; {found.python_files} Python files"]
    for topic, items in _topics(found, verbose):
        shown = items if verbose else items[: SHORT.get(topic, PLACES)]
        more = f" (+{len(items) - len(shown)})" if len(items) > len(shown) else ""
        count = f"{len(items)}: " if topic in SHORT and items else ""
        if verbose and len(shown) > 1:
            lines += [f"{topic}:", *(f"  {one}" for one in shown)]
        else:
            lines.append(f"{topic:10} {count}{', '.join(shown) or '-'}{more}")
    lines += [f"missing    {one.what} -> {one.read}" for one in (found.missing if verbose else found.missing[:MISSING])]
    if len(found.missing) > MISSING and not verbose:
        lines.append(f"missing    ... {len(found.missing) - MISSING} more with --verbose")
    lines += [f"next       {one}" for one in advice.following(found.code, found.missing)]
    return "\n".join(lines) + "\n"


def _topics(found: Inspection, verbose: bool) -> Iterator[tuple[str, list[str]]]:
    code, packages = found.code, found.packages
    python = [f"{packages.requires_python} declared"] if packages.requires_python else []
    yield "python", python + ([f"{packages.environment} in the environment"] if packages.environment else [])
    shown = {name: one for name, one in packages.packages.items() if verbose or name in MAIN}
    yield "packages", [_package(name, one) for name, one in shown.items()] if verbose else _grouped(shown)
    yield (
        "databases",
        [
            *(
                f"{one.shown} {one.path}:{one.line}"
                for one in (found.databases.urls if verbose else _first_of_each(found.databases))
            ),
            *(f"image {image} {path}" for image, path in found.databases.images),
        ],
    )
    yield (
        "fastapi",
        [f"app {one}{'' if one.lifespan else ' without lifespan'}" for one in code.apps]
        + ([f"{len(code.routers)} routers, {code.routes} routes"] if code.routers or code.routes else []),
    )
    yield "engines", [f"{'async' if one.is_async else 'sync'} {one}" for one in code.engines]
    yield (
        "sessions",
        [
            *(
                f"{one} makes {_session(one.session)}{', expires at commit' if one.expires else ''}"
                for one in code.makers
            ),
            *(
                f"dependency {one} scope={'/'.join(one.scope)}{', commits' if one.commits else ''}"
                for one in code.dependencies
            ),
        ],
    )
    if code.models or not code.declarative:
        yield "models", [_model(one) for one in code.models] if verbose else [one.name for one in code.models]
    else:
        yield "models", [f"{one.name} (SQLAlchemy)" for one in code.declarative]
    yield "schemas", [str(one) if verbose else one.name for one in code.schemas]
    yield (
        "alembic",
        [
            f"{one.folder} ({'async' if one.is_async else 'sync'}), {one.revisions} revisions, head {' and '.join(one.heads[:4]) or '-'}"
            for one in found.migrations
        ],
    )
    testing = found.testing
    options = [f"{name}={value}" for name, value in testing.options.items() if name != "filterwarnings"]
    yield (
        "tests",
        ([f"{testing.files} files"] if testing.files else []) + ([testing.plugin] if testing.plugin else []) + options,
    )
    yield "unread", [f"{path}: {reason}" for path, reason in found.unread]


def _first_of_each(databases: Databases) -> list[Any]:
    return [next(one for one in databases.urls if one.scheme == scheme) for scheme in databases.schemes]


def _package(name: str, one: Package) -> str:
    facts = {"installed": one.installed, "locked": one.locked, "declared": one.declared}
    return f"{name} " + ", ".join(f"{how} {what or 'any'}" for how, what in facts.items() if what is not None)


def _grouped(packages: dict[str, Package]) -> list[str]:
    """Each package with the version that counts, and how it is known."""
    groups: dict[str, list[str]] = {"installed": [], "locked": [], "declared": []}
    for name, one in packages.items():
        how = "installed" if one.installed else "locked" if one.locked else "declared"
        groups[how].append(f"{name} {getattr(one, how) or ''}".strip())
    return [f"{how} {', '.join(names)}" for how, names in groups.items() if names]


def _session(name: str) -> str:
    owner = "SQLModel's" if name.startswith("sqlmodel.") else "SQLAlchemy's" if name.startswith("sqlalchemy.") else ""
    return f"{owner} {name.rpartition('.')[2]}".strip() or "an unknown class"


def _model(one: Any) -> str:
    foreign = "".join(f", {name} -> {target}" for name, target in one.foreign)
    related = "".join(f", {name}: {target}" for name, target in one.relationships)
    return f"{one.name} table {one.table}, key {'+'.join(one.keys) or '-'}{foreign}{related} {one.path}:{one.line}"
