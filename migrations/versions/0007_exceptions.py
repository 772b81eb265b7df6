"""Exceptions"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from fmd_admin.store.types import exact

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


# Times are UTC milliseconds since the epoch.
BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BIG_BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
NAME = exact(255)
PATH = exact(500)


def upgrade() -> None:
    op.create_table(
        "fmd_exception_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=40), nullable=False),
        sa.Column("type", NAME, nullable=False),
        sa.Column("module", PATH, nullable=False),
        sa.Column("function", NAME, nullable=False),
        sa.Column("behind", sa.String(length=4000), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.Column("resolved_by", NAME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_exception_group_pkey")),
        sa.UniqueConstraint("digest", name=op.f("fmd_exception_group_digest_key")),
    )
    op.create_table(
        "fmd_source",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=40), nullable=False),
        sa.Column("file", PATH, nullable=False),
        sa.Column("function", NAME, nullable=False),
        sa.Column("text", LONG_TEXT, nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_source_pkey")),
        sa.UniqueConstraint("digest", name=op.f("fmd_source_digest_key")),
    )
    op.create_table(
        "fmd_exception",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=True),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("client_id", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("method", sa.SmallInteger(), nullable=False),
        sa.Column("group_key", sa.Integer(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("handled", sa.Boolean(), nullable=False),
        sa.Column("message", sa.String(length=1000), nullable=False),
        sa.Column("detail", BIG_BLOB, nullable=False),
        *(_foreign_key("fmd_exception", name) for name in ("client", "endpoint", "group")),
        _foreign_key("fmd_exception", "version"),
        _group_key("fmd_exception"),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_exception_pkey")),
    )
    op.create_table(
        "fmd_exception_day",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("group_key", sa.Integer(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=True),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        *(_foreign_key("fmd_exception_day", name) for name in ("endpoint", "version")),
        _group_key("fmd_exception_day"),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_exception_day_pkey")),
    )
    op.create_index("fmd_exception_group_seen", "fmd_exception_group", ["seen_at"])
    op.create_index("fmd_source_seen", "fmd_source", ["seen_at"])
    op.create_index("fmd_exception_group_day", "fmd_exception", ["group_key", "day"])
    op.create_index("fmd_exception_time", "fmd_exception", ["time"])
    op.create_index(
        "fmd_exception_day_day",
        "fmd_exception_day",
        ["day", "group_key", "endpoint_id", "version_id", "hits", "last_at"],
    )
    op.create_index("fmd_exception_day_group", "fmd_exception_day", ["group_key", "day"])


def downgrade() -> None:
    for table in ("fmd_exception_day", "fmd_exception", "fmd_source", "fmd_exception_group"):
        op.drop_table(table)


def _foreign_key(table: str, name: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [f"{name}_id"], [f"fmd_{name}.id"], name=op.f(f"{table}_{name}_id_fkey")
    )


def _group_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["group_key"], ["fmd_exception_group.id"], name=op.f(f"{table}_group_key_fkey")
    )
