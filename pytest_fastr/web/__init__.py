"""FastAPI on native lanes. Needs the extra ``web``."""

from __future__ import annotations

from pytest_fastr.web.fastrapi import FastrAPI, options

__all__ = ["FastrAPI", "options"]
