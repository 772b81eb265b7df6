"""A chat with Flask-SocketIO: pages of its own, and messages that pass beside Flask's views."""

from __future__ import annotations

from flask import Flask
from flask_socketio import SocketIO, emit


def create_app(instance_path: str) -> Flask:
    app = Flask("chat", instance_path=instance_path)
    app.secret_key = "of the chat"
    socketio = SocketIO(app, async_mode="threading")
    lines: list[str] = []

    @app.route("/")
    def index() -> dict[str, list[str]]:
        return {"lines": lines}

    @socketio.on("say")
    def say(text: str) -> None:
        lines.append(text)
        emit("said", {"text": text, "number": len(lines)})

    return app
