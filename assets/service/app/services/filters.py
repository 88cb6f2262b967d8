"""Filters from the query string: a Pydantic model is allow-list, type check and OpenAPI document at once."""

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, func, inspect
from sqlmodel import SQLModel

Operator = Callable[[Any, Any], ColumnElement[bool]]
OPERATORS: dict[str, Operator] = {
    "eq": lambda column, value: column == value,
    "ne": lambda column, value: column.is_distinct_from(value),  # a row without a value differs from any value
    "gt": lambda column, value: column > value,
    "ge": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "le": lambda column, value: column <= value,
    "in": lambda column, value: column.in_(value),
    "not_in": lambda column, value: column.not_in(value),
    "between": lambda column, value: column.between(value[0], value[1]),
    "not_between": lambda column, value: ~column.between(value[0], value[1]),
    "is_null": lambda column, value: column.is_(None) if value else column.is_not(None),
    "contains": lambda column, value: column.contains(value, autoescape=True),
    "not_contains": lambda column, value: ~column.contains(value, autoescape=True),
    "icontains": lambda column, value: column.icontains(value, autoescape=True),
    "not_icontains": lambda column, value: ~column.icontains(value, autoescape=True),
    "startswith": lambda column, value: column.startswith(value, autoescape=True),
    "not_startswith": lambda column, value: ~column.startswith(value, autoescape=True),
    "endswith": lambda column, value: column.endswith(value, autoescape=True),
    "not_endswith": lambda column, value: ~column.endswith(value, autoescape=True),
    # with these the caller writes the pattern: keep them off public APIs
    "like": lambda column, value: column.like(value),
    "not_like": lambda column, value: column.not_like(value),
    "ilike": lambda column, value: column.ilike(value),
    "not_ilike": lambda column, value: column.not_ilike(value),
    # PostgreSQL only; it needs an index on to_tsvector('simple', column)
    "search": lambda column, value: func.to_tsvector("simple", column).bool_op("@@")(
        func.websearch_to_tsquery("simple", value)
    ),
}
RESERVED = frozenset({"sort", "limit", "offset", "cursor"})


class FilterBase(BaseModel):
    """Base of the filters of one table.

    Name a field ``column__operator`` (``column`` alone means equal), and the allowed orders in ``sort``::

        class HeroFilter(FilterBase):
            table = Hero
            age__ge: int | None = None
            sort: Literal["name", "-name"] = "name"

    Raises:
        TypeError: When the class is defined: a column or an operator does not exist. A typo never widens a query.
    """

    model_config = ConfigDict(extra="forbid")
    table: ClassVar[type[SQLModel]]

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        columns = inspect(cls.table).column_attrs.keys()
        for name in cls.model_fields.keys() - RESERVED:
            column, _, operator = name.partition("__")
            if column not in columns:
                raise TypeError(f"{cls.__name__}.{name}: {cls.table.__name__} has no column {column!r}")
            if operator and operator not in OPERATORS:
                raise TypeError(f"{cls.__name__}.{name}: no operator {operator!r}; one of {', '.join(OPERATORS)}")

    def where(self) -> list[ColumnElement[bool]]:
        """The conditions for the fields that are given. A field that is None says nothing."""
        conditions = []
        for name in sorted(self.model_fields_set - RESERVED):
            value = getattr(self, name)
            if value is not None:
                column, _, operator = name.partition("__")
                conditions.append(OPERATORS[operator or "eq"](getattr(self.table, column), value))
        return conditions

    def order_by(self) -> list[Any]:
        """The order that ``sort`` names: "name" or "-name", or a list of such."""
        sort = getattr(self, "sort", None) or []
        names = [sort] if isinstance(sort, str) else sort
        columns = [(getattr(self.table, name.removeprefix("-")), name.startswith("-")) for name in names]
        return [column.desc() if descending else column.asc() for column, descending in columns]
