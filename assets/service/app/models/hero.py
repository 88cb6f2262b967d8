"""Heroes."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Optional

from pydantic import AfterValidator, ConfigDict
from sqlalchemy import Index
from sqlmodel import Field, Relationship, SQLModel

from app.models.base import (
    MAX_INT,
    JsonObject,
    Name,
    SoftDelete,
    Timestamps,
    Versioned,
    enum_by_value,
    exact_text,
    portable_json,
)
from app.models.tag import HeroTag, Tag, TagPublic
from app.models.team import Team, TeamPublic

Power = Annotated[
    Decimal, Field(ge=0, max_digits=8, decimal_places=2), AfterValidator(lambda power: power.quantize(Decimal("0.01")))
]


class HeroStatus(str, Enum):
    """Whether a hero can be sent on a mission."""

    ACTIVE = "active"
    INJURED = "injured"
    RETIRED = "retired"


class HeroBase(SQLModel):
    """What a client writes."""

    name: Name = Field(sa_type=exact_text(50), unique=True)
    secret_name: Name = Field(max_length=50)
    age: int | None = Field(default=None, ge=0, le=MAX_INT, index=True)
    status: HeroStatus = Field(default=HeroStatus.ACTIVE, sa_type=enum_by_value(HeroStatus))
    power: Power = Field(default=Decimal("0.00"), max_digits=8, decimal_places=2, index=True)
    profile: JsonObject = Field(default_factory=dict, sa_type=portable_json())
    team_id: int | None = Field(default=None, ge=1, le=MAX_INT, foreign_key="team.id", ondelete="SET NULL", index=True)


class Hero(SoftDelete, Versioned, Timestamps, HeroBase, table=True):
    """Somebody with a secret name."""

    __table_args__ = (Index("ix_hero_created_at", "created_at"),)

    id: int | None = Field(default=None, primary_key=True)
    profile: dict[str, Any] = Field(default_factory=dict, sa_type=portable_json())
    team: Optional[Team] = Relationship(back_populates="heroes", sa_relationship_kwargs={"lazy": "raise"})
    tags: list[Tag] = Relationship(link_model=HeroTag, sa_relationship_kwargs={"lazy": "raise", "order_by": "Tag.name"})


class HeroCreate(HeroBase):
    """Body of a POST."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]


class HeroUpdate(SQLModel):
    """Body of a PATCH: what is absent stays; null only where the column takes it."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]

    name: Name = Field(default=None)
    secret_name: Name = Field(default=None)
    age: int | None = Field(default=None, ge=0, le=MAX_INT)
    status: HeroStatus = Field(default=None)
    power: Power = Field(default=None)
    profile: JsonObject = Field(default=None)
    team_id: int | None = Field(default=None, ge=1, le=MAX_INT)


class HeroPublic(SQLModel):
    """A response. The secret name stays where it is."""

    id: int
    name: str
    age: int | None
    status: HeroStatus
    power: Decimal
    profile: dict[str, Any]
    team_id: int | None
    version: int
    created_at: datetime
    updated_at: datetime


class HeroDetail(HeroPublic):
    """A response with team and tags."""

    team: TeamPublic | None
    tags: list[TagPublic]


class Transfer(SQLModel):
    """Body of a transfer from one team to another."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]

    from_team_id: int = Field(ge=1, le=MAX_INT)
    to_team_id: int = Field(ge=1, le=MAX_INT)
