"""Contacts with Flask-AppBuilder: its generated pages, its security and its REST API."""

from __future__ import annotations

from flask import Flask
from flask_appbuilder import AppBuilder, Model, ModelView
from flask_appbuilder.models.sqla.interface import SQLAInterface
from sqlalchemy import Column, Integer, String, create_engine
from sqlalchemy.orm import scoped_session, sessionmaker


class Contact(Model):
    __tablename__ = "contact"
    id = Column(Integer, primary_key=True)
    name = Column(String(80), unique=True, nullable=False)

    def __repr__(self) -> str:
        return str(self.name)


class ContactView(ModelView):  # type: ignore[misc]
    datamodel = SQLAInterface(Contact)
    list_columns = ["name"]
    add_columns = ["name"]


def create_app(instance_path: str) -> Flask:
    app = Flask("crm", instance_path=instance_path)
    url = f"sqlite:///{instance_path}/crm.db"
    app.config.update(
        SECRET_KEY="of the contacts, and long enough for it",
        SQLALCHEMY_DATABASE_URI=url,
        WTF_CSRF_ENABLED=True,
    )
    engine = create_engine(url)
    session = scoped_session(sessionmaker(bind=engine))
    app.teardown_appcontext(lambda _error: session.remove())
    with app.app_context():
        Model.metadata.create_all(engine)
        builder = AppBuilder(app, session)
        builder.add_view(ContactView, "Contacts", category="Work")
        role = builder.sm.find_role(builder.sm.auth_role_admin)
        builder.sm.add_user("anna", "Anna", "A", "anna@example.org", role, "correct horse")
    return app
