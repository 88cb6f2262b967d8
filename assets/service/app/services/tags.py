"""Tags."""

from app.models.tag import Tag, TagCreate, TagUpdate
from app.services.base import ServiceBase


class TagService(ServiceBase[Tag, TagCreate, TagUpdate]):
    """Tags."""
