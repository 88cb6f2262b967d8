"""First tables.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

AT = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
STATUS = sa.Enum("active", "injured", "retired", name="herostatus", native_enum=False, length=20)


def exact_text(length: int) -> sa.types.TypeEngine[str]:
    """A string that compares by its characters on MariaDB and MySQL too."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "team",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", exact_text(50), nullable=False),
        sa.Column("headquarters", sa.String(100), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("updated_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_team"),
        sa.UniqueConstraint("name", name="uq_team_name"),
    )
    op.create_table(
        "hero",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", exact_text(50), nullable=False),
        sa.Column("secret_name", sa.String(50), nullable=False),
        sa.Column("age", sa.Integer(), nullable=True),
        sa.Column("status", STATUS, nullable=False),
        sa.Column("power", sa.Numeric(8, 2), nullable=False),
        sa.Column("profile", JSON, nullable=False),
        sa.Column("team_id", sa.Integer(), nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("updated_at", AT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("deleted_at", AT, nullable=True),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name="fk_hero_team_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_hero"),
        sa.UniqueConstraint("name", name="uq_hero_name"),
    )
    for column in ("age", "created_at", "deleted_at", "power", "team_id"):
        op.create_index(f"ix_hero_{column}", "hero", [column])
    op.create_table(
        "tag",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", exact_text(50), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tag"),
        sa.UniqueConstraint("name", name="uq_tag_name"),
    )
    op.create_table(
        "hero_tag",
        sa.Column("hero_id", sa.Integer(), nullable=False),
        sa.Column("tag_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["hero_id"], ["hero.id"], name="fk_hero_tag_hero_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tag_id"], ["tag.id"], name="fk_hero_tag_tag_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("hero_id", "tag_id", name="pk_hero_tag"),
    )
    op.create_index("ix_hero_tag_tag_id", "hero_tag", ["tag_id"])
    op.create_table(
        "mission",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", exact_text(50), nullable=False),
        sa.Column("starts_at", AT, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("updated_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mission"),
        sa.UniqueConstraint("name", name="uq_mission_name"),
    )
    op.create_index("ix_mission_starts_at", "mission", ["starts_at"])
    op.create_table(
        "mission_hero",
        sa.Column("mission_id", sa.Integer(), nullable=False),
        sa.Column("hero_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(50), nullable=False),
        sa.ForeignKeyConstraint(["hero_id"], ["hero.id"], name="fk_mission_hero_hero_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["mission_id"], ["mission.id"], name="fk_mission_hero_mission_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("mission_id", "hero_id", name="pk_mission_hero"),
    )
    op.create_index("ix_mission_hero_hero_id", "mission_hero", ["hero_id"])
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", exact_text(254), nullable=False),
        sa.Column("hashed_password", sa.String(200), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("updated_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("email", name="uq_account_email"),
    )


def downgrade() -> None:
    """Remove them."""
    for table in ("account", "mission_hero", "mission", "hero_tag", "tag", "hero", "team"):
        op.drop_table(table)
