"""a required column"""

import sqlalchemy as sa
from alembic import op

revision = "0002"  # <- ASM028
down_revision = "0001"


def upgrade() -> None:
    op.add_column("product", sa.Column("price", sa.Numeric(10, 2), nullable=False))  # <- ASM028
    op.create_unique_constraint(None, "product", ["name"])  # <- ASM028


def downgrade() -> None:
    op.drop_column("product", "price")
