"""Names: of the entity, in all their forms, and of its fields."""

from __future__ import annotations

import builtins
import keyword
import re
from dataclasses import dataclass

from service_entity.errors import CallError
from service_entity.reserved import reserved_by

LONGEST = {"--entity": 30, "field": 30, "--plural": 40, "--table": 40}  # characters
IDENTIFIER = 63  # characters of a name that PostgreSQL keeps; MariaDB keeps 64

_ENTITY = re.compile(r"([A-Z][a-z0-9]+)+")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_IRREGULAR = {
    "child": "children", "foot": "feet", "goose": "geese", "man": "men", "mouse": "mice", "person": "people",
    "tooth": "teeth", "woman": "women", "quiz": "quizzes", "calf": "calves", "half": "halves", "knife": "knives",
    "leaf": "leaves", "life": "lives", "loaf": "loaves", "shelf": "shelves", "thief": "thieves", "wife": "wives",
    "wolf": "wolves", "echo": "echoes", "hero": "heroes", "potato": "potatoes", "tomato": "tomatoes",
}  # fmt: skip
_WITHOUT_PLURAL = {
    "advice", "aircraft", "data", "equipment", "feedback", "fish", "furniture", "hardware", "information", "luggage",
    "metadata", "money", "news", "offspring", "research", "series", "sheep", "software", "species", "staff", "traffic",
}  # fmt: skip

# names that the generated modules import or define
USED = {
    "Any", "Annotated", "Literal", "Optional", "Decimal", "Enum", "AfterValidator", "ConfigDict", "FiniteFloat",
    "StringConstraints", "Double", "SQLModel", "Field", "Relationship", "APIRouter", "Query",
    "AsyncClient", "AsyncSession", "BadReference", "InvalidRequestError", "JsonObject", "LongText", "Moment",
    "Text", "Timestamps", "UTCMicroseconds", "ServiceBase", "FilterBase", "Page", "Id", "Key",
}  # fmt: skip
_LOCAL = {"data", "query", "router", "session", "client", "self"}
# public names of SQLModel and pydantic; a test compares them with the libraries
INHERITED = {
    "construct", "copy", "dict", "from_orm", "json", "metadata", "parse_file", "parse_obj", "parse_raw", "registry",
    "schema", "schema_json", "sqlmodel_update", "update_forward_refs", "validate",
}  # fmt: skip
_TEMPLATE = {"id", "created_at", "updated_at", "deleted_at", "version"}
_QUERY = {"sort", "limit", "offset", "cursor", "where", "order_by", "table"}
_FUNCTIONS = {"date", "datetime", "exact_text", "enum_by_value", "portable_json"}


@dataclass(frozen=True)
class EntityNames:
    """All forms of the name of an entity.

    Attributes:
        entity: ``InvoiceLine``, the class.
        singular: ``invoice_line``, the module of the model, and in names of functions.
        plural: ``invoice_lines``, the modules of service and router.
        table: ``invoice_line``.
    """

    entity: str
    singular: str
    plural: str
    table: str

    @property
    def services(self) -> str:
        """``InvoiceLines``: what an endpoint asks for."""
        return "".join(word.capitalize() for word in self.plural.split("_"))

    @property
    def path(self) -> str:
        """``/invoice-lines``."""
        return "/" + self.plural.replace("_", "-")

    @property
    def words(self) -> str:
        """``invoice line``, for docstrings."""
        return self.singular.replace("_", " ")

    @property
    def title(self) -> str:
        """``Invoice lines``."""
        return self.plural.replace("_", " ").capitalize()

    @property
    def article(self) -> str:
        """``a`` or ``an``."""
        silent = re.match(r"uni|use|eu|one", self.singular)
        return "an" if self.singular[0] in "aeiou" and not silent else "a"

    @property
    def tablename(self) -> str | None:
        """What ``__tablename__`` must say; None where SQLModel's own name is right."""
        return None if self.table == self.entity.lower() else self.table


def snake(name: str) -> str:
    """``invoice_line`` of ``InvoiceLine``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def entity_names(entity: str, plural: str | None = None, table: str | None = None) -> EntityNames:
    """Check the name of an entity, and derive the others.

    Raises:
        CallError: A name cannot be used.
    """
    if not _ENTITY.fullmatch(entity):
        raise CallError(f"--entity {entity!r}: write a name in CamelCase, such as Invoice or InvoiceLine")
    _short("--entity", entity)
    singular = snake(entity)
    if keyword.iskeyword(singular):
        raise CallError(f"--entity {entity}: {singular!r} is a keyword of Python; choose another name")
    if entity in USED or hasattr(builtins, entity):
        raise CallError(f"--entity {entity}: the service uses this name for something else; choose another")
    if entity.startswith("Test"):
        raise CallError(f"--entity {entity}: pytest would take a class of this name for a test; choose another")
    if plural is not None and not _SNAKE.fullmatch(plural):
        raise CallError(f"--plural {plural!r}: write it in lower case, such as invoice_lines")
    plural = plural or _plural(singular)
    _short("--plural", plural)
    if plural == singular:
        raise CallError(f"--plural {plural}: it must differ from the singular")
    if keyword.iskeyword(plural) or plural in _LOCAL:
        raise CallError(f"--plural {plural}: the name is taken by Python or by the endpoints; choose another --plural")
    return EntityNames(entity, singular, plural, _table(entity, table or singular))


def field_name(name: str, *, column: bool = True) -> str:
    """Check the name of a field.

    Args:
        column: The database sees it. The name of a reference is seen by Python alone.

    Raises:
        CallError: It cannot be used.
    """
    if not _SNAKE.fullmatch(name):
        raise CallError(f"field {name!r}: write a name in lower case, such as due_on")
    _short("field", name)
    if keyword.iskeyword(name):
        reason = "is a keyword of Python"
    elif name in _TEMPLATE:
        reason = "belongs to the template, which fills it by itself"
    elif name in INHERITED or name.startswith("model_"):
        reason = "would hide an attribute of SQLModel"
    elif hasattr(builtins, name):
        reason = "would hide a function of Python"
    elif name in _QUERY | _FUNCTIONS:
        reason = "is used by the generated code"
    elif column and (databases := reserved_by(name)):
        reason = f"is a reserved word of {' and '.join(databases)}"
    else:
        return name
    raise CallError(f"field {name}: the name {reason}; choose another")


def check_identifiers(identifiers: list[str]) -> None:
    """Check the names of constraints and indexes.

    Raises:
        CallError: One is too long for PostgreSQL.
    """
    for one in identifiers:
        if len(one) > IDENTIFIER:
            raise CallError(
                f"the name {one} would have {len(one)} characters, and PostgreSQL keeps {IDENTIFIER}; shorten the "
                "field, or give a short --table"
            )


def _table(entity: str, table: str) -> str:
    if not _SNAKE.fullmatch(table):
        raise CallError(f"--table {table!r}: write it in lower case, such as invoice_line")
    _short("--table", table)
    if databases := reserved_by(table):
        raise CallError(
            f"--entity {entity}: the table {table} would be a reserved word of {' and '.join(databases)}; "
            f"name it with --table, such as --table {table}_record"
        )
    if table == "alembic_version" or table.startswith("sqlite_"):
        raise CallError(f"--entity {entity}: Alembic or SQLite has a table {table} of its own; choose another --table")
    return table


def _short(what: str, name: str) -> None:
    if len(name) > LONGEST[what]:
        raise CallError(f"{what} {name}: {len(name)} characters; at most {LONGEST[what]}")


def _plural(singular: str) -> str:
    """The plural of the last word by the rules of English."""
    *before, word = singular.split("_")
    if word in _WITHOUT_PLURAL:
        raise CallError(f"--entity: {word!r} has no plural to derive; name one with --plural, such as {word}_items")
    if word in _IRREGULAR:
        plural = _IRREGULAR[word]
    elif word.endswith("sis"):
        plural = word[:-2] + "es"
    elif re.search(r"[^aeiou]y$", word):
        plural = word[:-1] + "ies"
    elif re.search(r"(s|x|z|ch|sh)$", word):
        plural = word + "es"
    else:
        plural = word + "s"
    return "_".join([*before, plural])
