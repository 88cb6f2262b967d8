"""Teams."""

from sqlalchemy.orm import selectinload

from app.models.team import Team, TeamCreate, TeamUpdate
from app.services.base import ServiceBase


class TeamService(ServiceBase[Team, TeamCreate, TeamUpdate]):
    """Teams."""

    async def with_heroes(self, pk: int) -> Team:
        """A team with its heroes, in two statements.

        Raises:
            NotFound: No such team.
        """
        return await self.get(pk, options=[selectinload(Team.heroes)])  # type: ignore[arg-type]
