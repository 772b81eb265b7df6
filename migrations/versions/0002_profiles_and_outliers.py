"""Profiles and outliers"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from fmd_admin.store.types import exact

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


# Times are UTC milliseconds since the epoch.
BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BIG_BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "fmd_code_line",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=40), nullable=False),
        sa.Column("file", exact(500), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("function", exact(255), nullable=False),
        sa.Column("source", exact(1000), nullable=False),
        sa.Column("own", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_code_line_pkey")),
        sa.UniqueConstraint("digest", name=op.f("fmd_code_line_digest_key")),
    )
    op.create_table(
        "fmd_profile",
        *_request_columns(),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("period_ms", sa.Double(), nullable=False),
        sa.Column("tree", BIG_BLOB, nullable=False),
        *_request_keys("fmd_profile"),
    )
    op.create_table(
        "fmd_outlier",
        *_request_columns(),
        sa.Column("limit_ms", sa.Double(), nullable=False),
        sa.Column("detail", BIG_BLOB, nullable=False),
        *_request_keys("fmd_outlier"),
    )
    op.create_table(
        "fmd_outlier_skipped",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        _foreign_key("fmd_outlier_skipped", "endpoint"),
        _foreign_key("fmd_outlier_skipped", "version"),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_outlier_skipped_pkey")),
    )
    for table in ("fmd_profile", "fmd_outlier", "fmd_outlier_skipped"):
        op.create_index(f"{table}_endpoint", table, ["endpoint_id", "time"], unique=False)
    for table in ("fmd_profile", "fmd_outlier"):
        op.create_index(f"{table}_time", table, ["time"], unique=False)


def downgrade() -> None:
    for table in ("fmd_outlier_skipped", "fmd_outlier", "fmd_profile", "fmd_code_line"):
        op.drop_table(table)


def _request_columns() -> list[sa.Column]:
    return [
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("client_id", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("method", sa.SmallInteger(), nullable=False),
    ]


def _request_keys(table: str) -> list[sa.Constraint]:
    return [
        *(_foreign_key(table, name) for name in ("client", "endpoint", "group", "version")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"{table}_pkey")),
    ]


def _foreign_key(table: str, name: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [f"{name}_id"], [f"fmd_{name}.id"], name=op.f(f"{table}_{name}_id_fkey")
    )
