"""Settings, from the environment or a file `.env`."""

from functools import lru_cache

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What differs from one deployment to the next.

    Attributes:
        database_url: postgresql://, mariadb:// or sqlite:///; the async driver is chosen in app/database.py.
        pool_size: Connections that each process keeps. Processes x (pool_size + max_overflow) must stay below the
            server's max_connections.
        max_overflow: Connections beyond pool_size under load.
        pool_timeout: Seconds that a request waits for a connection before it gets 503.
    """

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    title: str = "Heroes"
    database_url: SecretStr = SecretStr("sqlite:///service.db")
    pool_size: int = Field(default=5, ge=1)
    max_overflow: int = Field(default=10, ge=0)
    pool_timeout: float = Field(default=10, gt=0)
    echo_sql: bool = False


@lru_cache
def get_settings() -> Settings:
    """The settings of this process."""
    return Settings()
