import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import joinedload
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.db import engine, get_session, swallowing_session
from app.models import Product, Shop

router = APIRouter()
SessionDep = Annotated[AsyncSession, Depends(get_session)]  # <- ASM006


@router.get("/products")
async def list_products(session: SessionDep, skip: int = 0, limit: int = 100):  # <- ASM022
    return (await session.exec(select(Product).offset(skip).limit(limit))).all()  # <- ASM021


@router.post("/products", response_model=Product)  # <- ASM023
async def create_product(product: Product, session: SessionDep):  # <- ASM023
    session.add(product)
    try:
        await session.commit()
    except IntegrityError as error:  # <- ASM009
        print(error)
    session.flush()  # <- ASM003
    return product


@router.patch("/products/{id}")
async def change_product(id: int, data: dict, session: SessionDep):  # <- ASM022
    product = await session.get(Product, id)
    try:
        product.data["changed"] = True  # <- ASM020
        await session.commit()
    except Exception as error:
        raise HTTPException(500, detail=str(error))  # <- ASM025
    return {"ok": True}


@router.get("/shops")
async def list_shops(session: SessionDep):
    shops = await session.exec(select(Shop).options(joinedload(Shop.products)))
    return shops.all()  # <- ASM021


@router.get("/search")
async def search(q: str, session: SessionDep):
    statement = text(f"SELECT * FROM product WHERE name = '{q}'")  # <- ASM024
    rows = await session.execute(statement)  # <- ASM026
    return rows.mappings().all()


@router.get("/orphans")
async def orphans(session: SessionDep):
    return (await session.exec(select(Product).where(Product.shop_id is None))).all()  # <- ASM019


@router.get("/cheap")
async def cheap(session: SessionDep):
    return (await session.exec(select(Product).where(Product.price < 5 and Product.shop_id == 1))).all()  # <- ASM019


@router.get("/both")
async def both(session: SessionDep):
    return await asyncio.gather(  # <- ASM004
        session.exec(select(Product)),
        session.exec(select(Shop)),
    )


@router.post("/report")
async def report(session: SessionDep):
    asyncio.create_task(write_report(session))  # <- ASM008
    return {"ok": True}


async def write_report(session: AsyncSession):
    async with session.begin():
        product = (await session.exec(select(Product))).first()
        session.delete(product)  # <- ASM003
        await session.commit()  # <- ASM010


@router.get("/export")
async def export(session: SessionDep):
    async def rows():
        for product in await session.exec(select(Product)):
            yield product.model_dump_json()

    return StreamingResponse(rows())  # <- ASM008


@router.get("/other")
async def other():
    other = create_async_engine("postgresql+asyncpg://localhost/other")  # <- ASM005
    async with other.connect() as connection:
        await connection.execute(text("DELETE FROM product"))  # <- ASM011
    async with engine.connect() as connection:
        return (await connection.execute(text("SELECT 1"))).scalar()


@router.get("/first")
async def first(session: Annotated[AsyncSession, Depends(swallowing_session, scope="function")]):
    return await session.exec(select(Product).limit(1)).first()  # <- ASM003
