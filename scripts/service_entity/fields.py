"""Reads the text of --fields: ``number:str(20):unique total:decimal(10,2) customer:Customer``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from service_entity.errors import CallError
from service_entity.names import field_name

EXAMPLE = "number:str(20):unique total:decimal(10,2) note:text:nullable"
MODIFIERS = ("unique", "index", "nullable")
TYPES = {
    "str": "str(LENGTH)", "text": "text", "int": "int", "float": "float", "decimal": "decimal(DIGITS,PLACES)",
    "bool": "bool", "date": "date", "datetime": "datetime", "uuid": "uuid", "json": "json",
    "enum": "enum(ONE,TWO,...)",
}  # fmt: skip
MOST_CHARACTERS = 1000  # of a str; MariaDB counts 4 bytes each, and takes 65535 a row
MOST_INDEXED = 500  # PostgreSQL takes 2704 bytes in an index, MariaDB 3072
ROW_BYTES = 60_000
MOST_DIGITS = 15  # SQLite keeps a decimal as a float
MOST_PLACES = 6  # JSON would show the seventh as 1E-7
MOST_FIELDS = 60  # MariaDB takes 64 indexes a table
_TOKEN = re.compile(r"(?:[^\s()]|\([^()]*\))+")
_FIELD = re.compile(r"([^:()]*):([^:()]+)(\([^()]*\))?((?::[^:()]*)*)")
_MODEL = re.compile(r"[A-Z][A-Za-z0-9]*")
_MEMBER = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


@dataclass(frozen=True)
class Field:
    """A field as the caller wrote it.

    Attributes:
        kind: One of ``TYPES``, or "reference".
        arguments: What stands in the brackets of the type; for a reference, the name of the model.
    """

    name: str
    kind: str
    arguments: tuple[str, ...] = ()
    unique: bool = False
    index: bool = False
    nullable: bool = False

    @property
    def numbers(self) -> tuple[int, ...]:
        """The arguments of str and decimal."""
        return tuple(int(one) for one in self.arguments)


def parse(text: str) -> list[Field]:
    """Read the fields.

    Raises:
        CallError: Something is wrong with one; the error names it.
    """
    if "".join(text.split()) != "".join("".join(_TOKEN.findall(text)).split()):
        raise CallError(f"--fields {text!r}: a bracket is not closed, or stands inside another")
    fields = [_field(token) for token in _TOKEN.findall(text)]
    if not fields:
        raise CallError(f'--fields is empty; write such as "{EXAMPLE}"')
    if len(fields) > MOST_FIELDS:
        raise CallError(f"--fields: {len(fields)} fields; at most {MOST_FIELDS}")
    names = [name for field in fields for name in attributes(field)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise CallError(f"--fields: {twice[0]} would be there twice")
    size = sum(4 * field.numbers[0] for field in fields if field.kind == "str")
    if size > ROW_BYTES:
        raise CallError(
            f"--fields: the strings take {size} bytes, and MariaDB {ROW_BYTES} a row; make some of them text"
        )
    return fields


def attributes(field: Field) -> list[str]:
    """The attributes of the model: a reference has a column and a relationship."""
    return [f"{field.name}_id", field.name] if field.kind == "reference" else [field.name]


def _field(token: str) -> Field:
    match = _FIELD.fullmatch(token)
    if not match:
        raise CallError(f'field {token!r}: write name:type or name:type:modifier, such as "{EXAMPLE}"')
    name, kind, brackets, tail = match.groups()
    is_reference = bool(_MODEL.fullmatch(kind)) and not brackets
    field_name(name, column=not is_reference)
    arguments = tuple(one.strip() for one in brackets[1:-1].split(",")) if brackets else ()
    modifiers = tail.split(":")[1:]
    for one in modifiers:
        if one not in MODIFIERS:
            raise CallError(f"field {name}: no modifier {one!r}; there are {', '.join(MODIFIERS)}")
        if modifiers.count(one) > 1:
            raise CallError(f"field {name}: {one} stands there twice")
    if is_reference:
        kind, arguments = "reference", (kind,)
    elif kind not in TYPES:
        raise CallError(f"field {name}: no type {kind!r}; there are {', '.join(TYPES.values())}, and names of models")
    field = Field(name, kind, arguments, **{one: one in modifiers for one in MODIFIERS})
    _check_arguments(field)
    _check_modifiers(field)
    return field


def _check_arguments(field: Field) -> None:
    if field.kind in ("str", "decimal"):
        wanted = 1 if field.kind == "str" else 2
        if len(field.arguments) != wanted or not all(re.fullmatch(r"[0-9]{1,6}", one) for one in field.arguments):
            raise CallError(f"field {field.name}: write {TYPES[field.kind]}, in numbers")
    elif field.arguments and field.kind not in ("enum", "reference"):
        raise CallError(f"field {field.name}: {field.kind} takes nothing in brackets")
    if field.kind == "str":
        most = MOST_INDEXED if field.unique or field.index else MOST_CHARACTERS
        if not 1 <= field.numbers[0] <= most:
            hint = "in an index" if most == MOST_INDEXED else "longer ones are text"
            raise CallError(f"field {field.name}: a str has 1 to {most} characters; {hint}")
    if field.kind == "decimal":
        digits, places = field.numbers
        if not 1 <= digits <= MOST_DIGITS:
            raise CallError(f"field {field.name}: a decimal has 1 to {MOST_DIGITS} digits; SQLite keeps no more")
        if places > min(digits, MOST_PLACES):
            raise CallError(f"field {field.name}: a decimal has 0 to {MOST_PLACES} places, and no more than digits")
    if field.kind == "enum":
        _check_members(field)


def _check_members(field: Field) -> None:
    if not field.arguments:
        raise CallError(f"field {field.name}: write enum(draft,sent,paid), with the values of your own")
    for value in field.arguments:
        if not _MEMBER.fullmatch(value) or len(value) > 50:
            raise CallError(f"field {field.name}: the value {value!r} of an enum must be like draft or on_hold")
    members = [value.replace("-", "_") for value in field.arguments]
    if twice := [value for value in members if members.count(value) > 1]:
        raise CallError(f"field {field.name}: the value {twice[0]} stands there twice")


def _check_modifiers(field: Field) -> None:
    if field.kind in ("text", "json") and (field.unique or field.index):
        raise CallError(f"field {field.name}: MariaDB has no plain index on {field.kind}; use str(LENGTH), or no index")
    if field.unique and field.kind in ("str", "decimal") and field.numbers[0] < 2:
        raise CallError(f"field {field.name}: a unique {field.kind} of 1 character allows ten rows; give it more")
    if field.kind in ("bool", "enum") and field.unique:
        raise CallError(f"field {field.name}: a unique {field.kind} allows one row for each value; leave unique out")
    if field.kind == "reference" and field.index:
        raise CallError(f"field {field.name}: a reference has an index already; leave index out")
    if field.unique and field.index:
        raise CallError(f"field {field.name}: unique has an index already; leave index out")
