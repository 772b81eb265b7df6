"""Posts: a list, and pages to write, change and delete one's own."""

from __future__ import annotations

import sqlite3
from typing import Any

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for

from .auth import login_required
from .db import get_db

bp = Blueprint("blog", __name__)


@bp.route("/")
def index() -> str:
    query = (
        "SELECT post.id, title, body, author_id, username FROM post "
        "JOIN user ON user.id = author_id ORDER BY post.id DESC"
    )
    return render_template("blog/index.html", posts=get_db().execute(query).fetchall())


@bp.route("/create", methods=("GET", "POST"))
@login_required
def create() -> Any:
    if request.method == "POST":
        if request.form["title"]:
            get_db().execute(
                "INSERT INTO post (title, body, author_id) VALUES (?, ?, ?)",
                (request.form["title"], request.form["body"], g.user["id"]),
            )
            get_db().commit()
            return redirect(url_for("blog.index"))
        flash("Title is required.")
    return render_template("blog/edit.html", post=None)


def get_post(id: int) -> sqlite3.Row:
    post: sqlite3.Row | None = (
        get_db()
        .execute("SELECT id, title, body, author_id FROM post WHERE id = ?", (id,))
        .fetchone()
    )
    if post is None:
        abort(404, f"Post id {id} doesn't exist.")
    if post["author_id"] != g.user["id"]:
        abort(403)
    return post


@bp.route("/<int:id>/update", methods=("GET", "POST"))
@login_required
def update(id: int) -> Any:
    post = get_post(id)
    if request.method == "POST":
        if request.form["title"]:
            get_db().execute(
                "UPDATE post SET title = ?, body = ? WHERE id = ?",
                (request.form["title"], request.form["body"], id),
            )
            get_db().commit()
            return redirect(url_for("blog.index"))
        flash("Title is required.")
    return render_template("blog/edit.html", post=post)


@bp.route("/<int:id>/delete", methods=("POST",))
@login_required
def delete(id: int) -> Any:
    get_post(id)
    get_db().execute("DELETE FROM post WHERE id = ?", (id,))
    get_db().commit()
    return redirect(url_for("blog.index"))
