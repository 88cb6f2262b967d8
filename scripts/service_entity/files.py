"""The new files of an entity, as the template would have them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service_entity.columns import Column, enum_members
from service_entity.imports import imports
from service_entity.layout import fit
from service_entity.names import EntityNames

_PYTHON = {
    "Annotated": "typing", "Any": "typing", "Literal": "typing", "Optional": "typing", "Decimal": "decimal",
    "Enum": "enum", "UUID": "uuid", "date": "datetime", "datetime": "datetime",
}  # fmt: skip
_PYDANTIC = dict.fromkeys(("AfterValidator", "ConfigDict", "FiniteFloat", "StringConstraints"), "pydantic")
_BASE = dict.fromkeys(
    (
        "MAX_INT", "JsonObject", "Moment", "Text", "Timestamps", "UTCMicroseconds", "enum_by_value", "exact_text",
        "portable_json", "storable",
    ),
    "app.models.base",
)  # fmt: skip


@dataclass(frozen=True)
class Entity:
    """An entity with its columns."""

    names: EntityNames
    columns: tuple[Column, ...]

    @property
    def references(self) -> list[Column]:
        """Columns that refer to a model."""
        return [column for column in self.columns if column.model]

    @property
    def enums(self) -> list[Column]:
        """Columns with an enum of their own."""
        return [column for column in self.columns if column.field.kind == "enum"]

    @property
    def aliases(self) -> list[Column]:
        """Columns with a type of their own."""
        return [column for column in self.columns if column.alias]

    @property
    def classes(self) -> list[str]:
        """Every class and type that is made."""
        name = self.names.entity
        suffixes = ("", "Base", "Create", "Update", "Public", "Filter", "Service", "Query", "Page")
        return [f"{name}{suffix}" for suffix in suffixes] + [column.type for column in [*self.enums, *self.aliases]]

    @property
    def indexed(self) -> list[Column]:
        """Columns with an index of their own."""
        return [column for column in self.columns if column.is_indexed]

    @property
    def constrained(self) -> list[Column]:
        """Columns with a unique constraint."""
        return [column for column in self.columns if column.field.unique and not column.model]

    @property
    def identifiers(self) -> list[str]:
        """The names of constraints and indexes."""
        table = self.names.table
        return [
            f"pk_{table}",
            *(f"fk_{table}_{column.name}" for column in self.references),
            *(f"uq_{table}_{column.name}" for column in self.constrained),
            *(f"ix_{table}_{column.name}" for column in self.indexed),
        ]

    @property
    def filters(self) -> list[tuple[str, str]]:
        """Names and types of the filters."""
        found = []
        for column in self.columns:
            found += [
                (f"{column.name}__{operator}" if operator else column.name, kind) for operator, kind in column.filters
            ]
            if column.filters and column.nullable:
                found.append((f"{column.name}__is_null", "bool"))
        return found

    @property
    def sorts(self) -> list[str]:
        """What a list is sorted by, the default first."""
        sortable = [column for column in self.columns if column.is_sorted and not column.model]
        return [column.name for column in sorted(sortable, key=lambda column: not column.field.unique)] + ["id"]


def model(entity: Entity) -> str:
    """app/models/invoice.py."""
    name, words = entity.names.entity, entity.names.words
    parts = ["".join(f"{column.type} = {column.alias}\n" for column in entity.aliases)]
    for column in entity.enums:
        members = "".join(f'    {member} = "{value}"\n' for member, value in enum_members(column.field))
        what = column.field.name.replace("_", " ").capitalize()
        parts.append(
            f'class {column.type}(str, Enum):\n    """{what} of {entity.names.article} {words}."""\n\n{members}'
        )
    base = "".join(f"    {_written(column)}\n" for column in entity.columns)
    parts.append(f'class {name}Base(SQLModel):\n    """What a client writes."""\n\n{base}')
    table = [f'__tablename__ = "{entity.names.tablename}"\n\n'] if entity.names.tablename else []
    table.append("id: int | None = Field(default=None, primary_key=True)\n")
    table += [f"{_relationship(entity, column)}\n" for column in entity.references]
    parts.append(
        f"class {name}(Timestamps, {name}Base, table=True):\n"
        f'    """{entity.names.article.capitalize()} {words}."""\n\n' + "".join(f"    {line}" for line in table)
    )
    forbid = '    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]\n'
    parts.append(f'class {name}Create({name}Base):\n    """Body of a POST."""\n\n{forbid}')
    update = "".join(
        f"    {column.name}: {_or_none(column)} = Field({', '.join(['default=None', *column.checks])})\n"
        for column in entity.columns
    )
    parts.append(
        f"class {name}Update(SQLModel):\n"
        f'    """Body of a PATCH: what is absent stays; null only where the column takes it."""\n\n{forbid}\n{update}'
    )
    public = "".join(
        f"    {column.name}: {column.public}{' | None' if column.nullable else ''}\n" for column in entity.columns
    )
    parts.append(
        f'class {name}Public(SQLModel):\n    """A response."""\n\n    id: int\n{public}'
        "    created_at: datetime\n    updated_at: datetime\n"
    )
    sources = {
        **_PYTHON, **_PYDANTIC, **_BASE, "Double": "sqlalchemy", "LongText": "sqlalchemy:Text", "Field": "sqlmodel", "Relationship": "sqlmodel",
        "SQLModel": "sqlmodel",
        **{one.name: one.module for column in entity.references if (one := column.model) and one.name != name},
    }  # fmt: skip
    body = "\n\n".join(part for part in parts if part)
    return module(f"{entity.names.title}.", body, sources)


def service(entity: Entity) -> str:
    """app/services/invoices.py."""
    name, plural = entity.names.entity, entity.names.plural.replace("_", " ")
    filters = "".join(f"    {field}: {kind} | None = None\n" for field, kind in entity.filters)
    sorts = ", ".join(f'"{one}", "-{one}"' for one in entity.sorts)
    key = "Key = Annotated[int, Field(ge=1, le=MAX_INT)]\n\n\n" if entity.references else ""
    body = f'''{key}class {name}Filter(FilterBase):
    """What a list of {plural} can be filtered and sorted by."""

    table = {name}

{filters}    sort: Literal[{sorts}] = "{entity.sorts[0]}"


class {name}Service(ServiceBase[{name}, {name}Create, {name}Update]):
    """{entity.names.title}."""
'''
    own = f"app.models.{entity.names.singular}"
    sources = {
        **_PYTHON, **_PYDANTIC, **_BASE, "Field": "pydantic", "FilterBase": "app.services.filters",
        "ServiceBase": "app.services.base", **dict.fromkeys(entity.classes, own),
    }  # fmt: skip
    for local in (f"{name}Filter", f"{name}Service"):
        del sources[local]
    return module(f"{entity.names.title}.", body, sources)


def router(entity: Entity) -> str:
    """app/api/invoices.py."""
    names = entity.names
    name, singular, plural, services = names.entity, names.singular, names.plural, names.services
    body = f'''router = APIRouter(prefix="{names.path}", tags=["{names.path[1:]}"])


class {name}Query({name}Filter):
    """Filters with the place in the list."""

    limit: Annotated[int, Query(ge=1, le=200)] = 50
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0


class {name}Page(SQLModel):
    """Part of a list, and the length of the whole."""

    items: list[{name}Public]
    total: int


@router.post("", response_model={name}Public, status_code=201)
async def create_{singular}(data: {name}Create, {plural}: {services}) -> {name}:
    return await {plural}.create(data)


@router.get("", response_model={name}Page)
async def list_{plural}(query: Annotated[{name}Query, Query()], {plural}: {services}) -> Page[{name}]:
    """A page by number, with the total."""
    return await {plural}.page(*query.where(), order_by=query.order_by(), limit=query.limit, offset=query.offset)


@router.get("/{{{singular}_id}}", response_model={name}Public)
async def read_{singular}({singular}_id: Id, {plural}: {services}) -> {name}:
    return await {plural}.get({singular}_id)


@router.patch("/{{{singular}_id}}", response_model={name}Public)
async def update_{singular}({singular}_id: Id, data: {name}Update, {plural}: {services}) -> {name}:
    return await {plural}.update({singular}_id, data)


@router.delete("/{{{singular}_id}}", status_code=204)
async def delete_{singular}({singular}_id: Id, {plural}: {services}) -> None:
    await {plural}.delete({singular}_id)
'''
    sources = {
        "Annotated": "typing", "APIRouter": "fastapi", "Query": "fastapi", "SQLModel": "sqlmodel",
        "Id": "app.api.deps", services: "app.api.deps", "Page": "app.services.base",
        f"{name}Filter": f"app.services.{plural}",
        **dict.fromkeys((name, f"{name}Create", f"{name}Public", f"{name}Update"), f"app.models.{singular}"),
    }  # fmt: skip
    return module(f"{names.title}.", body, sources)


def migration(entity: Entity, revision: str, down: str) -> str:
    """migrations/versions/0002_add_invoice.py."""
    table = entity.names.table
    lines = [f'"{table}"', 'sa.Column("id", sa.Integer(), nullable=False)']
    for column in entity.columns:
        lines.append(f'sa.Column("{column.name}", {column.sql}, nullable={column.nullable})')
    lines += [f'sa.Column("{name}", AT, nullable=False)' for name in ("created_at", "updated_at")]
    for column in entity.references:
        assert column.model
        tail = ', ondelete="SET NULL"' if column.nullable else ""
        lines.append(
            f'sa.ForeignKeyConstraint(["{column.name}"], ["{column.model.table}.id"], '
            f'name="fk_{table}_{column.name}"{tail})'
        )
    lines.append(f'sa.PrimaryKeyConstraint("id", name="pk_{table}")')
    lines += [f'sa.UniqueConstraint("{one.name}", name="uq_{table}_{one.name}")' for one in entity.constrained]
    create = "".join(f"        {line},\n" for line in lines)
    indexes = "".join(
        f'    op.create_index("ix_{table}_{column.name}", "{table}", ["{column.name}"]'
        f"{', unique=True' if column.field.unique else ''})\n"
        for column in entity.indexed
    )
    constants = 'AT = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")\n'
    dialects = ["mysql"]
    if any(column.sql == "JSON" for column in entity.columns):
        dialects.append("postgresql")
        constants += (
            'JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")\n'
        )
    if any(column.sql.startswith("exact_text") for column in entity.columns):
        constants += '''

def exact_text(length: int) -> sa.types.TypeEngine[str]:
    """A string that compares by its characters on MariaDB and MySQL too."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")
'''
    return fit(f'''"""Add {entity.names.words}.

Revision ID: {revision}
Revises: {down}
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import {", ".join(dialects)}

revision: str = "{revision}"
down_revision: str | None = "{down}"
branch_labels: str | None = None
depends_on: str | None = None

{constants}

def upgrade() -> None:
    """Make the table."""
    op.create_table(
{create}    )
{indexes}

def downgrade() -> None:
    """Remove it."""
    op.drop_table("{table}")
''')


def _written(column: Column) -> str:
    """A field of the Base class."""
    arguments = [*column.checks, *column.stored]
    if column.field.unique:
        arguments.append("unique=True")
    if column.is_indexed:
        arguments.append("index=True")
    if column.nullable:
        arguments.insert(0, "default=None")
    value = f" = Field({', '.join(arguments)})" if arguments else ""
    return f"{column.name}: {_or_none(column)}{value}"


def _or_none(column: Column) -> str:
    return f"{column.type} | None" if column.nullable else column.type


def _relationship(entity: Entity, column: Column) -> str:
    assert column.model
    own = column.model.name == entity.names.entity
    options = ['"lazy": "raise"']
    if own:
        options.append(f'"remote_side": "{entity.names.entity}.id"')
    if len([one for one in entity.references if one.model == column.model]) > 1:
        options.append(f'"foreign_keys": "[{entity.names.entity}.{column.name}]"')
    kind = f'"{column.model.name}"' if own else column.model.name
    kind = f"Optional[{kind}]" if column.nullable else kind
    return f"{column.field.name}: {kind} = Relationship(sa_relationship_kwargs={{{', '.join(options)}}})"


def module(doc: str, body: str, sources: dict[str, str], whole: Iterable[str] = ()) -> str:
    """A module with the imports that its body needs. Arguments are those of ``imports``."""
    body = fit(body)
    first = "\n\n" if body.startswith(("class ", "async def ", "def ")) else "\n"
    return f'"""{doc}"""\n\n{imports(body, sources, tuple(whole))}{first}{body}'
