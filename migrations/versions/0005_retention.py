"""Runs of retention, signs of life of processes, and when lines of code were last seen"""

import time

import sqlalchemy as sa
from alembic import op

from fmd_admin.store.types import exact

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


# Times are UTC milliseconds since the epoch.
NAME = exact(255)


def upgrade() -> None:
    op.create_table(
        "fmd_prune",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("reason", NAME, nullable=False),
        sa.Column("plan", sa.String(length=4000), nullable=False),
        sa.Column("deleted", sa.String(length=4000), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_prune_pkey")),
    )
    op.create_index("fmd_outlier_skipped_time", "fmd_outlier_skipped", ["time"], unique=False)
    op.add_column("fmd_writer", sa.Column("status", sa.Text(), nullable=True))
    op.add_column(
        "fmd_code_line",
        sa.Column("seen_at", sa.BigInteger(), server_default="0", nullable=False),
    )
    # Nobody knows when the lines that are there were seen last: they count from now.
    lines = sa.table("fmd_code_line", sa.column("seen_at", sa.BigInteger()))
    new = lines.c.seen_at == 0
    op.execute(lines.update().where(new).values(seen_at=int(time.time() * 1000)))


def downgrade() -> None:
    op.drop_column("fmd_code_line", "seen_at")
    op.drop_column("fmd_writer", "status")
    op.drop_index("fmd_outlier_skipped_time", table_name="fmd_outlier_skipped")
    op.drop_table("fmd_prune")
