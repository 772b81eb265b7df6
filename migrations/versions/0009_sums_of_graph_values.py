"""Sums of the values of custom graphs, a quarter of an hour each"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fmd_graph_quarter",
        sa.Column("graph_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("quarter", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("values_count", sa.Integer(), nullable=False),
        sa.Column("sum", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["graph_id"], ["fmd_graph.id"], name=op.f("fmd_graph_quarter_graph_id_fkey")
        ),
        sa.PrimaryKeyConstraint("graph_id", "quarter", name=op.f("fmd_graph_quarter_pkey")),
        sqlite_with_rowid=False,
    )
    op.create_index("fmd_graph_quarter_quarter", "fmd_graph_quarter", ["quarter"])
    # Nothing is summed yet: the process that runs the jobs makes up for it.
    op.add_column(
        "fmd_graph",
        sa.Column("summed_until", sa.BigInteger(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.drop_column("fmd_graph", "summed_until")
    op.drop_index("fmd_graph_quarter_quarter", "fmd_graph_quarter")
    op.drop_table("fmd_graph_quarter")
