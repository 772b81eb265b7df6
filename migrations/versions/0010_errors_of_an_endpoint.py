"""Errors of one endpoint are found by an index"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ERRORS = sa.text("status >= 400")


def upgrade() -> None:
    # MySQL knows no partial index.
    if op.get_context().dialect.name in {"sqlite", "postgresql"}:
        op.create_index(
            "fmd_request_errors_endpoint",
            "fmd_request",
            ["endpoint_id", "time", "id", "version_id", "status"],
            sqlite_where=ERRORS,
            postgresql_where=ERRORS,
        )


def downgrade() -> None:
    if op.get_context().dialect.name in {"sqlite", "postgresql"}:
        op.drop_index("fmd_request_errors_endpoint", "fmd_request")
