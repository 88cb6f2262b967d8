"""Teams."""

from typing import TYPE_CHECKING

from pydantic import ConfigDict
from sqlmodel import Field, Relationship, SQLModel

from app.models.base import Name, Text, Timestamps, exact_text

if TYPE_CHECKING:
    from app.models.hero import Hero


class TeamBase(SQLModel):
    """What a client writes."""

    name: Name = Field(sa_type=exact_text(50), unique=True)
    headquarters: Text = Field(max_length=100)


class Team(Timestamps, TeamBase, table=True):
    """A group of heroes."""

    id: int | None = Field(default=None, primary_key=True)
    heroes: list["Hero"] = Relationship(
        back_populates="team", sa_relationship_kwargs={"lazy": "raise", "passive_deletes": "all"}
    )


class TeamCreate(TeamBase):
    """Body of a POST."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]


class TeamUpdate(SQLModel):
    """Body of a PATCH: what is absent stays; null is refused."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]

    name: Name = Field(default=None)
    headquarters: Text = Field(default=None, max_length=100)


class TeamPublic(TeamBase):
    """A response."""

    id: int
