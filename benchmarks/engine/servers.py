"""The rows: servers, how each is started, and which workloads it can answer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from measuring.environments import Environments, Missing
from measuring.peers import granian
from measuring.rows import Place, Server, Start

HERE = Path(__file__).resolve().parent
APPS = HERE / "apps"
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
BODY = '{"message":"Hello, World!"}'
NGINX = """
worker_processes 1; daemon off; pid FOLDER/nginx.pid; error_log FOLDER/error.log;
events { worker_connections 1024; }
http {
    access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; default_type application/json;
    client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy; fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi; scgi_temp_path FOLDER/scgi;
    server { listen 127.0.0.1:PORT; location / { return 200 'BODY'; } }
}
"""

CONSTANT = ("W1-sync", "W1-async")
HANDLERS = (
    *CONSTANT, "W2-sync", "W2-async", "W3-sync", "W3-async", "W4-sync", "W4-async", "W4-model-sync", "W4-model-async",
    "W5", "W6", "W7",
)  # fmt: skip
WITHOUT_MODEL = tuple(kind for kind in HANDLERS if "model" not in kind)
BODIES = tuple(kind for kind in HANDLERS if kind.startswith("W4"))
RAW = ("W1-async", "W7")
FLASK = ("W1-sync",)
# As gunicorn's gthread has them.
THREADS = "4"


def _serve(mount: str | None, face: bool = False) -> Callable[[Environments, Place], Start]:
    """Ours. ``mount`` is left out where the command line has no choice of it and ASGI is what it does."""

    def start(environments: Environments, place: Place) -> Start:
        own = environments.own()
        known = "--mount" in _help(own.python)
        if mount not in (None, "asgi") and not known:
            raise Missing(f"this version of pytest_fastr.serve has no --mount {mount}")
        if face and not _has_face(own.python):
            raise Missing("this version has no pytest_fastr.web.FastrAPI")
        command = [own.python, "-m", "pytest_fastr.serve", "fastapi_app:app", "--port", str(place.port)]
        command += ["--mount", mount] if mount is not None and known else []
        return Start(command, {"BENCH_FACE": "1"} if face else {}, own)

    return start


def _own(app: str, *options: str) -> Callable[[Environments, Place], Start]:
    def start(environments: Environments, place: Place) -> Start:
        own = environments.own()
        return Start([own.python, "-m", "pytest_fastr.serve", app, "--port", str(place.port), *options], {}, own)

    return start


def _gunicorn(environments: Environments, place: Place) -> Start:
    peer = environments.get("gunicorn")
    command = [
        peer.python, "-m", "gunicorn", "flask_app:app", "-b", f"127.0.0.1:{place.port}", "-k", "gthread", "-w", "1",
        "--threads", THREADS, "--keep-alive", "300", "--log-level", "warning",
    ]  # fmt: skip
    return Start(command, interpreter=peer)


@lru_cache(maxsize=1)
def _help(python: str) -> str:
    done = subprocess.run([python, "-m", "pytest_fastr.serve", "--help"], capture_output=True, text=True, timeout=60)
    return done.stdout


@lru_cache(maxsize=1)
def _has_face(python: str) -> bool:
    command = [python, "-c", "from pytest_fastr.web import FastrAPI"]
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def _uvicorn(app: str) -> Callable[[Environments, Place], Start]:
    def start(environments: Environments, place: Place) -> Start:
        peer = environments.get("uvicorn")
        command = [
            peer.python, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(place.port), "--loop", "uvloop",
            "--http", "httptools", "--no-access-log", "--log-level", "warning",
        ]  # fmt: skip
        return Start(command, interpreter=peer)

    return start


def _django_bolt(body: str) -> Callable[[Environments, Place], Start]:
    def start(environments: Environments, place: Place) -> Start:
        peer = environments.get("django-bolt")
        command = [
            peer.python, "-m", "django", "runbolt", "--host", "127.0.0.1", "--port", str(place.port),
            "--processes", "1", "--workers", "1", "--no-admin", "--skip-checks",
        ]  # fmt: skip
        return Start(command, {"DJANGO_SETTINGS_MODULE": "bolt_settings", "BENCH_BODY": body}, peer)

    return start


def _robyn(environments: Environments, place: Place) -> Start:
    peer = environments.get("robyn")
    options = ["--processes", "1", "--workers", "1", "--log-level", "WARNING", "--disable-openapi"]
    return Start([peer.python, str(APPS / "robyn_app.py"), *options], {"BENCH_PORT": str(place.port)}, peer)


def _fastrapi(environments: Environments, place: Place) -> Start:
    peer = environments.get("fastrapi")
    return Start([peer.python, str(APPS / "fastrapi_app.py")], {"BENCH_PORT": str(place.port)}, peer)


def _nginx(_environments: Environments, place: Place) -> Start:
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{SBIN}")
    if program is None:
        raise Missing("nginx is not installed (apt-get install nginx-light)")
    configuration = place.folder / "nginx.conf"
    text = NGINX.replace("FOLDER", str(place.folder)).replace("PORT", str(place.port)).replace("BODY", BODY)
    configuration.write_text(text)
    return Start([program, "-c", str(configuration), "-p", str(place.folder)])


def _hyper_limit(environments: Environments, place: Place) -> Start:
    return Start([str(environments.program(HERE / "hyper_limit")), str(place.port)])


SERVERS = [
    Server("ours-asgi", "pytest-fastr, FastAPI unmodified, mount asgi", HANDLERS, _serve("asgi")),
    Server("ours-native", "pytest-fastr, FastAPI unmodified, mount native", HANDLERS, _serve("native")),
    Server("ours-face", "pytest-fastr, its FastrAPI", HANDLERS, _serve(None, face=True)),
    Server("ours-raw", "plain ASGI, pytest-fastr", RAW, _own("asgi_app:app")),
    Server("ours-flask", "Flask, pytest-fastr (4 threads)", FLASK, _own("flask_app:app", "--threads", THREADS)),
    Server("flask-gunicorn", "Flask, gunicorn (gthread, 4 threads)", FLASK, _gunicorn),
    Server("fastapi-uvicorn", "FastAPI, uvicorn (uvloop, httptools)", HANDLERS, _uvicorn("fastapi_app:app")),
    Server("fastapi-granian", "FastAPI, granian", HANDLERS, granian("asgi", "fastapi_app:app")),
    Server("asgi-uvicorn", "plain ASGI, uvicorn (uvloop, httptools)", RAW, _uvicorn("asgi_app:app")),
    Server("asgi-granian", "plain ASGI, granian", RAW, granian("asgi", "asgi_app:app")),
    Server("rsgi-granian", "RSGI, granian", RAW, granian("rsgi", "rsgi_app:app")),
    Server("django-bolt", "django-bolt (bodies by pydantic)", WITHOUT_MODEL, _django_bolt("pydantic")),
    Server("django-bolt-msgspec", "django-bolt (bodies by msgspec)", BODIES, _django_bolt("msgspec")),
    Server("robyn", "robyn", HANDLERS, _robyn),
    Server("fastrapi", "fastrapi", HANDLERS, _fastrapi),
    Server("nginx", "nginx `return 200`", CONSTANT, _nginx),
    Server("hyper-limit", "hyper alone, without Python", CONSTANT, _hyper_limit),
]


def chosen(names: list[str]) -> list[Server]:
    """The servers of these names; all for none. Raises ValueError."""
    for name in names:
        if all(server.name != name for server in SERVERS):
            raise ValueError(f"no server {name!r}: {', '.join(server.name for server in SERVERS)}")
    return [server for server in SERVERS if not names or server.name in names]
