"""Soft delete for services: deleted rows stay in the table, and out of every statement of the service."""

from collections.abc import Sequence
from typing import Any

from sqlmodel import col

from app.errors import NotFound
from app.models.base import utcnow
from app.services.base import CreateT, Key, ModelT, ServiceBase, UpdateT, Where


class SoftDeleteService(ServiceBase[ModelT, CreateT, UpdateT]):
    """A ServiceBase for tables with the mixin SoftDelete. A unique value stays taken until the row is purged."""

    with_deleted = False

    def scope(self) -> tuple[Where, ...]:
        """Rows that are not deleted."""
        return () if self.with_deleted else (col(self.model.deleted_at).is_(None),)  # type: ignore[attr-defined]

    async def delete_where(self, *where: Where) -> int:
        """Mark rows as deleted."""
        return await self.update_where(*where, values={"deleted_at": utcnow()})

    async def restore(self, pk: Key) -> ModelT:
        """Bring a deleted row back.

        Raises:
            NotFound: No such row is deleted.
        """
        every = type(self)(self.session)
        every.with_deleted = True
        deleted = col(self.model.deleted_at).is_not(None)  # type: ignore[attr-defined]
        if not await every.update_where(self.key == pk, deleted, values={"deleted_at": None}):
            raise NotFound(f"no deleted {self.name} {pk}")
        return await self.get(pk)

    async def upsert(self, rows: Sequence[CreateT], *, on: Sequence[str], **extra: Any) -> int:
        """Insert or overwrite rows; a deleted row comes back."""
        return await super().upsert(rows, on=on, **{"deleted_at": None, **extra})
