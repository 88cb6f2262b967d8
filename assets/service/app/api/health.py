"""For load balancers: whether the process lives, and whether it can serve."""

import asyncio

from fastapi import APIRouter
from sqlmodel import text

from app.database import SessionDep
from app.errors import Unavailable

router = APIRouter(prefix="/health", tags=["health"])
READY_SECONDS = 2.0


@router.get("/live")
async def live() -> dict[str, str]:
    """The process answers. It does not ask the database: a restart would not mend that."""
    return {"status": "live"}


@router.get("/ready")
async def ready(session: SessionDep) -> dict[str, str]:
    """The database answers in time."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await session.exec(text("SELECT 1"))  # type: ignore[call-overload]
    except TimeoutError:
        raise Unavailable("The database does not answer in time") from None
    return {"status": "ready"}
