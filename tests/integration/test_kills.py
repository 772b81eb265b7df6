"""SIGKILL under load: every request whose answer came is stored, once."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import psutil
import pytest

from .load import Load, assert_once, spools, wait_for, write_app
from .servers import IMPORTED, gunicorn

pytestmark = [pytest.mark.server, pytest.mark.every_engine, pytest.mark.usefixtures("warm_servers")]

#: ``KILLS=50`` for all of them.
KILLS = int(os.environ.get("KILLS", "3"))


def options(engine: str) -> list[str]:
    """Those of gunicorn: each worker loads the app for itself, or is forked with it."""
    found = ["-w", "4", "-k", "gthread", "--threads", "8", *IMPORTED]
    return found if engine == "sqlite" else [*found, "--preload"]


def test_one_of_four_processes_is_killed_again_and_again(tmp_path: Path, engine: str) -> None:
    write_app(tmp_path)
    chance = random.Random(5)
    killed = 0
    with gunicorn("loaded:app", tmp_path, *options(engine)) as server:
        with Load(server.port, connections=16) as load:
            while killed < KILLS:
                load.wait_for_more(chance.randrange(100, 400))
                workers = psutil.Process(server.process.pid).children()
                if workers:
                    chance.choice(workers).kill()
                    killed += 1
            load.wait_for_more(100)
        # The living take over what is there, and go on.
        assert_once(tmp_path, load.answered)
        print(json.dumps({"engine": engine, "kills": killed, "answered": len(load.answered)}))
        assert server.stop() == 0
        assert "fmd_admin:" not in server.log.replace("* fmd_admin:", "")
    assert spools(tmp_path) == []


def test_the_next_start_stores_what_killed_processes_left(tmp_path: Path, engine: str) -> None:
    """All are killed at once, with no time for a flush; the next server has it after a request."""
    write_app(tmp_path, flush_interval_s=1.0)
    with (
        gunicorn("loaded:app", tmp_path, *options(engine)) as server,
        Load(server.port, connections=8) as load,
    ):
        load.wait_for_more(300)
        workers = psutil.Process(server.process.pid).children()
        server.process.kill()  # It starts no new ones.
        for worker in workers:
            worker.kill()
        load.end.set()
    assert spools(tmp_path)
    with gunicorn("loaded:app", tmp_path, *options(engine)) as server:
        with Load(server.port, connections=1, prefix="later") as later:
            later.wait_for_more(1)
        assert_once(tmp_path, [*load.answered, *later.answered])
        wait_for(lambda: len(spools(tmp_path)) <= 4, "left-overs are gone")
        assert server.stop() == 0
