"""FastAPI on native lanes. Needs the extra ``web``."""

from __future__ import annotations

from pytest_fastr.web.app_scope import app_scope
from pytest_fastr.web.fastrapi import FastrAPI, options

__all__ = ["FastrAPI", "app_scope", "options"]
