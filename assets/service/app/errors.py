"""Database errors as a handful of domain errors, told apart by SQLSTATE, errno or error name, never by text."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError


class ServiceError(Exception):
    """Something that the caller can do something about. Its text is safe to show."""

    status = 500


class NotFound(ServiceError):
    """No such row, or none that the caller may see."""

    status = 404


class Conflict(ServiceError):
    """A duplicate, or a row that changed meanwhile.

    Attributes:
        constraint: Name of the violated constraint, where the database says it (PostgreSQL).
    """

    status = 409

    def __init__(self, text: str, constraint: str | None = None) -> None:
        super().__init__(text)
        self.constraint = constraint


class Stale(Conflict):
    """The version that the caller has seen is not the newest."""

    status = 412


class BadReference(ServiceError):
    """A foreign key points to nothing, or a row is still referenced."""

    status = 409


class InvalidData(ServiceError):
    """A value that the database cannot take."""

    status = 422


class Retry(ServiceError):
    """Another transaction was in the way: the same request can succeed now."""

    status = 503


class Unavailable(ServiceError):
    """The database is away, or all connections are taken."""

    status = 503


ErrorClass = type[NotFound | Conflict | BadReference | InvalidData | Retry | Unavailable]
CODES: dict[str | int, ErrorClass] = {
    # SQLSTATE
    **dict.fromkeys(("23505", "23P01"), Conflict),
    **dict.fromkeys(("23503", "23001"), BadReference),
    **dict.fromkeys(("23502", "23514"), InvalidData),
    **dict.fromkeys(("40001", "40P01", "55P03"), Retry),
    **dict.fromkeys(("57014", "57P01", "57P02", "57P03", "53300"), Unavailable),
    # errno of MariaDB and MySQL
    **dict.fromkeys((1062, 1586), Conflict),
    **dict.fromkeys((1216, 1217, 1451, 1452), BadReference),
    **dict.fromkeys((1048, 1264, 1265, 1292, 1364, 1366, 1406, 1690, 3819, 4025), InvalidData),
    **dict.fromkeys((1020, 1205, 1213), Retry),
    **dict.fromkeys((1040, 1053, 1129, 1317, 1927, 1969, 2002, 2003, 2006, 2013, 2014), Unavailable),
    # SQLite
    **dict.fromkeys(("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"), Conflict),
    "SQLITE_CONSTRAINT_FOREIGNKEY": BadReference,
    **dict.fromkeys(("SQLITE_CONSTRAINT_NOTNULL", "SQLITE_CONSTRAINT_CHECK", "SQLITE_TOOBIG"), InvalidData),
    **dict.fromkeys(("SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED", "SQLITE_BUSY_TIMEOUT"), Retry),
    **dict.fromkeys(("SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR"), Unavailable),
}
SQLSTATE_CLASSES: dict[str, ErrorClass] = {"08": Unavailable, "22": InvalidData}
TEXTS: dict[ErrorClass, str] = {
    Conflict: "already exists",
    BadReference: "refers to a row that is missing, or is still referred to",
    InvalidData: "has a value that cannot be stored",
    Retry: "is being changed by another request; try again",
    Unavailable: "is not available now",
}


def error_code(error: DBAPIError) -> str | int | None:
    """SQLSTATE (PostgreSQL), errno (MariaDB, MySQL) or error name (SQLite)."""
    arguments = getattr(error.orig, "args", ())
    if arguments and isinstance(arguments[0], int):
        return arguments[0]
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None)
    return code if isinstance(code, str) else None


def classify(error: Exception) -> ErrorClass | None:
    """Which domain error an error of the database layer is; None for a programming error."""
    if isinstance(error, DBAPIError):
        code = error_code(error)
        if code in CODES:
            return CODES[code]
        if error.connection_invalidated:
            return Unavailable
        return SQLSTATE_CLASSES.get(code[:2]) if isinstance(code, str) else None
    if isinstance(error, StatementError):  # a value that the type refused, such as a naive datetime
        return InvalidData if isinstance(error.orig, (ValueError, TypeError, OverflowError)) else None
    if isinstance(error, (OverflowError, UnicodeEncodeError)):
        return InvalidData
    return Unavailable if isinstance(error, (PoolTimeoutError, OSError)) else None


def translate(error: Exception, name: str) -> ServiceError | None:
    """The domain error for an error of the database layer; None for a programming error.

    Args:
        name: What the text is about, such as "Hero".
    """
    if isinstance(error, StaleDataError):
        return Conflict(f"{name} was changed by another request")
    kind = classify(error)
    if kind is None:
        return None
    text = f"{name} {TEXTS[kind]}"
    if kind is Conflict:
        cause = getattr(getattr(error, "orig", None), "__cause__", None)
        return Conflict(text, getattr(cause, "constraint_name", None))
    return kind(text)


@contextmanager
def database_errors(name: str) -> Iterator[None]:
    """Raise domain errors in place of database errors.

    Nothing is rolled back: a caller who wants to go on after a conflict wraps the call in ``session.begin_nested()``.
    """
    try:
        yield
    except Exception as error:
        if translated := translate(error, name):
            raise translated from error
        raise
