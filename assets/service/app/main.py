"""The application: `uvicorn app.main:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app.api import health, heroes, missions, tags, teams, users
from app.api.errors import install_errors
from app.config import Settings, get_settings
from app.database import make_engine, make_sessions, normalize_url


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the application.

    Args:
        settings: In place of those of the environment.
    """
    settings = settings or get_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = make_engine(
            normalize_url(settings.database_url.get_secret_value()),
            pool_size=settings.pool_size,
            max_overflow=settings.max_overflow,
            pool_timeout=settings.pool_timeout,
            echo=settings.echo_sql,
            hide_parameters=True,
        )
        app.state.engine, app.state.sessions = engine, make_sessions(engine)
        yield
        await engine.dispose()

    app = FastAPI(title=settings.title, lifespan=lifespan)
    install_errors(app)
    for module in (health, teams, heroes, tags, missions, users):
        app.include_router(module.router)
    return app


app = create_app()
