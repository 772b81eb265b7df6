"""An app with the real Flask-MonitoringDashboard, and what it shows; run in its own environment.

    python fmd_app.py DATABASE VERSION PREFIX TRUTH ROUNDS

Serves the app over HTTP, sets levels 0 to 3, sends it requests, and writes what its JSON routes
say to the file TRUTH. ROUNDS is how often it was run on this database, this time included. It knows
nothing of fmd_admin.
"""

import http.client
import json
import sys
import threading
import time
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import flask_monitoringdashboard as dashboard
from flask import Flask, abort, request
from fmd_facts import ADMIN, LEVELS, SECRETS, USERS
from werkzeug.serving import WSGIRequestHandler, make_server

#: Requests, profiles and exceptions that are stored in one run.
HITS, PROFILED, RAISED = 33 + 2 + 4 + 8 + 4, 4, 2 + 7 + 1

app = Flask("fmd_app")
app.secret_key = "of the host"


@app.route("/off")
def off():
    return "off"


@app.route("/quick")
def quick():
    return "quick", int(request.args.get("status", 200))


@app.route("/failing")
def failing():
    raise ValueError("it fails")


def charge(card):
    if not card:
        abort(404)
    raise LookupError(f"there is no card {card}")


@app.route("/checkout")
def checkout():
    try:
        charge(request.args.get("card", type=int))
    except LookupError as error:
        dashboard.capture(error)
    raise RuntimeError("=".join(("the bank refuses token", SECRETS[2])))


@app.route("/slow")
def slow():
    time.sleep(float(request.args.get("s", 0.002)))
    if "fail" in request.args:
        raise TimeoutError(f"nobody answers to {request.args['password']}")
    return "slow"


def inner(seconds):
    time.sleep(seconds)


def decorated(function):
    return function


@app.route("/profiled")
@decorated
def profiled():
    inner(0.03)
    time.sleep(0.02)
    return "profiled"


@app.route("/never")
def never():
    return "never"


class Quiet(WSGIRequestHandler):
    def log(self, type, message, *args):
        pass


class Client:
    def __init__(self, port):
        self.port = port
        self.cookie = ""

    def send(self, method, path, form=None, data=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Cookie": self.cookie, **(headers or {})}
        body = None
        if form is not None:
            body = urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif data is not None:
            body = json.dumps({"data": data})
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        for value in answer.headers.get_all("Set-Cookie") or ():
            self.cookie = "; ".join(
                f"{morsel.key}={morsel.value}" for morsel in SimpleCookie(value).values()
            )
        connection.close()
        return answer.status, text

    def json(self, path, data=None):
        status, text = self.send(
            "GET" if data is None else "POST", f"/dashboard/api/{path}", data=data
        )
        assert status == 200, (path, status, text)
        return json.loads(text)

    def shown(self, path):
        """What a route says, None where it fails: it compares text with numbers on PostgreSQL."""
        status, text = self.send("GET", f"/dashboard/api/{path}")
        return json.loads(text) if status == 200 else None


def raised(client):
    return sum(one["count"] for one in client.json("exception_occurrence/0/100"))


def drive(client):
    def ask(path, user="anna", times=1, raises=0):
        for _ in range(times):
            before = raised(client) if raises else 0
            client.send("GET", path, headers={"X-User": user})
            # It loses exceptions that come at the same time.
            deadline = time.monotonic() + 30
            while raises and raised(client) < before + raises:
                assert time.monotonic() < deadline, path
                time.sleep(0.01)

    ask("/off", times=3)
    ask("/quick", times=20)
    ask("/quick", "bert", times=10)
    ask("/quick?status=404", times=3)
    ask("/failing", times=2, raises=1)
    ask("/checkout?card=17", times=2, raises=2)
    ask("/checkout?card=18", raises=2)
    ask("/checkout?card=0", raises=1)
    ask("/slow", times=6)
    for question in ("page=7", "fail"):
        client.send(
            "GET",
            f"/slow?s=0.25&password={SECRETS[1]}&{question}",
            headers={"X-User": "bert", "Authorization": f"Bearer {SECRETS[0]}"},
        )
    ask("/profiled", times=4)


def truth(client):
    endpoints = client.json("endpoints")
    names = [endpoint["name"] for endpoint in endpoints]
    versions = sorted({one["version"] for one in client.json("versions")})
    graphs = client.json("custom_graphs")
    found = {
        "overview": client.json("overview"),
        "endpoints": endpoints,
        "hits": client.json("endpoints_hits"),
        "versions": versions,
        "multi_version": client.json("multi_version", {"endpoints": names, "versions": versions}),
        "users": client.json("users"),
        "exceptions": client.json("exception_occurrence/0/100"),
        "graphs": graphs,
        "graph_values": {
            graph["graph_id"]: client.shown(
                f"custom_graph/{graph['graph_id']}/2020-01-01/2099-01-01"
            )
            for graph in graphs
        },
        "of": {},
    }
    for endpoint in endpoints:
        id = endpoint["id"]
        found["of"][endpoint["name"]] = {
            "durations": client.json(f"endpoint_versions/{id}", {"versions": versions}),
            "groups": client.json(f"users/{id}"),
            "ips": client.json(f"ip/{id}"),
            "outliers": client.json(f"outlier_table/{id}/0/100"),
            "profiles": client.json(f"profiler_table/{id}/0/100"),
            "exceptions": client.json(f"detailed_exception_occurrence/{id}/0/100"),
            "grouped": client.json(f"grouped_profiler/{id}"),
            "statuses": client.json(f"endpoint_status_code_distribution/{id}"),
        }
    functions = {
        frame["function_definition_id"]
        for of in found["of"].values()
        for group in of["exceptions"]
        for frame in group["stack_trace_snapshot"]
    }
    found["functions"] = {id: client.json(f"function_code/{id}") for id in functions}
    return found


def wait(client, rounds):
    """It stores in threads of its own, after the answer: first a request, then its tree."""
    deadline = time.monotonic() + 30
    ids = {one["name"]: one["id"] for one in client.json("endpoints")}
    while True:
        hits = sum(one["hits"] for one in client.json("endpoints_hits"))
        profiled = client.json(f"num_profiled/{ids['profiled']}")
        found = (hits, profiled, raised(client))
        if found == (HITS * rounds, PROFILED * rounds, RAISED * rounds):
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def main(database, version, prefix, path, rounds):
    config = dashboard.config
    config.database_name, config.version, config.table_prefix = database, version, prefix
    config.username, config.password = ADMIN
    config.group_by = lambda: request.headers.get("X-User")
    config.sampling_period = 0.002
    dashboard.bind(app)
    dashboard.add_graph("Answers", lambda: 42, "interval", seconds=1)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = Client(server.port)
    client.send("POST", "/dashboard/login", {"name": ADMIN[0], "password": ADMIN[1]})
    for name, level in LEVELS.items():
        status, text = client.send(
            "POST", "/dashboard/api/set_rule", {"name": name, "value": level}
        )
        assert status == 200, text
    for name, password in USERS:
        form = {"username": name, "password": password, "password2": password, "is_admin": "false"}
        client.send("POST", "/dashboard/api/user/create", form)
    drive(client)
    wait(client, int(rounds))
    # What follows must not change any more.
    # Not imported before: its tables are made on import, with the settings of then.
    from flask_monitoringdashboard.core.custom_graph import scheduler

    scheduler.shutdown()
    with open(path, "w") as file:
        json.dump(truth(client), file)
    server.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
