"""gunicorn's settings for tests with many processes: what takes longest is imported once for all.

It is not ``--preload``: the module of the app is imported by each process, which binds for itself.
"""

import fmd_admin.admin.site
import fmd_admin.store.migrating  # noqa: F401
