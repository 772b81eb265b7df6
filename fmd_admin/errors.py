"""One tree of exceptions. Every message names what is wrong and how to mend it."""

from __future__ import annotations


class FMDError(Exception):
    """Base of everything that fmd_admin raises on purpose."""


class SettingsError(FMDError):
    """A setting is unknown, has a bad value, or its file is missing.

    The message names the key, where it came from, its value and what is allowed.
    """


class BindError(FMDError):
    """fmd_admin cannot be bound to this application, or is not bound yet."""


class StoreError(FMDError):
    """The store cannot be opened or is not usable as it stands."""


class SchemaError(StoreError):
    """The tables are older or newer than this version of fmd_admin can use."""


class NewerSchemaError(SchemaError):
    """The tables are newer than this version of fmd_admin, as after an upgrade was rolled back."""


class BatchRefusedError(StoreError):
    """The database answers, but refuses these rows; trying again would not help."""


class PartlyStoredError(StoreError):
    """The first rows of a batch are stored already, up to the number ``known``."""

    def __init__(self, known: int) -> None:
        super().__init__(f"The rows up to number {known} are stored already.")
        self.known = known


class SpoolError(FMDError):
    """The local spool cannot be used; the message says why."""


class ImportSourceError(FMDError):
    """There is no database of Flask-MonitoringDashboard where one was to be read."""


class LeaseLostError(StoreError):
    """Another process took the lease over; the transaction was rolled back."""


class AccountError(FMDError):
    """An account cannot be created or changed as asked."""


class ScopeError(FMDError):
    """A time range or filter in a URL is not understood."""


class GraphError(FMDError):
    """A custom graph cannot be added as asked, or its function gave no number."""


class ScheduleError(FMDError):
    """A schedule has a field or value that is not understood; the message names the right ones."""


class AlertError(FMDError):
    """An alert target cannot be used or stored as asked, or an alert could not be sent."""
