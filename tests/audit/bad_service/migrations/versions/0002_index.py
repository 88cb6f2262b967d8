"""an index"""

from alembic import op

revision = "0002b"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("ix_product_name", "product", ["name"], postgresql_concurrently=True)  # <- ASM028


def downgrade() -> None:
    op.drop_index("ix_product_name")
