"""Types that mean the same on PostgreSQL, MariaDB and SQLite, and mixins for tables."""

import json
import math
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, StringConstraints
from sqlalchemy import JSON, Dialect, String
from sqlalchemy import Enum as EnumType
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.orm import declared_attr
from sqlalchemy.types import TypeEngine
from sqlmodel import Field, SQLModel, UTCDateTime

# before any table: constraints need names to be dropped by a migration
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

MAX_INT = 2**31 - 1  # of an INTEGER column
MAX_JSON = 20_000  # characters of a JSON column


class UTCMicroseconds(UTCDateTime):
    """An aware datetime in UTC that keeps its microseconds on MariaDB and MySQL too."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """DATETIME(6) there; the plain type has no fraction."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return super().load_dialect_impl(dialect)


def utcnow() -> datetime:
    """Now, aware."""
    return datetime.now(UTC)


def exact_text(length: int) -> Any:
    """A string that compares by its characters: MariaDB would take 'Ada' and 'ADA' for the same."""
    return String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def portable_json() -> Any:
    """JSON, as JSONB on PostgreSQL; None is stored as NULL. Call it anew for each column."""
    return JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def enum_by_value(kind: type[Enum], length: int = 20) -> Any:
    """An enum stored by value in a string column: a new member needs no migration."""
    return EnumType(kind, values_callable=lambda members: [m.value for m in members], native_enum=False, length=length)


def storable(text: str) -> str:
    """Refuse what PostgreSQL cannot store: NUL and lone surrogates.

    Raises:
        ValueError: The text holds one.
    """
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode") from None
    return text


def storable_json(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse JSON that some database cannot store.

    Raises:
        ValueError: It is too long or nested too deeply, or holds NaN, NUL or lone surrogates.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (ValueError, RecursionError):
        raise ValueError("must be JSON without NaN and Infinity") from None
    if len(text) > MAX_JSON:
        raise ValueError(f"must not be longer than {MAX_JSON} characters as JSON")
    pending: list[Any] = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            storable(one)
        elif isinstance(one, dict):
            pending += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            pending += one
        elif isinstance(one, int) and math.fabs(one) >= 2**63:
            raise ValueError("must not hold integers of more than 64 bits")
    return value


def to_utc(moment: datetime) -> datetime:
    """The same moment in UTC.

    Raises:
        ValueError: It lies before the year 1000, where MariaDB's calendar begins, or after 9999.
    """
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1000 and 9999") from None
    if moment.year < 1000:
        raise ValueError("must lie between the years 1000 and 9999")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(to_utc)]
Text = Annotated[str, AfterValidator(storable)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50), AfterValidator(storable)]
JsonObject = Annotated[dict[str, Any], AfterValidator(storable_json)]


class Timestamps(SQLModel):
    """When a row was made and last changed, in UTC with microseconds."""

    created_at: datetime = Field(default_factory=utcnow, sa_type=UTCMicroseconds)
    updated_at: datetime = Field(default_factory=utcnow, sa_type=UTCMicroseconds, sa_column_kwargs={"onupdate": utcnow})


class SoftDelete(SQLModel):
    """A deleted row stays, out of sight of its service."""

    deleted_at: datetime | None = Field(default=None, sa_type=UTCMicroseconds, index=True)


class Versioned(SQLModel):
    """Counts the updates of a row; an update that comes too late fails."""

    version: int = Field(default=1, nullable=False)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.__table__.c.version}  # type: ignore[attr-defined]
