from fastapi import FastAPI
from sqlmodel import SQLModel

from app.db import engine
from app.routes import products

app = FastAPI()
app.include_router(products.router)


@app.on_event("startup")  # <- ASM026
async def start():
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)  # <- ASM011
