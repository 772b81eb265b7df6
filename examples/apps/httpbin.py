"""httpbin, which nobody here wrote: whatever HTTP has, as an answer."""

from __future__ import annotations

import random
import sys

from flask import Flask

from examples.httpbin_bound import httpbin_folder


def create_app(instance_path: str) -> Flask:
    sys.path.append(str(httpbin_folder()))
    from httpbin import app

    app.instance_path = instance_path
    # Its random bytes are the same with each start, as long as nobody else takes of them.
    random.seed(0)
    return app
