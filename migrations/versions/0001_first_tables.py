"""First tables"""

import sqlalchemy as sa
from alembic import op

from fmd_admin.store.types import exact

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# Times are UTC milliseconds since the epoch.
NAME = exact(255)
BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "fmd_client",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_client_pkey")),
        sa.UniqueConstraint("name", name=op.f("fmd_client_name_key")),
    )
    op.create_table(
        "fmd_config",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_config_pkey")),
    )
    # Made once here: two processes that make it at the same time would fight over it.
    config = sa.table("fmd_config", sa.column("id"), sa.column("version"))
    # On MySQL this may run again, after it was interrupted: see fmd_admin.store.resuming.
    if op.get_bind().scalar(sa.select(config.c.id)) is None:
        op.execute(config.insert().values(id=1, version=1))
    op.create_table(
        "fmd_endpoint",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_requested", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_endpoint_pkey")),
        sa.UniqueConstraint("name", name=op.f("fmd_endpoint_name_key")),
    )
    op.create_table(
        "fmd_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_group_pkey")),
        sa.UniqueConstraint("name", name=op.f("fmd_group_name_key")),
    )
    op.create_table(
        "fmd_lease",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("fmd_lease_pkey")),
    )
    op.create_table(
        "fmd_login_failure",
        sa.Column("subject", NAME, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("fmd_login_failure_pkey")),
    )
    op.create_table(
        "fmd_setting",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.String(length=4000), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", NAME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("fmd_setting_pkey")),
    )
    op.create_table(
        "fmd_user",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("username", NAME, nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("session_key", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_login", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_user_pkey")),
        sa.UniqueConstraint("username", name=op.f("fmd_user_username_key")),
    )
    op.create_table(
        "fmd_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_version_pkey")),
        sa.UniqueConstraint("name", name=op.f("fmd_version_name_key")),
    )
    op.create_table(
        "fmd_writer",
        sa.Column("writer", sa.String(length=64), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("faults", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("writer", name=op.f("fmd_writer_pkey")),
    )
    op.create_table(
        "fmd_day",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("sum_ms", sa.Double(), nullable=False),
        sa.Column("sum_squares", sa.Double(), nullable=False),
        sa.Column("min_ms", sa.Double(), nullable=False),
        sa.Column("max_ms", sa.Double(), nullable=False),
        sa.Column("histogram", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["fmd_endpoint.id"], name=op.f("fmd_day_endpoint_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["fmd_version.id"], name=op.f("fmd_day_version_id_fkey")
        ),
        sa.PrimaryKeyConstraint("day", "endpoint_id", "version_id", name=op.f("fmd_day_pkey")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fmd_hour",
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("sum_ms", sa.Double(), nullable=False),
        sa.Column("sum_squares", sa.Double(), nullable=False),
        sa.Column("min_ms", sa.Double(), nullable=False),
        sa.Column("max_ms", sa.Double(), nullable=False),
        sa.Column("histogram", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["fmd_endpoint.id"], name=op.f("fmd_hour_endpoint_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["fmd_version.id"], name=op.f("fmd_hour_version_id_fkey")
        ),
        sa.PrimaryKeyConstraint("hour", "endpoint_id", "version_id", name=op.f("fmd_hour_pkey")),
        sqlite_with_rowid=False,
    )
    op.create_index("fmd_hour_endpoint", "fmd_hour", ["endpoint_id", "hour"], unique=False)
    op.create_table(
        "fmd_request",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("client_id", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("method", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["fmd_client.id"], name=op.f("fmd_request_client_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["fmd_endpoint.id"], name=op.f("fmd_request_endpoint_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["fmd_group.id"], name=op.f("fmd_request_group_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["fmd_version.id"], name=op.f("fmd_request_version_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_request_pkey")),
    )
    op.create_index("fmd_request_time", "fmd_request", ["time"], unique=False)
    op.create_table(
        "fmd_rollup_delta",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("last_requested", sa.BigInteger(), nullable=False),
        sa.Column("statuses", sa.String(length=4000), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("sum_ms", sa.Double(), nullable=False),
        sa.Column("sum_squares", sa.Double(), nullable=False),
        sa.Column("min_ms", sa.Double(), nullable=False),
        sa.Column("max_ms", sa.Double(), nullable=False),
        sa.Column("histogram", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["fmd_endpoint.id"], name=op.f("fmd_rollup_delta_endpoint_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["fmd_version.id"], name=op.f("fmd_rollup_delta_version_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_rollup_delta_pkey")),
    )
    op.create_table(
        "fmd_status",
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["fmd_endpoint.id"], name=op.f("fmd_status_endpoint_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["fmd_version.id"], name=op.f("fmd_status_version_id_fkey")
        ),
        sa.PrimaryKeyConstraint(
            "hour", "endpoint_id", "version_id", "status", name=op.f("fmd_status_pkey")
        ),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("fmd_status")
    op.drop_table("fmd_rollup_delta")
    op.drop_table("fmd_request")
    op.drop_table("fmd_hour")
    op.drop_table("fmd_day")
    op.drop_table("fmd_writer")
    op.drop_table("fmd_version")
    op.drop_table("fmd_user")
    op.drop_table("fmd_setting")
    op.drop_table("fmd_login_failure")
    op.drop_table("fmd_lease")
    op.drop_table("fmd_group")
    op.drop_table("fmd_endpoint")
    op.drop_table("fmd_config")
    op.drop_table("fmd_client")
