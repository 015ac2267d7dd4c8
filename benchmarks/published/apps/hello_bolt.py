"""The constant answer by django-bolt, as its documentation writes it, without its access log and its compression."""

from __future__ import annotations

from django_bolt import BoltAPI

api = BoltAPI(enable_logging=False, compression=False)


@api.get("/")
def hello():  # type: ignore[no-untyped-def]  # an annotation would become a response model
    """The same words for everybody."""
    return {"message": "Hello, World!"}
