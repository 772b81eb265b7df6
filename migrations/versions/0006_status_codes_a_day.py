"""Status codes a day, and an index of the errors"""

from itertools import zip_longest

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

LONGEST_DAY_MS = 25 * 3_600_000
ERRORS = sa.text("status >= 400")


def upgrade() -> None:
    op.create_table(
        "fmd_day_status",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                [f"{name}_id"], [f"fmd_{name}.id"], name=op.f(f"fmd_day_status_{name}_id_fkey")
            )
            for name in ("endpoint", "version")
        ),
        sa.PrimaryKeyConstraint(
            *("day", "endpoint_id", "version_id", "status"), name=op.f("fmd_day_status_pkey")
        ),
        sqlite_with_rowid=False,
    )
    _add_up_days(op.get_bind())
    if op.get_context().dialect.name in {"sqlite", "postgresql"}:
        op.create_index(
            "fmd_request_errors",
            "fmd_request",
            ["time", "id", "endpoint_id", "version_id", "status"],
            sqlite_where=ERRORS,
            postgresql_where=ERRORS,
        )


def downgrade() -> None:
    if op.get_context().dialect.name in {"sqlite", "postgresql"}:
        op.drop_index("fmd_request_errors", "fmd_request")
    op.drop_table("fmd_day_status")


def _add_up_days(connection: sa.Connection) -> None:
    """Fill the new table. fmd_day knows where the days begin in the store's time zone."""
    names = ("endpoint_id", "version_id", "status")
    hours = sa.table("fmd_status", *map(sa.column, ("hour", *names, "hits")))
    target = sa.table("fmd_day_status", *map(sa.column, ("day", *names, "hits")))
    day = sa.table("fmd_day", sa.column("day")).c.day
    days = list(connection.scalars(sa.select(day).distinct().order_by(day)))
    keys = [hours.c[name] for name in names]
    for start, following in zip_longest(days, days[1:]):
        end = min(start + LONGEST_DAY_MS, following or start + LONGEST_DAY_MS)
        found = (
            sa.select(sa.literal_column(str(start)), *keys, sa.func.sum(hours.c.hits))
            .where(hours.c.hour >= start, hours.c.hour < end)
            .group_by(*keys)
        )
        connection.execute(sa.insert(target).from_select(["day", *names, "hits"], found))
