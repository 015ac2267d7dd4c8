"""The first table: a constant JSON answer."""

from __future__ import annotations

from collections.abc import Callable

from measuring.asks import Ask, Workload
from measuring.environments import Environments
from measuring.peers import granian
from measuring.rows import Place, Server, Start
from published.places import APPS
from published.table import Goal, Published, Source, Table

ALL = ("hello",)


def ours(mount: str, face: bool = False) -> Callable[[Environments, Place], Start]:
    """Our engine in front of the FastAPI application."""

    def start(environments: Environments, place: Place) -> Start:
        own = environments.own()
        command = [own.python, "-m", "pytest_fastr.serve", "hello_fastapi:app", "--port", str(place.port)]
        return Start([*command, "--mount", mount], {"BENCH_FACE": "1"} if face else {}, own)

    return start


def _gunicorn(workers: int) -> Callable[[Environments, Place], Start]:
    def start(environments: Environments, place: Place) -> Start:
        peer = environments.get("fastapi-gunicorn")
        command = [
            peer.python, "-m", "gunicorn", "hello_fastapi:app", "-k", "uvicorn_worker.UvicornWorker",
            "-w", str(workers), "-b", f"127.0.0.1:{place.port}", "--log-level", "warning",
        ]  # fmt: skip
        return Start(command, interpreter=peer)

    return start


def _script(name: str, *options: str) -> Callable[[Environments, Place], Start]:
    """A framework that serves itself."""

    def start(environments: Environments, place: Place) -> Start:
        peer = environments.get(name)
        command = [peer.python, str(APPS / f"hello_{name}.py"), *options]
        return Start(command, {"BENCH_PORT": str(place.port)}, peer)

    return start


def _django_bolt(environments: Environments, place: Place) -> Start:
    peer = environments.get("django-bolt")
    command = [
        peer.python, "-m", "django", "runbolt", "--host", "127.0.0.1", "--port", str(place.port),
        "--processes", "1", "--workers", "1", "--no-admin", "--skip-checks",
    ]  # fmt: skip
    return Start(command, {"DJANGO_SETTINGS_MODULE": "hello_bolt_settings"}, peer)


SERVERS = (
    Server("ours-face", "pytest-fastr, FastrAPI", ALL, ours("native", face=True)),
    Server("ours-native", "pytest-fastr, FastAPI compiled", ALL, ours("native")),
    Server("ours-asgi", "pytest-fastr, FastAPI by ASGI", ALL, ours("asgi")),
    Server("fastrapi", "fastrapi 0.2.11", ALL, _script("fastrapi")),
    Server("gunicorn-1", "FastAPI + gunicorn, 1 worker", ALL, _gunicorn(1)),
    Server("gunicorn-16", "FastAPI + gunicorn, 16 workers", ALL, _gunicorn(16)),
    Server("granian", "FastAPI + granian", ALL, granian("asgi", "hello_fastapi:app")),
    Server("granian-rsgi", "granian alone (RSGI)", ALL, granian("rsgi", "hello_rsgi:app")),
    Server("django-bolt", "django-bolt", ALL, _django_bolt),
    Server(
        "robyn", "robyn", ALL,
        _script("robyn", "--processes", "1", "--workers", "1", "--log-level", "WARNING", "--disable-openapi"),
    ),
)  # fmt: skip
OURS = ("ours-face", "ours-native", "ours-asgi")
TABLE = Table(
    name="frameworks",
    title="A constant JSON answer",
    about="`GET /` answers `{\"message\": \"Hello, World!\"}`; 20 users in a closed loop, connections kept.",
    servers=SERVERS,
    workloads=(Workload("hello", "20 users, connections kept", Ask("/", {"message": "Hello, World!"})),),
    base="gunicorn-1",
    ours=OURS,
    goals=(
        Goal("our best row 10 times FastAPI + gunicorn with 1 worker", "hello", OURS, ("gunicorn-1",), 10.0),
        *(Goal(f"our best row ahead of {server.title}", "hello", OURS, (server.name,), 1.0)
          for server in SERVERS if server.name not in (*OURS, "gunicorn-1")),
    ),
    sources=(
        Source(
            "fastrapi's documentation", "https://www.mintlify.com/ppmpreetham/fastrapi/advanced/performance-tuning",
            "k6, 20 users, 30 s, AMD Ryzen 7 7735HS, all cores",
            (
                Published("FASTRAPI", 31360, 0.59, 0.0, 2.39, 11.12),
                Published("FastAPI + gunicorn, 1 worker", 937, 21.08, 19.67, 38.47, 93.42),
                Published("FastAPI + gunicorn, 16 workers", 3882, 4.84, 4.17, 10.22, 81.20),
            ),
        ),
    ),
)  # fmt: skip
