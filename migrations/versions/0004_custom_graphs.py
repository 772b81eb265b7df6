"""Custom graphs"""

import sqlalchemy as sa
from alembic import op

from fmd_admin.store.types import exact

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


# Times are UTC milliseconds since the epoch.
BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = exact(255)


def upgrade() -> None:
    op.create_table(
        "fmd_graph",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("title", NAME, nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("schedule", sa.String(length=255), nullable=True),
        sa.Column("last_run", sa.BigInteger(), nullable=True),
        sa.Column("next_run", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.String(length=1000), nullable=True),
        sa.Column("error_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_graph_pkey")),
        sa.UniqueConstraint("title", name=op.f("fmd_graph_title_key")),
    )
    op.create_table(
        "fmd_graph_value",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("graph_id", sa.Integer(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["graph_id"], ["fmd_graph.id"], name=op.f("fmd_graph_value_graph_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_graph_value_pkey")),
        sa.UniqueConstraint("graph_id", "time", name=op.f("fmd_graph_value_graph_id_time_key")),
    )
    op.create_index("fmd_graph_value_time", "fmd_graph_value", ["time"], unique=False)


def downgrade() -> None:
    op.drop_table("fmd_graph_value")
    op.drop_table("fmd_graph")
