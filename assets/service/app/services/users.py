"""User accounts with hashed passwords."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlmodel import col

from app.models.user import Credentials, User, UserUpdate
from app.services.base import ServiceBase

_hasher = PasswordHasher()
_NOBODY = _hasher.hash("the hash that is checked for an unknown address")


class UserService(ServiceBase[User, Credentials, UserUpdate]):
    """Accounts. Passwords are hashed with Argon2id, in a thread: hashing would hold the event loop for its time."""

    async def register(self, data: Credentials) -> User:
        """Make an account.

        Raises:
            Conflict: The address is taken.
        """
        password = data.password.get_secret_value()
        hashed = await asyncio.to_thread(_hasher.hash, password)
        return await self.create(data, hashed_password=hashed)

    async def authenticate(self, data: Credentials) -> User | None:
        """The account with this address and password; None for a wrong one, an unknown one, and an inactive one.

        An unknown address takes as long as a wrong password, so that time does not tell who has an account.
        """
        user = await self.first(col(User.email) == data.email)
        hashed = user.hashed_password if user else _NOBODY
        try:
            await asyncio.to_thread(_hasher.verify, hashed, data.password.get_secret_value())
        except (VerificationError, InvalidHashError):
            return None
        return user if user and user.is_active else None
