"""A generic service: typed rows in and out of one table, for one session.

It flushes and never commits: whoever opened the session does. Conditions are SQLAlchemy expressions, such as
``col(Hero.age) >= 18``. Errors are those of app/errors.py.
"""

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, and_, delete, func, insert, inspect, literal, literal_column, or_, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Mapper
from sqlalchemy.sql.base import ExecutableOption
from sqlmodel import SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from app.errors import Conflict, InvalidData, NotFound, Stale, database_errors

ModelT = TypeVar("ModelT", bound=SQLModel)
CreateT = TypeVar("CreateT", bound=BaseModel)
UpdateT = TypeVar("UpdateT", bound=BaseModel)
ItemT = TypeVar("ItemT")
Where = ColumnElement[bool]
Order = Any  # a column, or column.desc(); type checkers see the annotation of a model's field instead of its column
Options = Sequence[ExecutableOption]
Key = int | str | UUID
UPSERT: dict[str, Any] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
    "mysql": mysql.insert,
    "mariadb": mysql.insert,
}


class Page(NamedTuple, Generic[ItemT]):
    """Part of a list, and the length of the whole."""

    items: list[ItemT]
    total: int


class Slice(NamedTuple, Generic[ItemT]):
    """Part of a list, and the cursor of the next part; None at the end."""

    items: list[ItemT]
    next: str | None


class ServiceBase(Generic[ModelT, CreateT, UpdateT]):
    """Reads and writes one table with a single-column key.

    Subclass it with three types: ``class HeroService(ServiceBase[Hero, HeroCreate, HeroUpdate])``.

    Args:
        session: Of this request or job.
    """

    model: type[ModelT]
    max_limit: ClassVar[int] = 200

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, ServiceBase) and isinstance(get_args(base)[0], type):
                cls.model = get_args(base)[0]

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.name = self.model.__name__
        self.mapper: Mapper[ModelT] = inspect(self.model)
        (column,) = self.mapper.primary_key
        self.key: InstrumentedAttribute[Any] = getattr(self.model, self.mapper.get_property_by_column(column).key)

    # ---- extension ---------------------------------------------------------------------------

    def scope(self) -> tuple[Where, ...]:
        """Conditions of every statement of the service, reads and writes: soft delete, tenant, row rules."""
        return ()

    def statement(self, *where: Where, options: Options = ()) -> SelectOfScalar[ModelT]:
        """A SELECT within the scope, to build any query on."""
        return select(self.model).where(*where, *self.scope()).options(*options)

    # ---- read --------------------------------------------------------------------------------

    async def get(self, pk: Key, *, options: Options = (), lock: bool = False) -> ModelT:
        """The row with this key.

        Args:
            options: Loader options, such as ``[selectinload(Team.heroes)]``.
            lock: Take a row lock until the end of the transaction (SQLite has none: begin with SQLITE_WRITE there).

        Raises:
            NotFound: There is none within the scope.
        """
        row = await self._one(self.statement(self.key == pk, options=options), lock)
        if row is None:
            raise NotFound(f"{self.name} {pk} does not exist")
        return row

    async def first(
        self, *where: Where, order_by: Sequence[Order] = (), options: Options = (), lock: bool = False
    ) -> ModelT | None:
        """The first row that matches, in the order of ``order_by`` and the key; None where there is none."""
        statement = self.statement(*where, options=options).order_by(*order_by, self.key).limit(1)
        return await self._one(statement, lock)

    async def find(
        self,
        *where: Where,
        order_by: Sequence[Order] = (),
        limit: int = 50,
        offset: int = 0,
        options: Options = (),
    ) -> list[ModelT]:
        """Matching rows; the key breaks ties. At most ``max_limit``."""
        statement = self.statement(*where, options=options).order_by(*order_by, self.key)
        statement = statement.limit(min(limit, self.max_limit)).offset(offset or None)
        with database_errors(self.name):
            return list((await self.session.exec(statement)).unique())

    async def page(
        self,
        *where: Where,
        order_by: Sequence[Order] = (),
        limit: int = 50,
        offset: int = 0,
        options: Options = (),
    ) -> Page[ModelT]:
        """Matching rows with the number of all. A page that is not full knows it without counting."""
        items = await self.find(*where, order_by=order_by, limit=limit, offset=offset, options=options)
        if len(items) < min(limit, self.max_limit) and (items or not offset):
            return Page(items, offset + len(items))
        return Page(items, await self.count(*where))

    async def after(
        self,
        cursor: str | None,
        *where: Where,
        key: Any = None,
        desc: bool = False,
        limit: int = 50,
        options: Options = (),
    ) -> Slice[ModelT]:
        """Matching rows behind a cursor (keyset pagination): as fast on the last page as on the first.

        Args:
            cursor: ``next`` of the slice before; None for the first.
            key: Column to sort by, not nullable; rows with equal values are sorted by the primary key.

        Raises:
            InvalidData: The cursor is not one of this list.
            ValueError: ``key`` is nullable.
        """
        columns: list[Any] = [self.key] if key is None else [key, self.key]
        if key is not None and key.property.columns[0].nullable:
            raise ValueError(f"{key} is nullable: rows without a value would be skipped")
        limit = min(limit, self.max_limit)
        statement = self.statement(*where, options=options).order_by(*(c.desc() if desc else c.asc() for c in columns))
        if cursor is not None:
            statement = statement.where(_behind(columns, _decode(cursor, columns), desc))
        with database_errors(self.name):
            rows = list((await self.session.exec(statement.limit(limit + 1))).unique())
        following = _encode([getattr(rows[limit - 1], c.key) for c in columns]) if len(rows) > limit else None
        return Slice(rows[:limit], following)

    async def stream(self, *where: Where, options: Options = (), batch: int = 500) -> AsyncIterator[ModelT]:
        """Every matching row in the order of the key, with ``batch`` rows in memory. Do not commit meanwhile."""
        statement = self.statement(*where, options=options).order_by(self.key).execution_options(yield_per=batch)
        with database_errors(self.name):
            async for row in await self.session.stream_scalars(statement):
                yield row

    async def count(self, *where: Where) -> int:
        """Number of matching rows."""
        statement = select(func.count()).select_from(self.model).where(*where, *self.scope())
        with database_errors(self.name):
            return (await self.session.exec(statement)).one()

    async def exists(self, *where: Where) -> bool:
        """Whether a row matches."""
        statement = select(literal(1)).select_from(self.model).where(*where, *self.scope()).limit(1)
        with database_errors(self.name):
            return (await self.session.exec(statement)).first() is not None

    async def get_many(self, pks: Sequence[Key], *, options: Options = ()) -> list[ModelT]:
        """The rows with these keys, in the order asked.

        Raises:
            NotFound: One does not exist.
            ValueError: More than ``max_limit`` keys.
        """
        if len(pks) > self.max_limit:
            raise ValueError(f"{len(pks)} keys; at most {self.max_limit} at once")
        rows = await self.find(self.key.in_(pks), limit=self.max_limit, options=options) if pks else []
        found = {getattr(row, self.key.key): row for row in rows}
        if missing := [pk for pk in pks if pk not in found]:
            raise NotFound(f"{self.name} {missing[0]} does not exist")
        return [found[pk] for pk in pks]

    # ---- write -------------------------------------------------------------------------------

    async def create(self, data: CreateT, **extra: Any) -> ModelT:
        """Insert a row.

        Args:
            extra: Columns that the client does not write.

        Raises:
            Conflict: It exists.
            BadReference: A foreign key points to nothing.
            InvalidData: A value does not fit.
        """
        try:
            row = self.model.model_validate(data.model_dump(), update=extra)
        except ValidationError as error:
            raise InvalidData(f"{self.name}: {error.errors()[0]['msg']}") from error
        self.session.add(row)
        with database_errors(self.name):
            await self.session.flush()
        return row

    async def create_many(self, rows: Sequence[CreateT], **extra: Any) -> int:
        """Insert rows in one batch, without building objects. To know their keys, give them keys (UUID).

        Returns:
            Their number.
        """
        if rows:
            values = [data.model_dump() | extra for data in rows]
            with database_errors(self.name):
                await self.session.exec(insert(self.model), params=values)
        return len(rows)

    async def update(self, pk: Key, data: UpdateT, *, version: int | None = None, **extra: Any) -> ModelT:
        """Change the fields that the client sent (PATCH), under a row lock.

        Args:
            version: The version that the client has seen (If-Match).

        Raises:
            NotFound: No such row.
            Stale: The row has another version.
            InvalidData: A null for a column that takes none.
            Conflict: A duplicate.
        """
        changes = data.model_dump(exclude_unset=True) | extra
        columns = self.mapper.columns
        if nulls := [name for name, value in changes.items() if value is None and not columns[name].nullable]:
            raise InvalidData(f"{self.name}: {', '.join(nulls)} cannot be null")
        row = await self.get(pk, lock=True)
        if version is not None and getattr(row, "version", None) != version:
            raise Stale(f"{self.name} {pk} has changed: version {version} is not the newest")
        for name, value in changes.items():
            setattr(row, name, value)
        with database_errors(self.name):
            await self.session.flush()
        return row

    async def update_where(self, *where: Where, values: Mapping[str, Any]) -> int:
        """Change all matching rows by one statement; counts their version up.

        Returns:
            Their number.

        Raises:
            ValueError: There is no condition. ``sqlalchemy.true()`` means every row.
        """
        changed = dict(values)
        if (counter := self.mapper.version_id_col) is not None:
            changed[str(counter.key)] = counter + 1
        return await self._bulk(update(self.model).values(changed), where)

    async def delete(self, pk: Key) -> None:
        """Delete a row; what the database's ON DELETE says happens to rows that refer to it.

        Raises:
            NotFound: No such row.
            BadReference: It is still referred to.
        """
        if not await self.delete_where(self.key == pk):
            raise NotFound(f"{self.name} {pk} does not exist")

    async def delete_where(self, *where: Where) -> int:
        """Delete all matching rows by one statement.

        Returns:
            Their number.

        Raises:
            ValueError: There is no condition. ``sqlalchemy.true()`` means every row.
        """
        return await self._bulk(delete(self.model), where)

    async def upsert(self, rows: Sequence[CreateT], *, on: Sequence[str], **extra: Any) -> int:
        """Insert rows; where a row with the same ``on`` exists, overwrite what a client writes. One batch.

        The scope does not restrict it: with tenants, the tenant belongs to ``on``.

        Args:
            on: Columns of a unique constraint, not null.

        Returns:
            The number of rows given.
        """
        if not rows:
            return 0
        values = sorted((data.model_dump() | extra for data in rows), key=lambda row: [str(row[name]) for name in on])
        statement = UPSERT[self.session.get_bind().dialect.name](self.model)
        new = statement.inserted if hasattr(statement, "inserted") else statement.excluded
        changed = {name: new[name] for name in values[0] if name not in on}
        changed |= {column.key: new[column.key] for column in self.mapper.columns if column.onupdate is not None}
        if (counter := self.mapper.version_id_col) is not None:
            changed[str(counter.key)] = counter + literal_column("1")  # asyncmy's batches take no parameter here
        if hasattr(statement, "inserted"):
            statement = statement.on_duplicate_key_update(changed)
        else:
            statement = statement.on_conflict_do_update(index_elements=list(on), set_=changed)
        with database_errors(self.name):
            await self.session.exec(statement, params=values)
        self._let_go()
        return len(rows)

    async def get_or_create(self, data: CreateT, *, on: Sequence[str]) -> tuple[ModelT, bool]:
        """The row with the same ``on``, made if there is none. Safe against a race: the loser finds the winner's row.

        Args:
            on: Fields of a unique constraint.

        Returns:
            The row, and whether it was made.

        Raises:
            Conflict: A row exists that is out of scope, or that this transaction cannot see yet.
        """
        where = [getattr(self.model, name) == getattr(data, name) for name in on]
        if row := await self.first(*where):
            return row, False
        try:
            async with self.session.begin_nested():
                return await self.create(data), True
        except Conflict:
            # a locking read sees rows committed meanwhile; it is shared, so that losers do not wait in a circle
            statement = self.statement(*where).with_for_update(read=True, key_share=True)
            if row := await self._one(statement, lock=False):
                return row, False
            raise

    async def _one(self, statement: SelectOfScalar[ModelT], lock: bool) -> ModelT | None:
        if lock:  # fresh values, and a lock that leaves the foreign key checks of others alone
            statement = statement.with_for_update(key_share=True, of=self.model)
            statement = statement.execution_options(populate_existing=True)
        with database_errors(self.name):
            return (await self.session.exec(statement)).unique().one_or_none()

    async def _bulk(self, statement: Any, where: tuple[Where, ...]) -> int:
        if not where:
            raise ValueError("no condition: pass sqlalchemy.true() to touch every row")
        statement = statement.where(*where, *self.scope()).execution_options(synchronize_session=False)
        with database_errors(self.name):
            result = await self.session.exec(statement)
        self._let_go()
        return int(result.rowcount)

    def _let_go(self) -> None:
        """Forget the rows that the session holds: they are stale, stay readable, and are read anew by the next query.

        SQLAlchemy would expire them, and reading an expired attribute is a MissingGreenlet.
        """
        for row in [row for row in self.session.identity_map.values() if isinstance(row, self.model)]:
            self.session.expunge(row)


def _behind(columns: Sequence[Any], values: Sequence[Any], desc: bool) -> Where:
    """Rows behind a position. The plain range comes first: a bare OR would scan the index."""
    *leading, (last, value) = zip(columns, values, strict=True)
    behind: Where = last < value if desc else last > value
    for column, bound in reversed(leading):
        inside = or_(column < bound if desc else column > bound, behind)
        behind = and_(column <= bound if desc else column >= bound, inside)
    return behind


def _encode(values: Sequence[Any]) -> str:
    text = json.dumps([TypeAdapter(type(value)).dump_python(value, mode="json") for value in values])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _decode(cursor: str, columns: Sequence[Any]) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        types = [column.class_.model_fields[column.key].annotation for column in columns]
        decoded = [TypeAdapter(kind).validate_python(value) for kind, value in zip(types, values, strict=True)]
        if None in decoded:
            raise ValueError("null")
        return decoded
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidData("the cursor is not one of this list") from error
