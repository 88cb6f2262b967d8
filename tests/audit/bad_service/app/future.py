from __future__ import annotations  # <- ASM014

from sqlmodel import Field, Relationship, SQLModel


class Order(SQLModel, table=True):
    __tablename__ = "orders"

    id: int | None = Field(default=None, primary_key=True)
    lines: list[OrderLine] = Relationship(back_populates="order")


class OrderLine(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    order_id: int = Field(foreign_key="orders.id")
    order: Order = Relationship(back_populates="lines")
