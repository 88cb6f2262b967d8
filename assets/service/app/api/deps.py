"""What endpoints ask for: services, and bounded parameters."""

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, HTTPException, Path, Query

from app.database import SessionDep
from app.models.base import MAX_INT
from app.services.base import ServiceBase
from app.services.heroes import HeroService
from app.services.missions import MissionService
from app.services.tags import TagService
from app.services.teams import TeamService
from app.services.users import UserService

ServiceT = TypeVar("ServiceT", bound=ServiceBase[Any, Any, Any])


def provide(service: type[ServiceT]) -> Callable[[SessionDep], ServiceT]:
    """A dependency that makes a service for the session of the request."""

    def make(session: SessionDep) -> ServiceT:
        return service(session)

    return make


Heroes = Annotated[HeroService, Depends(provide(HeroService))]
Missions = Annotated[MissionService, Depends(provide(MissionService))]
Tags = Annotated[TagService, Depends(provide(TagService))]
Teams = Annotated[TeamService, Depends(provide(TeamService))]
Users = Annotated[UserService, Depends(provide(UserService))]

Id = Annotated[int, Path(ge=1, le=MAX_INT)]
Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=100_000, description="Deeper lists have a cursor")]
Cursor = Annotated[str | None, Query(max_length=500)]


def _version(if_match: Annotated[str | None, Header()] = None) -> int | None:
    """The version in If-Match, as an ETag such as "3".

    Raises:
        HTTPException: It is not one.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    match = re.fullmatch(r'\s*"(\d{1,9})"\s*', if_match)
    if not match:
        raise HTTPException(422, 'If-Match must be "*" or an ETag such as "3"')
    return int(match[1])


IfMatch = Annotated[int | None, Depends(_version)]
