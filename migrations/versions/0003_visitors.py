"""Requests by group and client"""

import time

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


# Times are UTC milliseconds since the epoch.
BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BIG_BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
#: See fmd_admin.store.visitor_rebuild.
BACKFILL = "_visitors_from"


def upgrade() -> None:
    op.create_table(
        "fmd_visitor_delta",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("payload", BIG_BLOB, nullable=False),
        _foreign_key("fmd_visitor_delta", "version"),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_visitor_delta_pkey")),
    )
    op.create_table(
        "fmd_visitor_day",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=True),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("histogram", sa.LargeBinary(), nullable=False),
        sa.Column("figures", BIG_BLOB, nullable=False),
        sa.Column("shapes", BIG_BLOB, nullable=False),
        _foreign_key("fmd_visitor_day", "endpoint"),
        _foreign_key("fmd_visitor_day", "version"),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_visitor_day_pkey")),
    )
    op.create_index(
        "fmd_visitor_day_day",
        "fmd_visitor_day",
        ["kind", "day", "version_id", "endpoint_id"],
        unique=False,
    )
    op.create_index(
        "fmd_visitor_day_endpoint", "fmd_visitor_day", ["endpoint_id", "kind", "day"], unique=False
    )
    _ask_for_backfill()


def downgrade() -> None:
    setting = sa.table("fmd_setting", sa.column("name"))
    op.execute(setting.delete().where(setting.c.name == BACKFILL))
    op.drop_table("fmd_visitor_day")
    op.drop_table("fmd_visitor_delta")


def _ask_for_backfill() -> None:
    """Let the jobs count the visitors of the rows that are there: here it would take too long."""
    request = sa.table("fmd_request", sa.column("time"))
    oldest = op.get_bind().scalar(sa.select(sa.func.min(request.c.time)))
    if oldest is None:
        return
    columns = ("name", "value", "changed_at", "changed_by")
    setting = sa.table("fmd_setting", *(sa.column(name) for name in columns))
    if op.get_bind().scalar(sa.select(setting.c.name).where(setting.c.name == BACKFILL)):
        return  # On MySQL this may run again, after it was interrupted.
    values = (BACKFILL, str(oldest), int(time.time() * 1000), "")
    op.execute(setting.insert().values(dict(zip(columns, values, strict=True))))


def _foreign_key(table: str, name: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [f"{name}_id"], [f"fmd_{name}.id"], name=op.f(f"{table}_{name}_id_fkey")
    )
