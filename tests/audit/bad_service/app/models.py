from datetime import datetime
from decimal import Decimal

from sqlalchemy import JSON, Column
from sqlalchemy import func
from sqlmodel import Field, Relationship, SQLModel


class Stamped(SQLModel):
    created_at: datetime = Field(default_factory=datetime.utcnow)  # <- ASM013
    updated_at: datetime | None = Field(default=None, sa_column_kwargs={"onupdate": func.now()})  # <- ASM018
    note: str | None = Field(default=None, sa_column=Column(JSON))  # <- ASM016


class Shop(Stamped, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(regex="^[a-z]+$")  # <- ASM017
    products: list["Product"] = Relationship(back_populates="store")  # <- ASM015


class Product(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    price: Decimal  # <- ASM017
    tags: list[str]  # <- ASM016
    data: dict = Field(default={}, sa_column=Column(JSON))
    made_at: float = Field(default=datetime.now().timestamp())  # <- ASM017
    shop_id: int | None = Field(default=None, foreign_key="shops.id")  # <- ASM015
    shop: "Shop | None" = Relationship(back_populates="products")  # <- ASM014


class Category(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    parent_id: int | None = Field(default=None, foreign_key="category.id")
    parent: "Category" = Relationship(back_populates="children")  # <- ASM015
    children: list["Category"] = Relationship(back_populates="parent")
