"""ASM015: relationships and foreign keys that do not fit together."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from auditing.catalogue import check
from auditing.finding import Found, at
from project_source.classes import Class, Field
from project_source.modules import Module, keyword, last_name
from project_source.project import Project

_JOINED = frozenset({"foreign_keys", "primaryjoin", "secondary", "secondaryjoin"})


@dataclass(frozen=True)
class Key:
    """A foreign key: `foreign_key="team.id"`, or a ForeignKey in a Column.

    Attributes:
        owner: The class whose body holds the field; a base, where it is inherited.
        node: The string.
    """

    owner: Class
    table: str
    column: str
    node: ast.Constant


@dataclass(frozen=True)
class Keys:
    """The foreign keys of a table model.

    Attributes:
        complete: False where some key may be missing, as it is computed or stands in `__table_args__`.
    """

    found: tuple[Key, ...]
    complete: bool

    def to(self, other: Class) -> list[Key]:
        return [one for one in self.found if one.table == other.table_name]


@lru_cache(maxsize=4096)
def keys_of(klass: Class, project: Project) -> Keys:
    """All foreign keys of a class, inherited ones too."""
    found: list[Key] = []
    complete = klass.is_complete
    for owner in reversed(klass.lineage):
        scope = owner.module.scopes[owner.node].names
        for binding in scope.get("__table_args__", []):
            complete = complete and "Foreign" not in ast.unparse(binding.node)
        for name, field in owner.own_fields.items():
            if klass.fields.get(name) is not field or field.kind != "column":
                continue
            targets = list(_targets(field, owner, project))
            for one in targets:
                if isinstance(one, ast.Constant) and isinstance(one.value, str) and "." in one.value:
                    table, _, column = one.value.rpartition(".")
                    found.append(Key(owner, table.rpartition(".")[2], column, one))
                else:
                    complete = False
            if not targets and _is_opaque(field, owner, project):
                complete = False
    return Keys(tuple(found), complete)


def _targets(field: Field, owner: Class, project: Project) -> Iterator[ast.Constant | ast.expr]:
    calls = [
        node
        for part in (field.call, field.node.annotation)
        if part
        for node in ast.walk(part)
        if isinstance(node, ast.Call)
    ]
    for call in calls:
        if (value := keyword(call, "foreign_key")) is not None:
            yield value
        elif call.args and project.called(call, owner.module) == "sqlalchemy.ForeignKey":
            yield call.args[0]


def _is_opaque(field: Field, owner: Class, project: Project) -> bool:
    """Whether a key may hide behind a name: an alias of a type, or a column that is made elsewhere."""
    if field.call is None and field.node.value is not None and isinstance(field.node.value, ast.Call | ast.Name):
        return True  # id: int = primary_key()
    if field.call and any(one.arg is None for one in field.call.keywords):
        return True
    for name in ("sa_column", "sa_column_args"):
        value = field.argument(name)
        if value is not None and not (
            isinstance(value, ast.Call) and project.called(value, owner.module).startswith("sqlalchemy.")
        ):
            return True
    for node in ast.walk(field.node.annotation):
        if isinstance(node, ast.Name):
            for one in owner.module.bindings(node.id, node)[:1]:
                if one.kind in {"value", "annotation"}:
                    return True
                if one.kind == "import" and project.find(one.name.rpartition(".")[0], owner.module):
                    meant = project.value_of(node, owner.module)
                    if meant is None or not isinstance(meant.node, ast.ClassDef):
                        return True
    return False


@lru_cache(maxsize=2)
def _tables(project: Project) -> tuple[dict[str, list[Class]], frozenset[str], frozenset[str], bool]:
    """Table models by the name of their table, all names of tables, those of plain SQLAlchemy, and whether there may be more."""
    by_name: dict[str, list[Class]] = {}
    names: set[str] = set()
    is_open = False
    for one in project.classes:
        if one.is_table:
            is_open = is_open or not one.written_table_name
            by_name.setdefault(one.table_name, []).append(one)
        elif "__tablename__" in one.attributes or "__table__" in one.attributes:
            is_open = is_open or not one.written_table_name or "__table__" in one.attributes
            names.add(one.table_name)
    for module in project.modules.values():
        for call in module.all(ast.Call):
            name = last_name(call.func)
            if name == "Table" and project.called(call, module) == "sqlalchemy.Table":
                if call.args and isinstance(call.args[0], ast.Constant):
                    names.add(str(call.args[0].value))
                else:
                    is_open = True
            elif name in {"automap_base", "reflect"}:
                is_open = True
    return by_name, frozenset(names | by_name.keys()), frozenset(names), is_open


@lru_cache(maxsize=2)
def _by_class_name(project: Project) -> dict[str, list[Class]]:
    found: dict[str, list[Class]] = {}
    for one in project.classes:
        found.setdefault(one.name, []).append(one)
    return found


@check("ASM015")
def keys_that_lead_nowhere(project: Project, module: Module) -> Iterator[Found]:
    """A foreign key to a table, or a column, that no model has."""
    if not _own_tables(project, module):
        return
    by_name, names, elsewhere, is_open = _tables(project)
    classes = _by_class_name(project)
    for klass in _own_tables(project, module):
        for key in keys_of(klass, project).found:
            if key.table not in names:
                meant = [one for one in classes.get(key.table, []) if one.is_table and one.written_table_name]
                if meant:
                    yield at(
                        key.owner.module, key.node, f"the foreign key names the class `{key.table}`; its table is `{meant[0].table_name}`",
                        f'write `foreign_key="{meant[0].table_name}.{key.column}"`',
                    )  # fmt: skip
                elif not is_open and klass.is_complete:
                    yield at(
                        key.owner.module, key.node, f"no model has the table `{key.table}`: NoReferencedTableError at the first query",
                        "write the name of the table: `__tablename__`, or the class's name in small letters",
                        possible=_is_named_elsewhere(key, project),
                    )  # fmt: skip
            elif key.table not in elsewhere and all(_lacks(one, key.column) for one in by_name[key.table]):
                yield at(
                    key.owner.module, key.node, f"the table `{key.table}` has no column `{key.column}`: NoReferencedColumnError",
                    "name a column of that table",
                )  # fmt: skip


def _is_named_elsewhere(key: Key, project: Project) -> bool:
    """Whether a table that no model has is named in other code, such as a migration: a library may bring its model."""
    return any(
        one.value == key.table
        for module in project.modules.values() for one in module.all(ast.Constant) if isinstance(one.value, str)
    )  # fmt: skip


def _lacks(klass: Class, column: str) -> bool:
    """Whether a table model has no such column: no field of it, and none whose column may have another name."""
    if not klass.is_complete or column in klass.attributes:
        return False
    return not any("name" in ast.unparse(one.call) for one in klass.fields.values() if one.call)


def _own_tables(project: Project, module: Module) -> list[Class]:
    return [one for one in map(project.class_of, module.all(ast.ClassDef)) if one.is_table]


@check("ASM015")
def relationships_that_do_not_fit(project: Project, module: Module) -> Iterator[Found]:
    """Relationships without a target, a partner, a key, or a choice between keys."""
    for klass in _own_tables(project, module):
        for field in klass.own_fields.values():
            is_plain = (
                field.kind == "relationship" and not field.argument("sa_relationship") and field.options is not None
            )
            if is_plain and field.target.isidentifier():
                yield from _one(klass, field, project, module)


def _target(field: Field, project: Project, module: Module) -> Class | None:
    """The class that a relationship leads to; None where it is unknown or several have the name."""
    for node in ast.walk(field.node.annotation):
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).endswith(field.target):
            return project.class_at(node, module)
    named = [one for one in _by_class_name(project).get(field.target, []) if one.is_table]
    near = [one for one in named if one.module is module]
    value = project.member(module, field.target)  # imported for type checkers
    if value and isinstance(value.node, ast.ClassDef):
        return project.class_of(value.node)
    return near[0] if len(near) == 1 else named[0] if len(named) == 1 else None


def _one(klass: Class, field: Field, project: Project, module: Module) -> Iterator[Found]:
    target = _target(field, project, module)
    if target is None:
        known = _by_class_name(project).get(field.target) or module.every_binding(field.target, field.node)
        if not known and not module.stars:
            yield at(
                module, field.node, f"no class `{field.target}` exists: the mapper fails at the first query of any model",
                "write the name of a table model",
            )  # fmt: skip
        return
    if not target.is_table:
        if target.is_schema and target.is_complete:
            yield at(
                module, field.node, f"`{target.name}` is no table model: the mapper fails at the first query of any model",
                "name the class with `table=True`",
            )  # fmt: skip
        return
    yield from _partner(klass, field, target, module)
    options = field.options or {}
    link = field.argument("link_model")
    if link is not None:
        if not _JOINED & options.keys():
            yield from _linked(klass, field, target, link, project, module)
        return
    ours, theirs = keys_of(klass, project), keys_of(target, project)
    if not (ours.complete and theirs.complete and klass.written_table_name and target.written_table_name):
        return
    between = [*ours.to(target), *(theirs.to(klass) if target != klass else [])]
    if _JOINED & options.keys():
        return
    pair = f"`{klass.name}` and `{target.name}`"
    if not between and any(key.table not in _tables(project)[1] for key in (*ours.found, *theirs.found)):
        return  # the key is there, and leads nowhere
    if not between:
        yield at(
            module, field.node, f"no foreign key links {pair}: NoForeignKeysError at the first query",
            f'give one side a field with `foreign_key="{target.table_name}.id"`',
        )  # fmt: skip
    elif len(between) > 1:
        wanted = f"[{klass.name}.{_field_of(between[0], klass)}]" if ours.to(target) else "[...]"
        yield at(
            module, field.node, f"{len(between)} foreign keys link {pair}: AmbiguousForeignKeysError at the first query",
            f'say which: `sa_relationship_kwargs={{"foreign_keys": "{wanted}"}}`, on both sides',
        )  # fmt: skip
    elif target == klass:
        yield from _tree(klass, field, options, module)


def _field_of(key: Key, klass: Class) -> str:
    for name, field in klass.fields.items():
        if any(node is key.node for node in ast.walk(field.node)):
            return name
    return key.column


def _partner(klass: Class, field: Field, target: Class, module: Module) -> Iterator[Found]:
    partner = field.argument("back_populates")
    if not isinstance(partner, ast.Constant) or not isinstance(partner.value, str) or not target.is_complete:
        return
    other = target.fields.get(partner.value)
    if partner.value not in target.attributes:
        yield at(
            module, field.node, f"`{target.name}` has no `{partner.value}`, which back_populates names: the first query fails",
            f"add `{partner.value}` to `{target.name}`, or write the name that it has there",
        )  # fmt: skip
    elif other and other.kind == "column" and other.call:
        yield at(
            module, field.node, f"`{target.name}.{partner.value}`, which back_populates names, is a column and no relationship",
            f"write the name of the relationship of `{target.name}`",
        )  # fmt: skip
    elif other and other.kind == "relationship" and other.target.isidentifier() and _leads_elsewhere(other, klass):
        yield at(
            module, field.node, f"`{target.name}.{partner.value}`, which back_populates names, leads to `{other.target}`: the first query fails",
            f"write the name of the relationship that leads back to `{klass.name}`",
        )  # fmt: skip


def _leads_elsewhere(other: Field, klass: Class) -> bool:
    return (
        bool(other.target)
        and other.target not in {one.name for one in klass.lineage}
        and not other.argument("sa_relationship")
    )


def _linked(
    klass: Class, field: Field, target: Class, link: ast.expr, project: Project, module: Module
) -> Iterator[Found]:
    table = project.class_at(link, module)
    if table is None:
        return
    if not table.is_table:
        if table.is_schema and table.is_complete:
            yield at(
                module, link, f"`{table.name}` is no table model: the class cannot be defined", "give it `table=True`"
            )  # fmt: skip
        return
    keys = keys_of(table, project)
    if not keys.complete or not klass.written_table_name or not target.written_table_name:
        return
    for side in dict.fromkeys((klass, target)):
        if not keys.to(side):
            yield at(
                module, field.node, f"`{table.name}` has no foreign key to `{side.table_name}`: NoForeignKeysError at the first query",
                f'give it a field with `foreign_key="{side.table_name}.id"`',
            )  # fmt: skip
            return
    if target == klass and len(keys.to(klass)) > 1:
        yield at(
            module, field.node, f"both keys of `{table.name}` lead to `{klass.name}`: AmbiguousForeignKeysError at the first query",
            "give `primaryjoin` and `secondaryjoin` in `sa_relationship_kwargs`",
        )  # fmt: skip


def _tree(klass: Class, field: Field, options: dict[str, ast.expr], module: Module) -> Iterator[Found]:
    """The parent of a tree must say which side it is."""
    if field.many or "remote_side" in options:
        return
    partner = field.argument("back_populates")
    other = klass.fields.get(str(partner.value)) if isinstance(partner, ast.Constant) else None
    if other is not None and (
        other.options is None or "remote_side" in other.options or other.argument("sa_relationship")
    ):
        return
    yield at(
        module, field.node, f"`{klass.name}.{field.name}` needs remote_side: without it the mapper takes the parent for a child",
        f'add `sa_relationship_kwargs={{"remote_side": "{klass.name}.id"}}`',
    )  # fmt: skip
