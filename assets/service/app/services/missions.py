"""Missions. The link to heroes has a composite key, and so a few methods of its own."""

from sqlalchemy import delete
from sqlalchemy.orm import selectinload
from sqlmodel import col

from app.errors import NotFound, database_errors
from app.models.mission import Mission, MissionCreate, MissionHero, MissionUpdate
from app.services.base import ServiceBase
from app.services.heroes import HeroService


class MissionService(ServiceBase[Mission, MissionCreate, MissionUpdate]):
    """Missions."""

    async def detail(self, pk: int) -> Mission:
        """A mission with its members, in two statements.

        Raises:
            NotFound: No such mission.
        """
        return await self.get(pk, options=[selectinload(Mission.members)])  # type: ignore[arg-type]

    async def set_role(self, pk: int, hero_id: int, role: str) -> MissionHero:
        """Send a hero on a mission, or give another role.

        Raises:
            NotFound: No such mission or hero.
        """
        await self.get(pk, lock=True)
        await HeroService(self.session).get(hero_id)
        with database_errors("Member"):
            member = await self.session.get(MissionHero, (pk, hero_id))
            if member is None:
                member = MissionHero(mission_id=pk, hero_id=hero_id, role=role)
                self.session.add(member)
            member.role = role
            await self.session.flush()
        return member

    async def remove_member(self, pk: int, hero_id: int) -> None:
        """Call a hero back.

        Raises:
            NotFound: The hero is not on the mission.
        """
        link = delete(MissionHero).where(col(MissionHero.mission_id) == pk, col(MissionHero.hero_id) == hero_id)
        with database_errors("Member"):
            if not (await self.session.exec(link)).rowcount:
                raise NotFound(f"Hero {hero_id} is not on mission {pk}")
