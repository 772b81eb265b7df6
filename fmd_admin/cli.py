"""The command line: ``flask fmd …`` for a bound app, ``python manage.py …`` for a checkout."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import ScriptInfo
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from werkzeug.serving import run_simple

from . import extension, opening, settings, standalone
from .compat.fmd_database import open_fmd
from .compat.import_fmd import import_fmd
from .errors import FMDError
from .jobs.pruning import Pruning, prune_now
from .store import accounts, retention, rollups, schema
from .store.calendar import Calendar
from .store.live import LiveConfig
from .store.models import Endpoint, Request, User, Version, Writer
from .store.store import Store
from .store.types import from_millis
from .version import __version__

#: Where manage.py's options wait for its commands in click's context.
_SOURCES = "fmd_admin.sources"
CHECKOUT = Path(__file__).resolve().parent.parent


class Friendly(click.Group):
    """A group whose commands show our errors as one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FMDError as error:
            raise click.ClickException(str(error)) from error
        except DBAPIError as error:
            raise click.ClickException(f"The database does not answer: {error.orig}") from error


def _store(ctx: click.Context) -> Store:
    """The store of the bound app under ``flask fmd``, else the one that the options name."""
    info = ctx.find_object(ScriptInfo)
    if info is not None:
        return extension.of(info.load_app()).store
    values = settings.load(**ctx.meta[_SOURCES]).values
    return extension.open_store(values, Path.cwd())


@click.command()
@click.pass_context
def migrate(ctx: click.Context) -> None:
    """Create or upgrade the tables."""
    ctx.meta[opening.MIGRATING] = True
    done = schema.migrate(_store(ctx))
    click.echo("The tables are now at this version." if done else "The tables are up to date.")


@click.command("create-user")
@click.argument("username")
@click.option("--role", type=click.Choice(["admin", "viewer"]), default="viewer", show_default=True)
@click.password_option(help="Asked for where it is left out.")
@click.pass_context
def create_user(ctx: click.Context, username: str, role: str, password: str) -> None:
    """Create an account of the panel."""
    store = _store(ctx)
    schema.check_schema(store)
    accounts.create_user(store, username, password, role)
    click.echo(f"Created {role} {username}.")


@click.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Say whether the store is usable, and what is in it."""
    store = _store(ctx)
    click.echo(f"fmd_admin {__version__}")
    click.echo(f"database: {store.engine.url.render_as_string(hide_password=True)}")
    schema.check_schema(store)
    with store.read() as connection:
        for label, table in (
            ("endpoints", Endpoint),
            ("versions", Version),
            ("requests", Request),
            ("accounts", User),
        ):
            count = connection.scalar(select(func.count()).select_from(table))
            click.echo(f"{label}: {count:,}")
        dropped, faults = connection.execute(
            select(func.sum(Writer.dropped), func.sum(Writer.faults))
        ).one()
    click.echo(f"requests dropped: {dropped or 0:,}, faults of fmd_admin: {faults or 0:,}")
    click.echo("ok")


@click.command("rebuild-rollups")
@click.pass_context
def rebuild_rollups(ctx: click.Context) -> None:
    """Compute the rollups anew from the raw requests; requests may come in meanwhile."""
    store = _store(ctx)
    schema.check_schema(store)
    report = rollups.rebuild(store)
    click.echo(str(report))


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(
        [
            k.name
            for k in retention.KINDS
            if k.name not in retention.FOLLOW and retention.tables_of(k)
        ]
    ),
    help="Only this kind of data; may be given several times.",
)
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d"]),
    help="What is older than this day goes, whatever the settings say. Needs --kind.",
)
@click.pass_context
def prune(
    ctx: click.Context, dry_run: bool, kinds: tuple[str, ...], before: datetime | None
) -> None:
    """Delete what is older than the KEEP settings allow; requests may come in meanwhile."""
    if before is not None and not kinds:
        raise click.UsageError(
            "--before needs --kind, so that nothing goes that you did not mean. "
            "Example: prune --kind requests --before 2026-01-31"
        )
    store = _store(ctx)
    schema.check_schema(store)
    plan = _pruning(ctx, store).everything()
    if before is not None:
        before_ms = Calendar(store.timezone).date_start(before.date())
        plan = {kind.name: before_ms for kind in retention.KINDS if kind.name in kinds}
    elif kinds:
        plan = {name: before_ms for name, before_ms in plan.items() if name in kinds}
    if kinds:
        plan = retention.with_lines(plan, time.time_ns() // 1_000_000)
    if dry_run:
        click.echo("Would be deleted:")
        with store.read() as connection:
            for name, before_ms in plan.items():
                if name in retention.BY_NAME:
                    kind = retention.BY_NAME[name]
                    amount = retention.amount_before(connection, kind, before_ms)
                    click.echo(_pruned(store, name, before_ms, str(amount)))
        if retention.NAMES in plan:
            click.echo(f"  {retention.NAMES_LABEL}: those that are left without any")
    else:
        deleted = prune_now(store, plan, "command line", _say_progress)
        click.echo("Deleted:")
        for name, before_ms in plan.items():
            click.echo(_pruned(store, name, before_ms, f"{deleted.get(name, 0):,}"))
    for name in kinds:
        if name not in plan:
            click.echo(f"  {retention.label_of(name)}: kept for ever")


def _say_progress(deleted: Mapping[str, int]) -> None:
    click.echo(f"{sum(deleted.values()):,} rows so far …", err=True)


def _pruning(ctx: click.Context, store: Store) -> Pruning:
    """What the bound app deletes by age, or what the settings say without one."""
    info = ctx.find_object(ScriptInfo)
    if info is not None:
        return extension.of(info.load_app()).jobs.pruning
    config = _config(ctx)
    with store.read() as connection:
        config.refresh(connection)
    return Pruning(store, fence=lambda _connection: None, loaded=lambda: config.loaded)


def _config(ctx: click.Context) -> LiveConfig:
    """The settings of the bound app, or those that the options name."""
    info = ctx.find_object(ScriptInfo)
    if info is not None:
        return extension.of(info.load_app()).config
    return LiveConfig(settings.load(**ctx.meta[_SOURCES]))


def _pruned(store: Store, name: str, before_ms: int, rows: str) -> str:
    label = retention.label_of(name)
    if name == retention.NAMES:
        return f"  {label}: {rows}"
    day = from_millis(before_ms).astimezone(store.timezone)
    return f"  {label} before {day:%Y-%m-%d}: {rows}"


@click.command("import-fmd")
@click.argument("url")
@click.option("--table-prefix", metavar="PREFIX", help="TABLE_PREFIX of the old config.cfg.")
@click.pass_context
def import_fmd_command(ctx: click.Context, url: str, table_prefix: str | None) -> None:
    """Bring the database of Flask-MonitoringDashboard at URL over.

    It is only read. Stop the old application first. May be interrupted and started again.
    """
    store = _store(ctx)
    schema.check_schema(store)
    config = _config(ctx)
    with store.read() as connection:
        config.refresh(connection)
    info = ctx.find_object(ScriptInfo)
    old = open_fmd(url, table_prefix)
    bar: Any = click.progressbar(
        length=1, label="Requests", show_pos=True, file=sys.stderr, item_show_func=_Pace()
    )
    try:
        with bar:
            report = import_fmd(
                old,
                store,
                config.values,
                progress=partial(_show_progress, bar),
                import_name=None if info is None else info.load_app().import_name,
            )
    finally:
        old.close()
    click.echo("\n".join(report.lines()))
    keep = config.values.keep_requests_days
    if keep:
        click.echo(
            f"Requests older than {keep} days are deleted soon, as KEEP_REQUESTS_DAYS says, and "
            "profiles and outliers by their settings. The charts keep counting them."
        )


class _Pace:
    """Says how many rows a second there have been."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, done: int | None) -> str | None:
        passed_s = time.monotonic() - self._began
        return f"{done / passed_s:,.0f} rows/s" if done and passed_s > 0 else None


def _show_progress(bar: Any, done: int, total: int) -> None:
    # click leaves the line out where nobody looks at a terminal.
    bar.length = max(total, 1)
    bar.update(done - bar.pos, done)


@click.command()
@click.argument("target", required=False)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=5000, show_default=True)
@click.pass_context
def run(ctx: click.Context, target: str | None, host: str, port: int) -> None:
    """Serve an app with the panel: TARGET is module:app or module:factory()."""
    info = ctx.find_object(ScriptInfo)
    if target is None and info is None:
        raise click.UsageError(
            "Name the app to serve, for example: manage.py run shop:create_app()"
        )
    app = _import_app(target) if target else info.load_app()  # type: ignore[union-attr]
    if extension.EXTENSION not in app.extensions:
        extension.FMDAdmin(app)
    values = extension.of(app).config.values
    panel = f"panel on http://{host}:{port}/{values.link.strip('/')}/"
    click.echo(
        f" * {app.name} on http://{host}:{port}/, {panel if values.panel else 'without a panel'}"
    )
    _serve(app, host, port)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=5050, show_default=True)
@click.pass_context
def panel(ctx: click.Context, host: str, port: int) -> None:
    """Serve the panel on its own, apart from the app."""
    info = ctx.find_object(ScriptInfo)
    if info is None:
        app = standalone.panel_app(settings.load(**ctx.meta[_SOURCES]), str(Path.cwd()))
    else:
        measured = info.load_app()
        loaded = extension.of(measured).config.loaded
        app = standalone.panel_app(loaded, measured.instance_path)
    click.echo(f" * panel on http://{host}:{port}/")
    _serve(app, host, port)


def _import_app(target: str) -> Flask:
    module_name, _, attribute = target.partition(":")
    attribute = attribute or "app"
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module_name), attribute.removesuffix("()"))
    except (ImportError, AttributeError) as error:
        raise click.UsageError(f"{target} cannot be imported: {error}") from error
    app = found() if attribute.endswith("()") else found
    if not isinstance(app, Flask):
        raise click.UsageError(f"{target} is no Flask app but a {type(app).__name__}.")
    return app


def _serve(app: Flask, host: str, port: int) -> None:
    try:
        from waitress import serve  # type: ignore[import-untyped]
    except ImportError:
        # Not app.run: it does nothing below the flask command. It warns that it is for development.
        run_simple(host, port, app, threaded=True)
    else:
        serve(app, host=host, port=port)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Start a sample shop with the panel and send it real HTTP requests (--help: its options)."""
    _needs_checkout("demo", "examples/shop")
    sys.path.insert(0, str(CHECKOUT))
    sys.exit(importlib.import_module("examples.shop.demo").main(list(arguments)))


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> None:
    """Run the test suite, on all processors; arguments go to pytest."""
    _needs_checkout("test", "tests")
    if not any(argument.startswith("-n") for argument in arguments):
        # Many tests wait for servers, so there is one process more than processors. Those of a file
        # share what they need.
        processes = str((os.cpu_count() or 1) + 1)
        options = ("--dist", "loadfile", "--no-loadscope-reorder")
        arguments = ("-n", processes, *options, *arguments)
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", *arguments], cwd=CHECKOUT))  # noqa: S603


def _needs_checkout(name: str, folder: str) -> None:
    if not (CHECKOUT / folder).is_dir():
        raise click.ClickException(
            f"'{name}' needs a checkout of fmd_admin, and {CHECKOUT / folder} does not exist. "
            "Clone the repository and run: python manage.py " + name
        )


_COMMANDS = (
    *(check, create_user, demo, import_fmd_command, migrate, panel, prune),
    *(rebuild_rollups, run, test),
)


@click.group("fmd", cls=Friendly)
def fmd() -> None:
    """Commands of fmd_admin for the app of this folder."""


@click.group(cls=Friendly)
@click.option("--config", metavar="FILE", help="Config file with settings.")
@click.option("--database", metavar="URL", help="Database of the measurements.")
@click.pass_context
def manage(ctx: click.Context, config: str | None, database: str | None) -> None:
    """Commands of fmd_admin that need no host app."""
    ctx.meta[_SOURCES] = {"file": config, "code": {"database": database} if database else {}}


for _command in _COMMANDS:
    fmd.add_command(_command)
    manage.add_command(_command)
