"""Missions."""

from fastapi import APIRouter

from app.api.deps import Id, Limit, Missions, Offset
from app.models.mission import (
    MemberPublic,
    MemberWrite,
    Mission,
    MissionCreate,
    MissionDetail,
    MissionHero,
    MissionPublic,
    MissionUpdate,
)

router = APIRouter(prefix="/missions", tags=["missions"])


@router.post("", response_model=MissionPublic, status_code=201)
async def create_mission(data: MissionCreate, missions: Missions) -> Mission:
    return await missions.create(data)


@router.get("", response_model=list[MissionPublic])
async def list_missions(missions: Missions, limit: Limit = 50, offset: Offset = 0) -> list[Mission]:
    return await missions.find(order_by=[Mission.starts_at], limit=limit, offset=offset)


@router.get("/{mission_id}", response_model=MissionDetail)
async def read_mission(mission_id: Id, missions: Missions) -> Mission:
    return await missions.detail(mission_id)


@router.patch("/{mission_id}", response_model=MissionPublic)
async def update_mission(mission_id: Id, data: MissionUpdate, missions: Missions) -> Mission:
    return await missions.update(mission_id, data)


@router.delete("/{mission_id}", status_code=204)
async def delete_mission(mission_id: Id, missions: Missions) -> None:
    await missions.delete(mission_id)


@router.put("/{mission_id}/heroes/{hero_id}", response_model=MemberPublic)
async def set_role(mission_id: Id, hero_id: Id, data: MemberWrite, missions: Missions) -> MissionHero:
    return await missions.set_role(mission_id, hero_id, data.role)


@router.delete("/{mission_id}/heroes/{hero_id}", status_code=204)
async def remove_member(mission_id: Id, hero_id: Id, missions: Missions) -> None:
    await missions.remove_member(mission_id, hero_id)
