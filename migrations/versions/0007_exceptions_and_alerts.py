"""Exceptions and alerts"""

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
    op.create_index("fmd_exception_day_day", "fmd_exception_day", ["day"])
    op.create_index(
        "fmd_exception_day_sums",
        "fmd_exception_day",
        ["day", "group_key", "endpoint_id", "version_id", "hits", "last_at"],
    )
    op.create_index("fmd_exception_day_group", "fmd_exception_day", ["group_key", "day"])

    _make_alerts()


def _make_alerts() -> None:
    op.create_table(
        "fmd_alert_target",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("hint", sa.String(length=255), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_alert_target_pkey")),
        sa.UniqueConstraint("name", name=op.f("fmd_alert_target_name_key")),
    )
    op.create_table(
        "fmd_alert_rule",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=8), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("window_h", sa.Integer(), nullable=False),
        sa.Column("cooldown_min", sa.Integer(), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("targets", sa.String(length=1000), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        _foreign_key("fmd_alert_rule", "endpoint"),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_alert_rule_pkey")),
        sa.UniqueConstraint("name", name=op.f("fmd_alert_rule_name_key")),
    )
    op.create_table(
        "fmd_alert",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("rule_id", sa.Integer(), nullable=False),
        sa.Column("rule", NAME, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("quiet", sa.String(length=120), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("fired_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_alert_pkey")),
    )
    op.create_table(
        "fmd_alert_delivery",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("alert_id", BIG_KEY, nullable=False),
        sa.Column("target_id", sa.Integer(), nullable=False),
        sa.Column("target", NAME, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("fired_at", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.String(length=1000), nullable=True),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["fmd_alert.id"], name=op.f("fmd_alert_delivery_alert_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("fmd_alert_delivery_pkey")),
    )
    for table, name, columns in (
        ("fmd_alert", "rule_subject", ["rule_id", "subject"]),
        ("fmd_alert", "rule_quiet", ["rule_id", "quiet", "fired_at"]),
        ("fmd_alert", "fired", ["fired_at"]),
        ("fmd_alert_delivery", "due", ["state", "next_at"]),
        ("fmd_alert_delivery", "alert", ["alert_id"]),
        ("fmd_alert_delivery", "fired", ["fired_at"]),
    ):
        op.create_index(f"{table}_{name}", table, columns)


def downgrade() -> None:
    for table in ("fmd_alert_delivery", "fmd_alert", "fmd_alert_rule", "fmd_alert_target"):
        op.drop_table(table)
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
