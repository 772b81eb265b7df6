"""Serves one of the applications here, as it is or with fmd_admin, until its input ends.

    python -m examples.apps.serve NAME FOLDER [--monitored]

Prints its port.
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from fmd_admin import FMDAdmin


class Quiet(WSGIRequestHandler):
    """Does not print a line for each request."""

    def log(self, type: str, message: str, *arguments: Any) -> None:
        pass


def main(name: str, folder: str, *options: str) -> None:
    app = importlib.import_module(f"examples.apps.{name}").create_app(folder)
    if "--monitored" in options:
        FMDAdmin(app)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    print(server.port, flush=True)
    sys.stdin.read()
    server.shutdown()
    thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
