"""User accounts."""

from fastapi import APIRouter, HTTPException

from app.api.deps import Id, Users
from app.models.user import Credentials, User, UserPublic

router = APIRouter(prefix="/users", tags=["users"])


@router.post("", response_model=UserPublic, status_code=201)
async def register(data: Credentials, users: Users) -> User:
    return await users.register(data)


@router.post("/authenticate", response_model=UserPublic)
async def authenticate(data: Credentials, users: Users) -> User:
    """Check a password. Make a session or token of it as your service needs."""
    user = await users.authenticate(data)
    if user is None:
        raise HTTPException(401, "wrong address or password")
    return user


@router.get("/{user_id}", response_model=UserPublic)
async def read_user(user_id: Id, users: Users) -> User:
    return await users.get(user_id)
