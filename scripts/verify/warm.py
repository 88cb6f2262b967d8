"""What the fork server loads once, so that no section pays for it."""

import importlib

for name in (
    "aiosqlite",
    "alembic.autogenerate",
    "alembic.command",
    "alembic.config",
    "alembic.runtime.environment",
    "asyncmy",
    "asyncpg",
    "fastapi",
    "fastapi.responses",
    "httpx",
    "pydantic_settings",
    "sqlalchemy.dialects.mysql.asyncmy",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "sqlalchemy.ext.asyncio",
    "sqlmodel.ext.asyncio.session",
    "uvicorn",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
    "verify.section",
):
    importlib.import_module(name)
