"""The rules by id, and the checks that look for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from auditing.finding import Found
from project_source.modules import Module
from project_source.project import Project

Severity = Literal["error", "warning"]
Check = Callable[[Project, Module], Iterator[Found]]
ProjectCheck = Callable[[Project], Iterator[Found]]


@dataclass(frozen=True)
class Rule:
    """A kind of mistake.

    Attributes:
        title: What it flags, in a few words.
        why: One sentence.
        severity: "error" where it fails or loses data, "warning" where it may.
    """

    id: str
    title: str
    severity: Severity
    why: str

    @property
    def card(self) -> str:
        """Where the ❌ and ✅ of the rule are listed, from the skill's folder."""
        return f"references/anti-patterns.md#{self.id.lower()}"


_TABLE: tuple[tuple[str, str, Severity, str], ...] = (
    ("ASM001", "session that expires its objects", "error", "After a commit each attribute asks the database again, and an async session cannot: MissingGreenlet, or `{}` as a response."),
    ("ASM002", "exec() on SQLAlchemy's session", "error", "Only SQLModel's AsyncSession has exec(); async_sessionmaker makes SQLAlchemy's where `class_` is missing."),
    ("ASM003", "coroutine of a session without await, or await in the wrong place", "error", "Without await nothing is sent, and the only sign is a RuntimeWarning."),
    ("ASM004", "one session in several tasks", "error", "A session holds one connection; tasks that share it fail while it has no connection yet, or mix their transactions."),
    ("ASM005", "session or engine that lives too long or too short", "error", "A session of the module is shared by all requests; an engine made in each request opens a pool each time."),
    ("ASM006", "commit after the response", "error", "The code after `yield` runs after the response unless the dependency has scope=\"function\": the client is told 201 and the row is lost."),
    ("ASM007", "session that leaves its block", "error", "A session that is returned out of its `async with`, or taken from a generator that is not run to its end, is never closed."),
    ("ASM008", "session in background work or a stream", "error", "The request's session is closed when the work runs, and opens itself again: a connection that nobody returns."),
    ("ASM009", "error that is swallowed beside a session", "error", "A dependency that does not raise again turns errors into a 500; a session is unusable after a failed flush until it is rolled back."),
    ("ASM010", "transaction ended inside its block, or a statement for each row", "warning", "A commit inside begin() ends the block's transaction; a statement in a loop costs a round trip for each row."),
    ("ASM011", "changes that are never committed, or create_all in the wrong place", "error", "A connection that is closed without a commit rolls back; create_all races between workers and hides missing migrations."),
    ("ASM012", "database URL that fails or leaks", "error", "A sync driver, or an option that asyncpg does not know, fails at the first connection; a password must be quoted, and str(url) hides it."),
    ("ASM013", "naive datetime", "error", "SQLModel refuses a datetime without a time zone when the statement is sent."),
    ("ASM014", "annotation that a relationship cannot read", "error", "Relationship() evaluates its annotation: `from __future__ import annotations` and a union in one string break the mapper."),
    ("ASM015", "relationship or foreign key that does not fit", "error", "The mapper fails at the first query, for all models at once."),
    ("ASM016", "field that cannot become a column", "error", "The class fails when it is defined, or the column is not what the field says."),
    ("ASM017", "argument of Field that is ignored or evaluated once", "error", "The rule is not enforced, or all rows share a value that was computed at import."),
    ("ASM018", "updated_at that is stale or cannot be read", "warning", "A value that the database computes is not loaded after a flush, and reading it raises MissingGreenlet."),
    ("ASM019", "Python operator inside where()", "error", "`is`, `not`, `in`, `and` and `or` are evaluated by Python: the condition is a constant."),
    ("ASM020", "JSON column changed in place", "error", "The session sees no change, and saves none."),
    ("ASM021", "joinedload of collections, or a page without an order", "error", "A joined collection needs unique() and multiplies rows; pages without an order repeat and miss rows."),
    ("ASM022", "number from outside without bounds", "warning", "A negative limit or an id beyond the column's type is a 500, and a huge limit loads the whole table."),
    ("ASM023", "table model as request or response", "warning", "Table models do not validate, accept each column from the client, and show each column to it."),
    ("ASM024", "text of a user inside SQL", "error", "A value that becomes part of a statement can change the statement."),
    ("ASM025", "error text that reaches the client or the log", "warning", "The text of a database error holds the statement and its values."),
    ("ASM026", "idiom of an older release", "error", "It is gone, ignored or deprecated in today's releases."),
    ("ASM027", "Alembic set-up that misses something", "warning", "Autogenerate sees no models, or writes a migration that fails."),
    ("ASM028", "migration that fails or loses data", "warning", "What is quick on an empty table locks, fails or shifts data on a full one."),
    ("ASM029", "SQLite engine without its switches", "warning", "Foreign keys are off by default, and savepoints do not hold, until events set them."),
    ("ASM030", "missing package or test setting", "error", "SQLAlchemy needs greenlet, and an engine belongs to one event loop."),
)  # fmt: skip
RULES = {one[0]: Rule(*one) for one in _TABLE}
CHECKS: dict[str, list[Check]] = defaultdict(list)
PROJECT_CHECKS: dict[str, list[ProjectCheck]] = defaultdict(list)


def check(rule: str) -> Callable[[Check], Check]:
    """Register a function that looks at one Python file."""

    def register(function: Check) -> Check:
        assert rule in RULES
        CHECKS[rule].append(function)
        return function

    return register


def project_check(rule: str) -> Callable[[ProjectCheck], ProjectCheck]:
    """Register a function that looks at all files of a project once."""

    def register(function: ProjectCheck) -> ProjectCheck:
        assert rule in RULES
        PROJECT_CHECKS[rule].append(function)
        return function

    return register
