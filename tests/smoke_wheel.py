"""Run with the Python of a clean environment that holds nothing but the built wheel.

Binds the panel to an app, sends it a request, reads it back and opens the panel's login page with
its style sheet: what a wheel without its templates, static files or migrations cannot do.
"""

import re
import sys
import tempfile
from pathlib import Path

from flask import Flask

import fmd_admin
from fmd_admin.extension import of


def main() -> int:
    installed = Path(fmd_admin.__file__).resolve()
    assert "site-packages" in installed.parts, f"{installed} is not an installed wheel"
    with tempfile.TemporaryDirectory() as folder:
        app = Flask("smoke", instance_path=folder)
        app.add_url_rule("/hello", "hello", lambda: "hello")
        fmd_admin.FMDAdmin(app, settings={"username": "anna", "password": "correct horse"})
        client = app.test_client()
        # Buffered: closed as a server closes it, which is the end of the request.
        assert client.get("/hello", buffered=True).data == b"hello"
        monitor = of(app)
        monitor.recorder.flush()
        with monitor.store.read() as connection:
            count = connection.exec_driver_sql("SELECT count(*) FROM fmd_request").scalar()
        assert count == 1, count
        login = client.get("/dashboard/login")
        assert login.status_code == 200, login.status
        styles = re.findall(r'href="([^"]+\.css[^"]*)"', login.text)
        assert styles, "the login page has no style sheet"
        for style in styles:
            assert client.get(style.replace("&amp;", "&")).status_code == 200, style
        monitor.close()
    print(f"fmd_admin {fmd_admin.__version__} works from {installed.parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
