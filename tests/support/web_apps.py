"""A seeded generator of small FastAPI applications, as source text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random

from support import web_dependencies, web_library
from support.web_features import FEATURES, HANDLERS, MIDDLEWARES
from support.web_routes import Piece, Target, literal_twin, route

_BLOCKS = {**web_library.BLOCKS, **web_dependencies.BLOCKS}

_OPTIONS: tuple[str, ...] = (
    "redirect_slashes=False", 'root_path="/proxied"', "default_response_class=PlainTextResponse", "debug=True",
    "strict_content_type=False", "dependencies=[Depends(plain_dep)]",
    "dependencies=[Depends(yield_dep), Depends(context_dep)]",
    "openapi_url=None", "max_body_size=100", 'exception_handlers={Teapot: lambda request, error: Response("t", 418)}',
    "default_response_class=OwnJSON", "dependencies=[Depends(key_query)]", "docs_url=None",
    'form_limits={"max_fields": 2}', 'form_limits={"max_part_size": 8}',
)  # fmt: skip

_LIFESPAN = """
@contextlib.asynccontextmanager
async def lifespan(app):
    note("up")
    yield {"pool": [1], "word": "state"}
    note("down", sorted(vars(app.state)["_state"]))
"""

_STATE_ROUTE = """
@app.get("/state")
async def read_state(request: Request):
    request.state.own = request.state.pool
    request.state.pool.append(len(request.state.pool))
    return [request.state.word, request.state.pool]
"""


@dataclass(frozen=True, slots=True)
class App:
    """An application: what it cannot do without, and its pieces."""

    head: str
    pieces: tuple[Piece, ...]

    @property
    def source(self) -> str:
        """The whole module."""
        return web_library.complete("\n\n".join([self.head, *(one.source for one in self.pieces)]), _BLOCKS)

    def without_line(self, line: int) -> App:
        """Without the piece that this line of the source belongs to; the last one where that is none."""
        text = "\n".join(self.source.splitlines()[: line - 1])
        for index, piece in enumerate(self.pieces):
            if piece.source.rstrip("\n") not in text:
                return self.without(index)
        return self.without(len(self.pieces) - 1)

    def without(self, index: int) -> App:
        """Without one piece."""
        if not self.pieces:
            raise ValueError("an application without pieces cannot be built")
        return replace(self, pieces=self.pieces[:index] + self.pieces[index + 1 :])

    @property
    def targets(self) -> tuple[Target, ...]:
        """All that can be asked for."""
        return tuple(target for piece in self.pieces for target in piece.targets)


def generate(seed: int, builds: Callable[[str], int | None]) -> App:
    """The application of a seed, without the pieces that FastAPI refuses to build.

    ``builds`` returns the line at which the execution of a source fails, or None.
    """
    app = _propose(seed)
    if builds(replace(app, pieces=()).source) is not None:
        app = replace(app, head=re.sub(r"\w+=[^,)]+(?:, )?", "", app.head.splitlines()[-1]))  # without its options
    while (line := builds(app.source)) is not None:
        app = app.without_line(line)
    return app


def _propose(seed: int) -> App:
    rng = Random(f"app {seed}")
    # Options of one name exclude each other.
    chosen = {option.partition("=")[0]: option for option in _OPTIONS if rng.random() < 0.035}
    options = list(chosen.values())
    head, pieces = "", _pieces(rng)
    if rng.random() < 0.12:
        head += 'ROOT_PATH = "/api"\n\n'
    if rng.random() < 0.2:
        head += _LIFESPAN + "\n\n"
        options.append("lifespan=lifespan")
        pieces.append(Piece(_STATE_ROUTE, (Target("/state"),)))
    kind = rng.choice(("OwnApp", "OwnRouterApp")) if rng.random() < 0.06 else "FastAPI"
    return App(f"{head}app = {kind}({', '.join(options)})", tuple(pieces))


def _pieces(rng: Random) -> list[Piece]:
    pieces: list[Piece] = []
    for number in range(1, rng.choice((4, 6, 8, 10))):
        if rng.random() < 0.2:
            pieces.append(rng.choice(FEATURES)(rng, number))
            continue
        piece = route(rng, "app", "", number)
        pieces.append(piece)
        if rng.random() < 0.15:
            twin = literal_twin(rng, "app", piece.targets[0], "", number)
            pieces.insert(len(pieces) - rng.randrange(2), twin)
    pieces += _some(rng, MIDDLEWARES, (0, 0, 0, 1, 2))
    pieces += _some(rng, HANDLERS, (0, 0, 1, 2, 4))
    return pieces


def _some(rng: Random, sources: Iterable[str], counts: tuple[int, ...]) -> list[Piece]:
    return [Piece(source.strip("\n") + "\n") for source in rng.sample(list(sources), rng.choice(counts))]
