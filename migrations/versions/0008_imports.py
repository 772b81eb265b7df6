"""How far databases of Flask-MonitoringDashboard have been brought over"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Times are UTC milliseconds since the epoch.
    op.create_table(
        "fmd_import",
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("last_request", sa.BigInteger(), nullable=False),
        sa.Column("last_value", sa.BigInteger(), nullable=False),
        sa.Column("last_user", sa.BigInteger(), nullable=False),
        sa.Column("endpoints", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("fmd_import_pkey")),
    )


def downgrade() -> None:
    op.drop_table("fmd_import")
