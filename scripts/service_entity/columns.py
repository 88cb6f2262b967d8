"""What a field becomes: annotations, a column, filters, and values for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service_entity.errors import CallError
from service_entity.fields import Field
from service_entity.names import EntityNames

NUMBER = "number"  # of the row, in tests/factories.py


@dataclass(frozen=True)
class Model:
    """A table model that the service has.

    Attributes:
        module: ``app.models.customer``.
        problem: Why no reference can name it; empty where one can.
    """

    name: str
    module: str
    table: str
    problem: str = ""


@dataclass(frozen=True)
class Column:
    """A field in each of its places. Everything is Python source.

    Attributes:
        name: Of the column: ``customer_id`` for the reference ``customer``.
        type: What a client writes.
        public: What a response holds.
        sql: The type in the migration.
        first: A value for tests.
        second: Another; the first sorts before it.
        factory: A value that differs from row to row, where it is unique.
        wrong: Values that are refused.
        checks: Arguments of ``Field`` that validate.
        stored: Arguments of ``Field`` that describe the column alone.
        alias: The definition of ``type``, where it has one of its own.
        filters: Operators and the type of their values; the empty operator means equal.
        is_sorted: Whether a list can be sorted by it.
        model: What a reference refers to.
    """

    field: Field
    name: str
    type: str
    public: str
    sql: str
    first: str
    second: str
    factory: str
    wrong: tuple[str, ...]
    checks: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()
    alias: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    is_sorted: bool = False
    model: Model | None = None

    @property
    def nullable(self) -> bool:
        """Whether it takes null."""
        return self.field.nullable

    @property
    def is_indexed(self) -> bool:
        """Whether it is a plain index, or the unique index of a reference."""
        return self.field.index or self.model is not None


def column(field: Field, names: EntityNames, models: dict[str, Model]) -> Column:
    """Make the column of a field.

    Raises:
        CallError: It refers to a model that is not there, or that cannot be referred to.
    """
    if field.kind == "reference":
        return _reference(field, names, models)
    return _KINDS[field.kind](field, _own_type(field, names))


def enum_members(field: Field) -> list[tuple[str, str]]:
    """Names and values of an enum's members."""
    return [(value.replace("-", "_").upper(), value) for value in field.arguments]


def _own_type(field: Field, names: EntityNames) -> str:
    """``InvoiceDueOn``."""
    return names.entity + "".join(word.capitalize() for word in field.name.split("_"))


def _ranged(field: Field, kind: str) -> tuple[tuple[str, str], ...]:
    """Filters of what has an order. Without an index there are none: they would read the whole table."""
    return (("", kind), ("ge", kind), ("lt", kind)) if field.index or field.unique else ()


def _text(length: int) -> str:
    return f"Annotated[Text, Field(max_length={length})]"


def _str(field: Field, own: str) -> Column:
    (length,) = field.numbers
    found = field.unique or field.index
    words = field.name.replace("_", " ")
    number = f'f"{words} {{{NUMBER}}}"' if len(words) + 7 <= length else f"str({NUMBER} % {10 ** min(length, 6)})"
    too_long = f'"x" * {length + 1}'
    alias = (
        f"Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length={length}), "
        "AfterValidator(storable)]"
    )
    return Column(
        field, field.name, own if field.unique else "Text", "str",
        sql=f"exact_text({length})" if found else f"sa.String({length})",
        first='"a"', second='"b"', factory=number if field.unique else '"a"',
        wrong=(too_long, r'"\x00"', "1", *(['""'] if field.unique else [])),
        checks=() if field.unique else (f"max_length={length}",),
        stored=(f"sa_type=exact_text({length})",) if found else (),
        alias=alias if field.unique else "",
        filters=tuple((operator, _text(length)) for operator in ("", "icontains", "startswith")) if found else (),
        is_sorted=found,
    )  # fmt: skip


def _long_text(field: Field, _own: str) -> Column:
    return Column(
        field, field.name, "Text", "str", "sa.Text()", '"a"', '"b"', '"a"', ('"x" * 16_001', r'"\x00"'),
        checks=("max_length=16_000",), stored=("sa_type=LongText",),
    )  # fmt: skip


def _int(field: Field, _own: str) -> Column:
    bounds = ("ge=-MAX_INT", "le=MAX_INT")
    return Column(
        field, field.name, "int", "int", "sa.Integer()", "1", "2", NUMBER if field.unique else "1",
        ("2**31", "1.5", '"x"'), checks=bounds,
        filters=_ranged(field, f"Annotated[int, Field({', '.join(bounds)})]"),
        is_sorted=field.unique or field.index,
    )  # fmt: skip


def _float(field: Field, _own: str) -> Column:
    return Column(
        field, field.name, "FiniteFloat", "float", "sa.Double()", "1.5", "2.5",
        f"float({NUMBER})" if field.unique else "1.5", ('"NaN"', '"x"'), stored=("sa_type=Double",),
        filters=_ranged(field, "FiniteFloat"), is_sorted=field.unique or field.index,
    )  # fmt: skip


def _decimal(field: Field, own: str) -> Column:
    digits, places = field.numbers
    step = "1" if not places else f"0.{'0' * (places - 1)}1"
    before = digits - places
    fraction = f".{'0' * places}" if places else ""
    if before:
        first, second = f'"1{fraction}"', f'"2{fraction}"'
        number = f"str({NUMBER} % {10 ** min(before, 6)})"
    else:
        first, second = f'"{step}"', f'"{step[:-1]}2"'
        number = f'f"0.{{{NUMBER} % {10**places}:0{places}}}"'
    too_fine = f'"0.{"0" * places}1"'
    checks = (f"max_digits={digits}", f"decimal_places={places}")
    return Column(
        field, field.name, own, "Decimal", f"sa.Numeric({digits}, {places})", first, second,
        number if field.unique else first, (f'"1{"0" * before}"', too_fine, '"NaN"'), checks=(),
        stored=checks,
        alias=f"Annotated[Decimal, Field({', '.join(checks)}), "
        f'AfterValidator(lambda {field.name}: {field.name}.quantize(Decimal("{step}")))]',
        filters=_ranged(field, f"Annotated[Decimal, Field({', '.join(checks)})]"),
        is_sorted=field.unique or field.index,
    )  # fmt: skip


def _bool(field: Field, _own: str) -> Column:
    return Column(
        field, field.name, "bool", "bool", "sa.Boolean()", "False", "True", "False", ('"maybe"', "7"),
        filters=(("", "bool"),) if field.index else (),
    )  # fmt: skip


def _date(field: Field, own: str) -> Column:
    return Column(
        field, field.name, own, "date", "sa.Date()", '"2026-01-01"', '"2026-01-02"',
        f'f"{{2000 + {NUMBER} % 7000}}-01-01"' if field.unique else '"2026-01-01"',
        ('"2026-13-01"', '"0999-12-31"', '"x"'),
        alias="Annotated[date, Field(ge=date(1000, 1, 1))]",
        filters=_ranged(field, own), is_sorted=field.unique or field.index,
    )  # fmt: skip


def _datetime(field: Field, _own: str) -> Column:
    return Column(
        field, field.name, "Moment", "datetime", "AT", '"2026-01-01T12:00:00.123456Z"', '"2026-01-01T12:00:00.123457Z"',
        f'f"{{2000 + {NUMBER} % 7000}}-01-01T12:00:00Z"' if field.unique else '"2026-01-01T12:00:00Z"',
        ('"2026-01-01T12:00:00"', '"0999-12-31T12:00:00Z"', '"x"'), stored=("sa_type=UTCMicroseconds",),
        filters=_ranged(field, "Moment"), is_sorted=field.unique or field.index,
    )  # fmt: skip


def _uuid(field: Field, _own: str) -> Column:
    value = "00000000-0000-4000-8000-{:012}"
    return Column(
        field, field.name, "UUID", "UUID", "sa.Uuid()", f'"{value.format(1)}"', f'"{value.format(2)}"',
        f'f"{{{NUMBER}:032x}}"' if field.unique else f'"{value.format(1)}"', ('"x"', "1"),
        filters=(("", "UUID"),) if field.unique or field.index else (),
    )  # fmt: skip


def _json(field: Field, _own: str) -> Column:
    return Column(
        field, field.name, "JsonObject", "dict[str, Any]", "JSON", '{"a": [1, None]}', '{"b": {"c": "d"}}', "{}",
        ('"x"', "[1]", r'{"a": "\x00"}'), stored=("sa_type=portable_json()",),
    )  # fmt: skip


def _enum(field: Field, own: str) -> Column:
    length = max(20, *map(len, field.arguments))
    values = ", ".join(f'"{value}"' for value in field.arguments)
    first, second = f'"{field.arguments[0]}"', f'"{field.arguments[-1]}"'
    size = "" if length == 20 else f", length={length}"
    listed = f"Annotated[list[{own}], Field(max_length={max(10, len(field.arguments))})]"
    return Column(
        field, field.name, own, own,
        f'sa.Enum({values}, name="{own.lower()}", native_enum=False, length={length})',
        first, second, first, ('"no such value"', "1"), stored=(f"sa_type=enum_by_value({own}{size})",),
        filters=(("in", listed),) if field.index else (),
    )  # fmt: skip


_KINDS: dict[str, Callable[[Field, str], Column]] = {
    "str": _str, "text": _long_text, "int": _int, "float": _float, "decimal": _decimal, "bool": _bool, "date": _date,
    "datetime": _datetime, "uuid": _uuid, "json": _json, "enum": _enum,
}  # fmt: skip


def _reference(field: Field, names: EntityNames, models: dict[str, Model]) -> Column:
    (wanted,) = field.arguments
    if wanted == names.entity:
        if not field.nullable or field.unique:
            raise CallError(
                f"field {field.name}: a reference of {wanted} to itself must be nullable, and not unique: the first "
                "row has nothing to refer to"
            )
        model = Model(wanted, f"app.models.{names.singular}", names.table)
    elif wanted not in models:
        there = ", ".join(sorted(name for name, model in models.items() if not model.problem))
        raise CallError(f"field {field.name}: app/models has no table model {wanted}; there are {there or 'none'}")
    else:
        model = models[wanted]
    if model.problem:
        raise CallError(f"field {field.name}: {wanted} cannot be referred to: {model.problem}")
    return Column(
        field, f"{field.name}_id", "int", "int", "sa.Integer()", "1", "2", "1", ("0", "2**31", '"x"'),
        checks=("ge=1", "le=MAX_INT"),
        stored=(f'foreign_key="{model.table}.id"', *(['ondelete="SET NULL"'] if field.nullable else [])),
        filters=(("", "Key"), ("in", "Annotated[list[Key], Field(max_length=100)]")),
        model=model,
    )  # fmt: skip
