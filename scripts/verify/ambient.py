"""Names that every section has. section.py imports them for linters and type checkers; the runner makes them.

Attributes:
    engine: An engine for the section's database, as the template's ``make_engine`` makes it.
    session: A session of that engine, as the template's ``make_sessions`` makes it.
    client: Sends requests to the section's ``app``, which a real uvicorn serves.
"""

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

engine: AsyncEngine
session: AsyncSession
client: httpx.AsyncClient
