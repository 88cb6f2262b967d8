"""All tables. Import this package, not one of its modules, so that every mapper finds the others."""

from app.models.hero import Hero, HeroStatus
from app.models.mission import Mission, MissionHero
from app.models.tag import HeroTag, Tag
from app.models.team import Team
from app.models.user import User

__all__ = ["Hero", "HeroStatus", "HeroTag", "Mission", "MissionHero", "Tag", "Team", "User"]
