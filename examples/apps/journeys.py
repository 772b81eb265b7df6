"""What a visitor asks each application for, and which endpoint answers; None: none of Flask's.

``{csrf}`` and ``{sid}`` stand for what an answer before has shown.
"""

from __future__ import annotations

from .httpbin_journey import HTTPBIN
from .steps import UNMATCHED, Step

_ANNA = {"username": "anna", "password": "tent"}
_POST = {"title": "First <b>", "body": "Hello"}
_CSRF = {"csrf_token": "{csrf}"}
_SOCKET = "/socket.io/?EIO=4&transport=polling"
_SESSION = _SOCKET + "&sid={sid}"

JOURNEYS: dict[str, tuple[Step, ...]] = {
    "httpbin": HTTPBIN,
    "flaskr": (
        Step("GET", "/hello", "hello"),
        Step("GET", "/", "blog.index"),
        Step("GET", "/create", "blog.create"),
        Step("GET", "/auth/register", "auth.register"),
        Step("POST", "/auth/register", "auth.register", form=_ANNA),
        Step("POST", "/auth/register", "auth.register", form=_ANNA),
        Step("POST", "/auth/register", "auth.register", form={"username": "anna"}),
        Step("POST", "/auth/login", "auth.login", form={**_ANNA, "password": "wrong"}),
        Step("GET", "/auth/login", "auth.login"),
        Step("POST", "/auth/login", "auth.login", form=_ANNA),
        Step("POST", "/create", "blog.create", form=_POST),
        Step("POST", "/create", "blog.create", form={"title": "", "body": "x"}),
        Step("GET", "/", "blog.index"),
        Step("GET", "/1/update", "blog.update"),
        Step("POST", "/1/update", "blog.update", form={**_POST, "title": "Second"}),
        Step("GET", "/7/update", "blog.update"),
        Step("HEAD", "/", "blog.index"),
        Step("GET", "/1/delete", UNMATCHED),
        Step("POST", "/1/delete", "blog.delete"),
        Step("GET", "/static/none.css", "static"),
        Step("GET", "/auth/logout", "auth.logout"),
        Step("GET", "/nowhere", UNMATCHED),
    ),
    "pets": (
        Step("GET", "/pets/", "pets.Pets"),
        Step("POST", "/pets/", "pets.Pets", data={"name": "Rex"}),
        Step("POST", "/pets/", "pets.Pets", data={"nickname": "R"}),
        Step("POST", "/pets/", "pets.Pets", text="{no json"),
        Step("GET", "/pets/?name=Rex", "pets.Pets"),
        Step("GET", "/pets/1", "pets.Pet"),
        Step("GET", "/pets/7", "pets.Pet"),
        Step("GET", "/pets/x", UNMATCHED),
        Step("DELETE", "/pets/1", "pets.Pet"),
        Step("PUT", "/pets/1", UNMATCHED),
        Step("OPTIONS", "/pets/", "pets.Pets"),
        Step("GET", "/docs/openapi.json", "api-docs.openapi_json"),
    ),
    "chat": (
        Step("GET", "/", "index"),
        Step("GET", _SOCKET, None),
        Step("POST", _SESSION, None, text="40"),
        Step("GET", _SESSION, None),
        Step("POST", _SESSION, None, text='42["say","hello"]'),
        Step("GET", _SESSION, None),
        Step("GET", "/", "index"),
        Step("GET", "/nowhere", UNMATCHED),
    ),
    "office": (
        Step("GET", "/desk", "desk"),
        Step("GET", "/admin/", "admin.index"),
        Step("GET", "/login", "login"),
        Step("POST", "/login", "login", form={"name": "anna"}),
        Step("POST", "/login", "login", form={"name": "anna", **_CSRF}),
        Step("GET", "/desk", "desk"),
        Step("GET", "/admin/", "admin.index"),
        Step("GET", "/admin/letter/", "letter.index_view"),
        Step("GET", "/admin/letter/new/", "letter.create_view"),
        Step("POST", "/admin/letter/new/", "letter.create_view", form={"subject": "Hi", **_CSRF}),
        Step("GET", "/admin/letter/", "letter.index_view"),
        Step("GET", "/desk?closed=1", "desk"),
        Step("GET", "/admin/static/vendor/jquery.min.js", "admin.static"),
        Step("GET", "/dashboards", "everything_else"),
        Step("GET", "/a/b/c", "everything_else"),
        Step("POST", "/logout", "logout", form=_CSRF),
        Step("GET", "/desk", "desk"),
    ),
    "crm": (
        Step("GET", "/", "IndexView.index"),
        Step("GET", "/contactview/list/", "ContactView.list"),
        Step("GET", "/login/", "AuthDBView.login"),
        Step(
            "POST",
            "/login/",
            "AuthDBView.login",
            form={"username": "anna", "password": "correct horse", **_CSRF},
        ),
        Step("GET", "/contactview/list/", "ContactView.list"),
        Step("GET", "/contactview/add", "ContactView.add"),
        Step("POST", "/contactview/add", "ContactView.add", form={"name": "Bert", **_CSRF}),
        Step("GET", "/contactview/list/", "ContactView.list"),
        Step("GET", "/contactview/show/1", "ContactView.show"),
        Step("GET", "/static/appbuilder/css/ab.css", "appbuilder.static"),
        Step(
            "POST",
            "/api/v1/security/login",
            "SecurityApi.login",
            data={"username": "anna", "password": "wrong", "provider": "db"},
        ),
        Step("GET", "/logout/", "AuthDBView.logout"),
    ),
}
