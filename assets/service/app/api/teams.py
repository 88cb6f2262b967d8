"""Teams."""

from fastapi import APIRouter

from app.api.deps import Id, Limit, Offset, Teams
from app.models.hero import HeroPublic
from app.models.team import Team, TeamCreate, TeamPublic, TeamUpdate

router = APIRouter(prefix="/teams", tags=["teams"])


class TeamWithHeroes(TeamPublic):
    """A team with its heroes."""

    heroes: list[HeroPublic]


@router.post("", response_model=TeamPublic, status_code=201)
async def create_team(data: TeamCreate, teams: Teams) -> Team:
    return await teams.create(data)


@router.get("", response_model=list[TeamPublic])
async def list_teams(teams: Teams, limit: Limit = 50, offset: Offset = 0) -> list[Team]:
    return await teams.find(order_by=[Team.name], limit=limit, offset=offset)


@router.get("/{team_id}", response_model=TeamWithHeroes)
async def read_team(team_id: Id, teams: Teams) -> Team:
    return await teams.with_heroes(team_id)


@router.patch("/{team_id}", response_model=TeamPublic)
async def update_team(team_id: Id, data: TeamUpdate, teams: Teams) -> Team:
    return await teams.update(team_id, data)


@router.delete("/{team_id}", status_code=204)
async def delete_team(team_id: Id, teams: Teams) -> None:
    """Its heroes stay, without a team."""
    await teams.delete(team_id)
