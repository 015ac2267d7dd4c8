"""An application on native lanes that writes down, when it stops, how many of its handlers have run."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pytest_fastr.web import FastrAPI

runs = [0]


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    yield
    Path(os.environ["COUNTING_FILE"]).write_text(str(runs[0]))


app = FastrAPI(lifespan=lifespan)


@app.get("/suspends")
async def suspends() -> str:
    runs[0] += 1
    await asyncio.sleep(0.01)
    return "suspended"


@app.get("/pool", run="pool")
def pool() -> str:
    runs[0] += 1
    return "pool"


@app.get("/inline", run="inline")
def inline() -> str:
    runs[0] += 1
    return "inline"
