"""Tags, and their links to heroes."""

from pydantic import ConfigDict
from sqlmodel import Field, SQLModel

from app.models.base import Name, exact_text


class HeroTag(SQLModel, table=True):
    """A tag on a hero."""

    __tablename__ = "hero_tag"

    hero_id: int = Field(foreign_key="hero.id", ondelete="CASCADE", primary_key=True)
    tag_id: int = Field(foreign_key="tag.id", ondelete="CASCADE", primary_key=True, index=True)


class TagBase(SQLModel):
    """What a client writes."""

    name: Name = Field(sa_type=exact_text(50), unique=True)


class Tag(TagBase, table=True):
    """A word that describes heroes."""

    id: int | None = Field(default=None, primary_key=True)


class TagCreate(TagBase):
    """Body of a POST."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]


class TagUpdate(SQLModel):
    """Body of a PATCH."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]

    name: Name = Field(default=None)


class TagPublic(TagBase):
    """A response."""

    id: int
