"""Missions, and the part that each hero plays in them."""

from datetime import datetime

from pydantic import ConfigDict
from sqlmodel import Field, Relationship, SQLModel

from app.models.base import Moment, Name, Timestamps, UTCMicroseconds, exact_text
from app.models.hero import Hero


class MissionHero(SQLModel, table=True):
    """A hero on a mission."""

    __tablename__ = "mission_hero"

    mission_id: int = Field(foreign_key="mission.id", ondelete="CASCADE", primary_key=True)
    hero_id: int = Field(foreign_key="hero.id", ondelete="CASCADE", primary_key=True, index=True)
    role: str = Field(max_length=50)
    hero: Hero = Relationship(sa_relationship_kwargs={"lazy": "raise"})


class MissionBase(SQLModel):
    """What a client writes."""

    name: Name = Field(sa_type=exact_text(50), unique=True)


class Mission(Timestamps, MissionBase, table=True):
    """Something that heroes are sent to do."""

    id: int | None = Field(default=None, primary_key=True)
    starts_at: datetime = Field(sa_type=UTCMicroseconds, index=True)
    members: list[MissionHero] = Relationship(
        sa_relationship_kwargs={"lazy": "raise", "passive_deletes": "all", "order_by": "MissionHero.hero_id"}
    )


class MissionCreate(MissionBase):
    """Body of a POST."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]

    starts_at: Moment


class MissionUpdate(SQLModel):
    """Body of a PATCH."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]

    name: Name = Field(default=None)
    starts_at: Moment = Field(default=None)


class MissionPublic(MissionBase):
    """A response."""

    id: int
    starts_at: datetime


class MemberWrite(SQLModel):
    """Body that sends a hero on a mission."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]

    role: Name


class MemberPublic(SQLModel):
    """A hero on a mission, in a response."""

    hero_id: int
    role: str


class MissionDetail(MissionPublic):
    """A response with the heroes."""

    members: list[MemberPublic]
