"""Works out what an entity changes in a service; nothing is written here."""

from __future__ import annotations

import ast
import hashlib
import os

from service_entity import checks, files
from service_entity.change import Change
from service_entity.columns import Model, column
from service_entity.errors import CallError, TargetError
from service_entity.fields import Field
from service_entity.files import Entity
from service_entity.names import EntityNames, check_identifiers
from service_entity.service import DEPS, FACTORIES, HOSTILE, MAIN, MODELS, VERSIONS, Service


def plan(service: Service, names: EntityNames, fields: list[Field]) -> Change:
    """Work out every file of an entity.

    Raises:
        CallError: A name of the call is taken, or a reference leads nowhere.
        TargetError: The entity is there already, or the files are not as they must be.
    """
    models = service.models()
    if names.entity in models:
        raise TargetError(f"{names.entity} is already there: {models[names.entity].module}; nothing was changed")
    entity = Entity(names, tuple(column(one, names, models) for one in fields))
    _check_names(service, entity, models)
    _check_factories(service, entity)
    check_identifiers(entity.identifiers)
    down = service.head()
    revision = _next_revision(down, names)
    change = Change(revision)
    change.created = {
        f"app/models/{names.singular}.py": files.model(entity),
        f"app/services/{names.plural}.py": files.service(entity),
        f"app/api/{names.plural}.py": files.router(entity),
        f"{VERSIONS}/{revision}_add_{names.singular}.py": files.migration(entity, revision, down),
        f"tests/test_{names.plural}.py": checks.tests(entity),
    }
    if there := [name for name in change.created if os.path.lexists(service.root / name)]:
        raise TargetError(f"{there[0]} is already there; choose another name or --plural, or remove the file")
    before = {name: source.text for name, source in service.sources.items()}
    _edit(service, entity)
    change.edited = {
        name: source.text.replace("\n", "\r\n") if name in service.windows else source.text
        for name, source in sorted(service.sources.items())
        if source.text != before.get(name)
    }
    for name, text in {**change.created, **change.edited}.items():
        try:
            compile(text, name, "exec", dont_inherit=True)
        except SyntaxError as error:
            raise TargetError(
                f"{name}:{error.lineno} would not be valid Python: {error.msg}; choose another name"
            ) from None
    return change


def _check_names(service: Service, entity: Entity, models: dict[str, Model]) -> None:
    names = entity.names
    if twice := [one for one in entity.classes if entity.classes.count(one) > 1]:
        raise CallError(f"--fields: a class {twice[0]} would be there twice; rename the field")
    if same := [one.name for one in models.values() if one.table.lower() == names.table]:
        raise CallError(f"--entity {names.entity}: {same[0]} has the table {names.table}; choose another --table")
    taken: dict[str, str] = {}
    for path in sorted((service.root / "app" / "models").glob("*.py")):
        name = f"app/models/{path.name}"
        taken |= dict.fromkeys(
            (node.name for node in service.source(name).tree.body if isinstance(node, ast.ClassDef)), name
        )
    for one in entity.classes:
        if one in taken:
            raise CallError(f"--entity {names.entity}: {taken[one]} has a class {one}; choose another name")
    places = [
        (DEPS, names.services), (DEPS, f"{names.entity}Service"), (MAIN, names.plural),
        (FACTORIES, f"make_{names.singular}"),
    ]  # fmt: skip
    if (service.root / HOSTILE).exists():
        places.append((HOSTILE, checks.hostile_body(entity)[0]))
    for file, one in places:
        if one in service.source(file).bound:
            raise CallError(f"--entity {names.entity}: {file} has a name {one}; choose another name or --plural")


def _check_factories(service: Service, entity: Entity) -> None:
    """The tests make what a row refers to."""
    bound = service.source(FACTORIES).bound | {f"make_{entity.names.singular}"}
    for one in entity.references:
        assert one.model
        if (wanted := checks.factory_name(one.model.name)) not in bound:
            raise TargetError(
                f"{FACTORIES} has no function {wanted}, with which the tests make what {one.field.name} refers to; "
                "write one like those that are there"
            )


def _next_revision(head: str, names: EntityNames) -> str:
    """The next number where revisions are numbers, else 12 letters as Alembic has them."""
    if head.isascii() and head.isdigit():
        return str(int(head) + 1).zfill(len(head))
    return hashlib.sha256(f"{head} {names.table}".encode()).hexdigest()[:12]


def _edit(service: Service, entity: Entity) -> None:
    names = entity.names
    models, deps, main = service.source(MODELS), service.source(DEPS), service.source(MAIN)
    for name in (names.entity, *(one.type for one in entity.enums)):
        models.add_import(f"app.models.{names.singular}", name)
        models.add_to_all(name)
    deps.add_import(f"app.services.{names.plural}", f"{names.entity}Service")
    deps.add_dependency(names.services, f"{names.entity}Service")
    main.add_import("app.api", names.plural)
    main.add_router(names.plural)
    service.source(FACTORIES).append(checks.factory(entity))
    if (service.root / HOSTILE).exists():
        hostile = service.source(HOSTILE)
        constant, definition = checks.hostile_body(entity)
        hostile.add_before("BODIES", definition)
        hostile.add_to_dict("BODIES", [(key, constant) for key in checks.hostile_operations(entity)])
        hostile.add_to_dict("QUERIES", [checks.hostile_queries(entity)])
