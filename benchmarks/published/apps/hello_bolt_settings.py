"""Django's settings for django-bolt: as little of Django as it starts with."""

from __future__ import annotations

SECRET_KEY = "not a secret: this serves a benchmark on the loopback"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["django_bolt"]
BOLT_API = ["hello_bolt:api"]
USE_TZ = True
# Django would log every request at INFO to stderr; the other servers run without an access log too.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"django.server": {"level": "ERROR", "handlers": [], "propagate": False}},
}
