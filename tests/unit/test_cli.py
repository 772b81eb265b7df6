"""manage.py and flask fmd: what they do, what they say, and how they end."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import delete, func, select, text

from fmd_admin import __version__, cli
from fmd_admin.records import Batch, Row
from fmd_admin.store.accounts import accounts, authenticate
from fmd_admin.store.models import Day, DayStatus, Hour, HourStatus
from fmd_admin.store.rollups import merge_deltas
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ..cheap_hashes import use_cheap_hashes
from ..integration.servers import command_server, free_port
from ..support import Bound
from ..warm import Warm

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse"
MIGRATE = "The tables of fmd_admin are missing or older than this version. Run: flask fmd migrate"
APP = """
from flask import Flask
from fmd_admin import FMDAdmin

app = Flask("shop", instance_path={folder!r})
app.add_url_rule("/", "index", lambda: "hello")
bare = Flask("bare")

def create_app(**settings):
    made = Flask("made", instance_path={folder!r})
    FMDAdmin(made, settings=settings)
    return made
"""


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_cheap_hashes(monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A database without tables."""
    return f"sqlite:///{tmp_path}/fmd.db"


@pytest.fixture
def ready(store: Store) -> str:
    """The migrated database of ``store``."""
    return store.engine.url.render_as_string()


def manage(*arguments: str, **options: str) -> Result:
    """Run ``manage.py`` in this process."""
    return CliRunner().invoke(cli.manage, arguments, **options)


def run(*command: str, warm: Warm | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, in the current folder."""
    python_path = os.pathsep.join([str(ROOT), os.getcwd()])
    env = {**os.environ, "PYTHONPATH": python_path, **env}
    if warm is not None:
        return warm.run(command, Path.cwd(), env)
    return subprocess.run(
        [sys.executable, *command], env=env, capture_output=True, text=True, timeout=60
    )


def fails(result: Result, message: str, code: int = 1) -> None:
    """The last line says ``message``, and nothing else is said but click's usage."""
    assert result.exit_code == code, result.output
    *usage, line = result.stderr.splitlines()
    assert line.startswith("Error: "), result.stderr
    assert message in line
    assert not usage or (code == 2 and usage[0].startswith("Usage: "))
    assert isinstance(result.exception, SystemExit)


# manage.py


def test_migrate_then_check(database: str) -> None:
    fails(manage("--database", database, "check"), MIGRATE)
    fails(manage("--database", database, "create-user", "bob", "--password", PASSWORD), MIGRATE)
    fails(manage("--database", database, "rebuild-rollups"), MIGRATE)
    done = manage("--database", database, "migrate")
    assert (done.exit_code, done.output) == (0, "The tables are now at this version.\n")
    again = manage("--database", database, "migrate")
    assert (again.exit_code, again.output) == (0, "The tables are up to date.\n")
    checked = manage("--database", database, "check")
    assert checked.exit_code == 0
    lines = checked.stdout.splitlines()
    assert lines[:2] == [f"fmd_admin {__version__}", f"database: {database}"]
    assert lines[-1] == "ok"
    assert "accounts: 0" in lines


def test_check_counts_what_is_there(store: Store, ready: str) -> None:
    write(store, 1_234, dropped=56, faults=7)
    lines = manage("--database", ready, "check").stdout.splitlines()
    assert "endpoints: 2" in lines
    assert "versions: 1" in lines
    assert "requests: 1,234" in lines
    assert "requests dropped: 56, faults of fmd_admin: 7" in lines


def test_create_user(store: Store, ready: str) -> None:
    create = ("--database", ready, "create-user")
    made = manage(*create, "vera", "--password", PASSWORD)
    assert (made.exit_code, made.output) == (0, "Created viewer vera.\n")
    made = manage(*create, "anna", "--role", "admin", input=f"{PASSWORD}\n{PASSWORD}\n")
    assert made.exit_code == 0
    assert made.output.endswith("Created admin anna.\n")
    assert PASSWORD not in made.output
    with store.read() as connection:
        assert [(a.username, a.role) for a in accounts(connection)] == [
            ("anna", "admin"),
            ("vera", "viewer"),
        ]
    account = authenticate(store, "anna", PASSWORD, None, time.time_ns() // 1_000_000)
    assert getattr(account, "username", None) == "anna"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["anna", "--password", PASSWORD], "There is a user 'anna' already. Choose another", 1),
        (["ANNA", "--password", PASSWORD], "There is a user 'ANNA' already. Choose another", 1),
        (["bob", "--password", "short"], "Use at least 8 characters", 1),
        (["bob", "--password", "bob"], "", 1),
        (["", "--password", PASSWORD], "", 1),
        (["bob", "--password", PASSWORD, "--role", "boss"], "'admin', 'viewer'", 2),
        (["--password", PASSWORD], "Missing argument 'USERNAME'", 2),
    ],
)
def test_a_user_that_cannot_be(
    store: Store, ready: str, arguments: list[str], message: str, code: int
) -> None:
    create = ("--database", ready, "create-user")
    assert manage(*create, "anna", "--password", PASSWORD).exit_code == 0
    fails(manage(*create, *arguments), message, code)
    with store.read() as connection:
        assert [account.username for account in accounts(connection)] == ["anna"]


def test_rebuild_rollups(store: Store, ready: str) -> None:
    write(store, 100)
    with store.write() as connection:
        merge_deltas(connection, store.timezone)
    before = rollups(store)
    with store.write() as connection:
        for table in (Hour, HourStatus, Day, DayStatus):
            connection.execute(delete(table))
    done = manage("--database", ready, "rebuild-rollups")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("100 requests counted again, 2 hours and ")
    tables = ("fmd_hour", "fmd_status", "fmd_day", "fmd_day_status")
    assert rollups(store) == before == dict.fromkeys(tables, 100)


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ("nonsense", "allowed: an SQLAlchemy URL such as sqlite:///"),
        ("nosuch://anna:secret@127.0.0.1/x", "nosuch://anna:***@127.0.0.1/x cannot be used"),
        ("sqlite:////dev/null/x.db", "x.db"),
        ("sqlite:///text.db", "file is not a database"),
        ("sqlite:///folder", "unable to open database file"),
    ],
)
@pytest.mark.parametrize("command", ["check", "migrate"])
def test_a_database_that_cannot_be_used(command: str, database: str, message: str) -> None:
    Path("text.db").write_text("This is a letter, and no database at all. " * 50)
    Path("folder").mkdir()
    result = manage("--database", database, command)
    fails(result, message)
    assert "secret" not in result.output


def test_tables_of_a_newer_version(store: Store, ready: str) -> None:
    with store.write() as connection:
        connection.execute(text("update fmd_alembic_version set version_num = '9999'"))
    for command in ("check", "migrate", "rebuild-rollups"):
        result = manage("--database", ready, command)
        fails(result, "newer than this version of fmd_admin. Upgrade it with: pip install")


def test_settings_come_from_the_config_file(tmp_path: Path, database: str) -> None:
    (tmp_path / "fmd.cfg").write_text(f"[dashboard]\nDATABASE = {database}\n")
    done = manage("--config", "fmd.cfg", "migrate")
    assert done.exit_code == 0, done.output
    assert Path("fmd.db").is_file()


def test_the_default_database_lies_in_the_current_folder(tmp_path: Path) -> None:
    assert manage("migrate").exit_code == 0
    assert [path.name for path in tmp_path.glob("*.db")] == ["fmd_admin.db"]


def test_settings_that_are_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    fails(manage("--config", "gone.cfg", "check"), "gone.cfg does not exist. Mend the path")
    Path("bad.cfg").write_text("[dashboard]\nPAGE_SIZE = 5\n")
    fails(
        manage("--config", "bad.cfg", "check"),
        "PAGE_SIZE from bad.cfg [dashboard] is '5'; allowed: a whole number from 10 to 500.",
    )
    Path("odd.cfg").write_text("[dashboard]\nPAGES = 5\n")
    fails(manage("--config", "odd.cfg", "check"), "Unknown setting PAGES from odd.cfg")
    monkeypatch.setenv("FMD_TIMEZONE", "Mars/Olympus")
    fails(manage("check"), "(FMD_TIMEZONE) is 'Mars/Olympus'; allowed: an IANA time zone")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([], "Name the app to serve, for example: manage.py run shop:create_app()"),
        (["nothing:app"], "nothing:app cannot be imported: No module named 'nothing'"),
        (["stock:lamps"], "stock:lamps cannot be imported"),
        (["stock:tents"], "stock:tents is no Flask app but a list."),
        (["stock:make()"], "stock:make() is no Flask app but a int."),
    ],
)
def test_an_app_that_cannot_be_run(
    monkeypatch: pytest.MonkeyPatch, target: list[str], message: str
) -> None:
    Path("stock.py").write_text("tents = []\ndef make():\n    return 3\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "stock", raising=False)
    fails(manage("run", *target), message, 2)
    sys.modules.pop("stock", None)


@pytest.mark.parametrize("command", ["demo", "test"])
def test_commands_that_need_a_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.setattr(cli, "CHECKOUT", tmp_path)
    fails(manage(command), f"Clone the repository and run: python manage.py {command}")


# flask fmd


@pytest.fixture
def flask_fmd(bind: Callable[..., Bound]) -> Callable[..., Result]:
    """Run ``flask fmd`` in this process for a bound app, or for ``app``."""
    bound: list[Bound] = []

    def run_it(*arguments: str, app: Flask | None = None) -> Result:
        if app is None and not bound:
            bound.append(bind())
        runner = (app or bound[0].app).test_cli_runner()
        return runner.invoke(cli.fmd, arguments)

    return run_it


def test_flask_fmd_uses_the_apps_database(flask_fmd: Callable[..., Result], database: str) -> None:
    assert flask_fmd("migrate").output == "The tables are up to date.\n"
    assert flask_fmd("create-user", "vera", "--password", PASSWORD).exit_code == 0
    checked = flask_fmd("check")
    assert checked.exit_code == 0
    assert f"database: {database}\n" in checked.output
    assert "accounts: 2\n" in checked.output
    assert flask_fmd("rebuild-rollups").output.startswith("0 requests counted again")
    fails(flask_fmd("create-user", "vera", "--password", PASSWORD), "There is a user 'vera'")


def test_flask_fmd_of_an_app_that_is_not_bound(flask_fmd: Callable[..., Result]) -> None:
    for command in ("migrate", "check", "rebuild-rollups"):
        fails(flask_fmd(command, app=Flask("bare")), "not bound to 'bare'. Bind it with")


# In processes of their own


@pytest.fixture
def shop(tmp_path: Path) -> SimpleNamespace:
    (tmp_path / "shop.py").write_text(APP.format(folder=str(tmp_path / "instance")))
    return SimpleNamespace(database=f"sqlite:///{tmp_path}/instance/fmd_admin.db")


def ended(done: subprocess.CompletedProcess[str], code: int = 0) -> str:
    """Return what a process said if it ended as expected."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def test_manage_py_as_a_process(database: str, warm: Warm) -> None:
    script = str(ROOT / "manage.py")
    assert ended(run(script, "--database", database, "check"), 1).startswith(f"Error: {MIGRATE}")
    ended(run(script, "--database", database, "migrate", warm=warm))
    create = ("create-user", "anna", "--role", "admin", "--password", PASSWORD)
    assert ended(run(script, "--database", database, *create, warm=warm)) == "Created admin anna.\n"
    # The environment names a database as well as the option does.
    assert "accounts: 1\n" in ended(run(script, "check", warm=warm, FMD_DATABASE=database))


def test_flask_fmd_as_a_process(shop: SimpleNamespace, warm: Warm) -> None:
    flask = ("-m", "flask", "--app")
    first = run(*flask, "shop:create_app", "fmd", "check")
    assert f"database: {shop.database}\nendpoints: 0\n" in ended(first)
    assert len(re.findall(r"password: +\S{16}\n", first.stderr)) == 1
    again = run(*flask, "shop:create_app", "fmd", "check", warm=warm)
    assert "password" not in ended(again) + again.stderr
    bad = run(*flask, "shop:create_app(page_size=3)", "fmd", "check", warm=warm)
    assert ended(bad, 1) == (
        "Error: Setting PAGE_SIZE from code is 3; allowed: a whole number from 10 to 500.\n"
    )
    bare = run(*flask, "shop:bare", "fmd", "check", warm=warm)
    assert (
        ended(bare, 1) == "Error: fmd_admin is not bound to 'bare'. Bind it with: FMDAdmin(app)\n"
    )


def test_migrating_by_hand(shop: SimpleNamespace, warm: Warm) -> None:
    flask = ("-m", "flask", "--app", "shop:create_app(auto_migrate=False)", "fmd")
    assert ended(run(*flask, "check", warm=warm), 1).startswith(f"Error: {MIGRATE}")
    assert ended(run(*flask, "migrate", warm=warm)) == "The tables are now at this version.\n"
    assert ended(run(*flask, "check", warm=warm)).endswith("ok\n")


@pytest.mark.server
def test_run_serves_an_app_with_the_panel(shop: SimpleNamespace, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, str(ROOT / "manage.py"), "run", "shop:app", "--port", str(port)]
    with command_server(command, tmp_path, port) as server:
        found = {}
        for path in ("/", "/dashboard/login", "/dashboard/overview"):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            client.request("GET", path)
            response = client.getresponse()
            found[path] = response.status
            response.read()
            client.close()
        assert found == {"/": 200, "/dashboard/login": 200, "/dashboard/overview": 302}
        assert f"panel on http://127.0.0.1:{port}/dashboard/" in server.log


def write(store: Store, requests: int, **counts: int) -> None:
    """Store requests of two endpoints, one a minute."""
    start_ms = 1_795_000_000_000 // 3_600_000 * 3_600_000
    rows = [
        Row(
            start_ms + 60_000 * n,
            ("index", "item")[n % 2],
            5.0,
            200 + 204 * (n % 2),
            "GET",
            None,
            None,
        )
        for n in range(requests)
    ]
    BatchWriter(store, lambda: 1).write(Batch("one", 1, "1.0", rows, **counts))


def rollups(store: Store) -> dict[str, int]:
    """The hits in each table of rollups."""
    with store.read() as connection:
        return {
            table.__tablename__: connection.scalar(select(func.sum(table.hits))) or 0
            for table in (Hour, HourStatus, Day, DayStatus)
        }
