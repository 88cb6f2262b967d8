from fastapi import FastAPI
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlmodel import SQLModel

DATABASE_URL = "postgresql+asyncpg://shop@localhost/shop?sslmode=require"  # <- ASM012
engine = create_async_engine(DATABASE_URL)
sessions = async_sessionmaker(engine)  # <- ASM001, ASM002
session = sessions()  # <- ASM005
local = create_async_engine("sqlite+aiosqlite:///:memory:", pool_size=5)  # <- ASM029


@event.listens_for(engine, "connect")  # <- ASM029
def on_connect(connection, record):
    connection.execute("SET search_path TO shop")


async def get_session():
    async with sessions() as session:
        yield session
        await session.commit()


async def swallowing_session():
    async with sessions() as session:
        try:
            yield session
            await session.commit()
        except Exception:  # <- ASM009
            await session.rollback()


async def open_session():
    async with sessions() as session:
        return session  # <- ASM007


async def first_session():
    async for session in get_session():  # <- ASM007
        return session


async def lifespan(app: FastAPI):
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    yield
