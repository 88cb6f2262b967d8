"""Tags."""

from fastapi import APIRouter

from app.api.deps import Id, Limit, Offset, Tags
from app.models.tag import Tag, TagCreate, TagPublic, TagUpdate

router = APIRouter(prefix="/tags", tags=["tags"])


@router.post("", response_model=TagPublic, status_code=201)
async def create_tag(data: TagCreate, tags: Tags) -> Tag:
    return await tags.create(data)


@router.get("", response_model=list[TagPublic])
async def list_tags(tags: Tags, limit: Limit = 50, offset: Offset = 0) -> list[Tag]:
    return await tags.find(order_by=[Tag.name], limit=limit, offset=offset)


@router.patch("/{tag_id}", response_model=TagPublic)
async def update_tag(tag_id: Id, data: TagUpdate, tags: Tags) -> Tag:
    return await tags.update(tag_id, data)


@router.delete("/{tag_id}", status_code=204)
async def delete_tag(tag_id: Id, tags: Tags) -> None:
    await tags.delete(tag_id)
