"""Alembic environment of fmd_admin.

The connection comes from fmd_admin.store.migrating, inside its transaction. Logging is not
configured here: that would disable the host's loggers.
"""

from alembic import context

from fmd_admin.store.resuming import leave_out_what_is_there
from fmd_admin.store.schema import VERSION_TABLE, is_ours


def run() -> None:
    # The store knows the tables of all modules.
    from fmd_admin.store.store import db

    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=db.metadata,
        version_table=VERSION_TABLE,
        include_name=is_ours,
        compare_type=True,
    )
    leave_out_what_is_there(context.get_context().impl)
    with context.begin_transaction():
        context.run_migrations()


run()
