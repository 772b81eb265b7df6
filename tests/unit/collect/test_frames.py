"""Whose code a line is, how its file is called, and where its text comes from."""

from __future__ import annotations

import importlib
import json.decoder
import sys
import sysconfig
from pathlib import Path
from types import CodeType

import flask
import pytest
from flask import Flask, render_template

from fmd_admin.collect import watcher
from fmd_admin.collect.frames import Frames, template_lines


def compiled(file: str, source: str = "def view():\n    x = 1\n    return x\n") -> CodeType:
    module = compile(source, file, "exec")
    return next(const for const in module.co_consts if isinstance(const, CodeType))


@pytest.mark.parametrize(
    ("file", "own"),
    [
        (__file__, True),
        ("/srv/shop/views.py", True),
        ("templates/index.html", True),
        (flask.__file__, False),
        (json.decoder.__file__, False),
        (watcher.__file__, False),
        ("/other/venv/lib/python3.9/site-packages/x/y.py", False),
        ("/usr/lib/python3/dist-packages/x.py", False),
        ("C:\\venv\\Lib\\site-packages\\x.py", False),
        ("<string>", False),
        ("<frozen importlib._bootstrap>", False),
        (str(Path(sysconfig.get_paths()["stdlib"]) / "x.py"), False),
    ],
)
def test_whose_code_a_file_is(file: str, own: bool) -> None:
    frames = Frames()
    assert frames.is_own(file) is own
    assert frames.is_own(file) is own


def test_an_installed_host_is_the_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "shop_of_test"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(package.parent))
    importlib.import_module("shop_of_test")
    monkeypatch.delitem(sys.modules, "shop_of_test", raising=False)
    module = importlib.import_module("shop_of_test")
    assert module.__file__ is not None
    try:
        frames = Frames("shop_of_test.app")
        assert frames.is_own(str(package / "views.py"))
        assert not frames.is_own(str(package.parent / "other" / "views.py"))
        assert not Frames("nowhere.at.all").is_own(str(package / "views.py"))
    finally:
        del sys.modules["shop_of_test"]


def test_a_frame_has_line_function_and_short_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop").mkdir()
    file = tmp_path / "shop" / "views.py"
    file.write_text("def view():\n    x = 1\n    return x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    frames = Frames()
    code = compiled(str(file))
    lines = {frames.frame(code, offset).line for offset in range(0, len(code.co_code), 2)}
    assert {2, 3} <= lines <= {1, 2, 3}
    last = frames.frame(code, len(code.co_code) - 2)
    assert last == ("shop/views.py", 3, "view", True)
    assert frames.source(last) == "return x"
    # The same object for the same instruction: a tree has many of them.
    assert frames.frame(code, len(code.co_code) - 2) is last


def test_two_files_of_the_same_short_name_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = Frames()
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "views.py").write_text(f"def view():\n    return '{name}'\n")
        monkeypatch.syspath_prepend(str(tmp_path / name))
        code = compiled(str(tmp_path / name / "views.py"), f"def view():\n    return '{name}'\n")
        made.append(frames.frame(code, len(code.co_code) - 2))
    assert made[0].file == "views.py"
    assert made[1].file == str(tmp_path / "two" / "views.py")
    assert [frames.source(frame) for frame in made] == ["return 'one'", "return 'two'"]


def test_a_file_that_is_gone_has_no_text() -> None:
    frames = Frames()
    frame = frames.frame(compiled("/nowhere/views.py"), 0)
    assert frame.file.endswith("nowhere/views.py")
    assert frames.source(frame) == ""


def test_methods_have_their_class_in_the_name() -> None:
    class View:
        def get(self) -> None:
            pass

    frame = Frames().frame(View.get.__code__, 0)
    expected = getattr(View.get.__code__, "co_qualname", "get")
    assert frame.function == expected


def test_lines_of_templates_are_those_of_their_source(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("one\ntwo\n{{ look() }}\n")
    app = Flask("host", template_folder=str(tmp_path))
    seen = []

    def look() -> str:
        frame = sys._getframe(1)
        while frame.f_code.co_filename != str(tmp_path / "page.html"):
            assert frame.f_back is not None
            frame = frame.f_back
        frames = Frames()
        made = frames.frame(frame.f_code, frame.f_lasti, template_lines(frame.f_globals))
        seen.append((made, frames.source(made)))
        return ""

    with app.test_request_context():
        render_template("page.html", look=look)
    [(frame, source)] = seen
    assert (frame.line, frame.own, source) == (3, True, "{{ look() }}")
    assert template_lines(globals()) is None
