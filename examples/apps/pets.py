"""A JSON API with Flask-Smorest: schemas, class views, pages, errors, and its own OpenAPI file."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask.views import MethodView
from flask_smorest import Api, Blueprint, abort
from marshmallow import Schema, fields


class PetSchema(Schema):
    id = fields.Int(dump_only=True)
    name = fields.String(required=True)


class PetQuery(Schema):
    name = fields.String()


def create_app(instance_path: str) -> Flask:
    app = Flask("pets", instance_path=instance_path)
    app.config.update(API_TITLE="Pets", API_VERSION="v1", OPENAPI_VERSION="3.0.2")
    app.config.update(OPENAPI_URL_PREFIX="/docs", OPENAPI_JSON_PATH="openapi.json")
    pets: dict[int, dict[str, Any]] = {}
    blueprint = Blueprint("pets", "pets", url_prefix="/pets", description="Operations on pets")

    @blueprint.route("/")
    class Pets(MethodView):
        @blueprint.arguments(PetQuery, location="query")
        @blueprint.response(200, PetSchema(many=True))
        def get(self, query: dict[str, str]) -> list[dict[str, Any]]:
            return [pet for pet in pets.values() if query.get("name") in (None, pet["name"])]

        @blueprint.arguments(PetSchema)
        @blueprint.response(201, PetSchema)
        def post(self, found: dict[str, Any]) -> dict[str, Any]:
            pet = {"id": len(pets) + 1, **found}
            pets[pet["id"]] = pet
            return pet

    @blueprint.route("/<int:pet_id>")
    class Pet(MethodView):
        @blueprint.response(200, PetSchema)
        def get(self, pet_id: int) -> dict[str, Any]:
            if pet_id not in pets:
                abort(404, message="There is no such pet.")
            return pets[pet_id]

        @blueprint.response(204)
        def delete(self, pet_id: int) -> None:
            pets.pop(pet_id, None)

    Api(app).register_blueprint(blueprint)
    return app
