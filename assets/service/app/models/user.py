"""User accounts."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, SecretStr, StringConstraints
from sqlmodel import Field, SQLModel

from app.models.base import Timestamps, exact_text, storable

Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$"),
    AfterValidator(storable),
]


class User(Timestamps, SQLModel, table=True):
    """Somebody who may log in. `user` is a reserved word in PostgreSQL."""

    __tablename__ = "account"

    id: int | None = Field(default=None, primary_key=True)
    email: str = Field(sa_type=exact_text(254), unique=True)
    hashed_password: str = Field(max_length=200)
    is_active: bool = True


class Credentials(SQLModel):
    """Body of a registration or a log-in."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]

    email: Email
    password: SecretStr = Field(min_length=12, max_length=200)


class UserUpdate(SQLModel):
    """Body of a PATCH."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]

    is_active: bool = Field(default=None)


class UserPublic(SQLModel):
    """A response: never the password, hashed or not."""

    id: int
    email: str
    is_active: bool
