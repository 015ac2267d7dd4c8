"""What one measurement is compared with: another git ref, its stored baseline, itself, or several of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pytest_fastr.apps import CommandApp, UrlApp
from pytest_fastr.config import Limits
from pytest_fastr.errors import MeasurementError, MountError
from pytest_fastr.gate import urls
from pytest_fastr.gate.against import Against
from pytest_fastr.gate.baseline import BaselineStore
from pytest_fastr.gate.basis import Basis, Direct, Mode, Stored
from pytest_fastr.gate.compare import UNITS
from pytest_fastr.gate.epochs import AppSource, EpochPool
from pytest_fastr.gate.equals import Equals
from pytest_fastr.gate.measure import REFERENCE_SIDE, LoadShape, Pair, Side, ask_once, refuse_other_code
from pytest_fastr.gate.model import ValidityNote
from pytest_fastr.gate.stored_test import StoredTest
from pytest_fastr.load import RequestSpec

WantedMode = Literal["paired", "stored", "both"]

_OBJECT = (
    "its application is an object of this process, and another ref's cannot be made here: name it as "
    '"module:attr", in [tool.pytest-fastr] or @pytest.mark.perf(app=...)'
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One call of the ``perf`` fixture: what to measure, and whose it is."""

    nodeid: str
    path: str
    line: int
    source: AppSource
    request: RequestSpec
    shape: LoadShape
    limits: Limits
    mount: str = "asgi"
    """The mount that the server really uses."""
    is_fastapi: bool = False
    """Whether the application's routes have lanes."""


@dataclass(frozen=True, slots=True)
class Task:
    """One comparison to make. ``mode``: what the report calls it."""

    basis: Basis
    pair: Pair
    shape: LoadShape
    limits: Mapping[str, float]
    mode: Mode
    notes: tuple[ValidityNote, ...] = ()
    mount: str = "asgi"
    is_fastapi: bool = False

    def said(self, *notes: ValidityNote) -> Task:
        """With more to say."""
        return replace(self, notes=(*self.notes, *notes))

    @property
    def load(self) -> dict[str, object]:
        """What must be the same for two sessions to be comparable."""
        request = self.pair.b.request
        load: dict[str, object] = {
            "users": self.shape.users,
            "mount": self.mount,
            "request": f"{request.method} {request.path}",
            "slice_users": self.shape.slice_users,
            "body": hashlib.sha256(request.body).hexdigest()[:16] if request.body else None,
            "expect": request.expect,
        }
        if (workers := self.pair.b.source.launch.options.workers) > 1:
            load["workers"] = workers
        return load if self.shape.rate is None else {**load, "rate": self.shape.rate}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What there is to compare with, and what was asked for."""

    pool: EpochPool
    store: BaselineStore
    equals: Equals
    mode: WantedMode | None
    against: Against | None
    equal: bool
    update: bool
    unknown_hardware: str | None = None
    """What is said where other hardware has baselines, and this one has none."""

    def tasks(self, measurement: Measurement) -> list[Task]:
        """The comparisons of a measurement, at least one. Raises MeasurementError, RefError, BaselineError."""
        if isinstance(measurement.source.app, UrlApp):
            return [self._running(measurement, measurement.source.app)]
        if self.equal:
            return [self._equal(measurement)]
        # Read before loading anything: a baseline that cannot be read must not cost minutes first.
        stored = self.store.load(measurement.nodeid)
        if self.against is None or self.mode == "stored":
            return [self._stored(measurement, stored)]
        if measurement.source.is_object:
            if self.mode is not None:
                raise MeasurementError(f"{measurement.request.name} cannot be paired: {_OBJECT}")
            return [self._stored(measurement, stored).said(ValidityNote("warn", "unpaired", _OBJECT))]
        missing = self._missing(measurement, self.against)
        if missing is not None:
            task = self._stored(measurement, stored).said(ValidityNote("warn", "not-in-ref", missing))
            return [task if stored is not None else replace(task, mode="paired")]
        tasks = [self._paired(measurement, self.against)]
        # On hardware that no baseline is of, there is nothing to be measured for, and the report says so.
        nothing_stored = stored is None and (self.mode is None or self.unknown_hardware is not None)
        if self.mode != "paired" and not nothing_stored:
            tasks.append(self._stored(measurement, stored))
        return tasks

    def _running(self, measurement: Measurement, app: UrlApp) -> Task:
        """A server that runs already: compared with another one, or with its stored baseline."""
        if self.equal:
            urls.refuse_equals(app)
        if self.against is not None:
            urls.refuse_ref(app, self.against.title)
        if app.other is None or self.update or self.mode == "stored":
            task = self._stored(measurement, self.store.load(measurement.nodeid))
        else:
            request = measurement.request
            other = Side(replace(measurement.source, app=app.other), request, f"the server at {app.other}")
            pair = Pair(other, Side(measurement.source, request, f"the server at {app}"))
            task = Task(
                basis=Direct("paired", str(app.other), urls.floors(self.equals, pair)),
                pair=pair,
                shape=measurement.shape,
                limits=measurement.limits.of(paired=True),
                mode="paired",
            )
        urls.refuse_limits(task.pair, measurement.limits.absolute)
        return task.said(*urls.notes(task.pair))

    def _equal(self, measurement: Measurement) -> Task:
        source, request = measurement.source, measurement.request
        return Task(
            basis=Direct("equal", "itself", self.equals.floors()),
            pair=Pair(Side(source, request, "the first copy"), Side(source, request, "the second copy")),
            shape=measurement.shape,
            limits=measurement.limits.of(paired=True),
            mode="equal",
            mount=measurement.mount,
            is_fastapi=measurement.is_fastapi,
        )

    def _paired(self, measurement: Measurement, against: Against) -> Task:
        request = measurement.request
        baseline = Side(against.baseline(measurement.source), request, against.title)
        return Task(
            basis=Direct("paired", against.title, self.equals.floors()),
            pair=Pair(baseline, Side(measurement.source, request, "the working tree")),
            shape=measurement.shape,
            limits=measurement.limits.of(paired=True),
            mode="paired",
            notes=(*against.notes_on(request), *_unproven(measurement.source, against)),
            mount=measurement.mount,
            is_fastapi=measurement.is_fastapi,
        )

    def _stored(self, measurement: Measurement, stored: StoredTest | None) -> Task:
        task = Task(
            basis=Stored(stored),
            pair=Pair(REFERENCE_SIDE, Side(measurement.source, measurement.request, "the application")),
            shape=_at_the_stored_operating_point(measurement.shape, stored),
            limits=measurement.limits.of(paired=False),
            mode="stored",
            mount=measurement.mount,
            is_fastapi=measurement.is_fastapi,
        )
        if stored is not None and not stored.has_load(task.load):
            if not self.update:
                raise MeasurementError(_load_changed(measurement, task, stored))
            return replace(task, basis=Stored(None))
        return replace(task, basis=Stored(stored, {metric: self.store.history(metric) for metric in UNITS}))

    def _missing(self, measurement: Measurement, against: Against) -> str | None:
        """Why the other ref cannot answer this request, if it does not have this test either; None if it can.

        Raises MeasurementError where it has the test.
        """
        baseline = Side(against.baseline(measurement.source), measurement.request, against.title)
        try:
            server = self.pool.baseline(baseline.source)
            refuse_other_code(baseline, server)
            ask_once(server, measurement.request)
        except (MountError, MeasurementError) as error:
            # An application that does not even start is no reason to call its tests new, unless it had none.
            unserved = isinstance(error, MountError) and against.is_tested
            if unserved:
                needs = "what it needs and git does not have: `prepare` and `copy` in [tool.pytest-fastr.against]"
                raise MeasurementError(f"{against.title} could not be served ({needs}): {error}") from error
            if against.has_test(measurement.nodeid):
                raise MeasurementError(f"{against.title} has this test, and could not be measured: {error}") from error
            reason = str(error).partition("\n")[0]
            return (
                f"{against.title} has no such test, and did not answer as expected ({reason}): nothing to compare with"
            )
        if against.is_first_use(measurement.source):
            # Whoever imports first compiles, which leaves another memory layout than loading what was compiled.
            self.pool.release(baseline.source)
            self.pool.release(measurement.source)
        return None


def _unproven(source: AppSource, against: Against) -> tuple[ValidityNote, ...]:
    """A name proves where its code comes from; a foreign program does not say."""
    if not isinstance(source.app, CommandApp):
        return ()
    message = (
        f"a command: it runs in a checkout of {against.title}, but whether it runs that checkout's code (and not an "
        "installed copy) cannot be proven"
    )
    return (ValidityNote("warn", "unproven", message),)


def _at_the_stored_operating_point(shape: LoadShape, stored: StoredTest | None) -> LoadShape:
    """Slices as the baseline's, if it was recorded for as many users."""
    slices = stored.load.get("slice_users") if stored is not None and stored.load.get("users") == shape.users else None
    if isinstance(slices, int) and 1 <= slices <= shape.users:
        return replace(shape, slice_users=slices)
    return shape


def _load_changed(measurement: Measurement, task: Task, stored: StoredTest) -> str:
    changed = [
        f"{key} was {stored.load.get(key)!r} and is {value!r}"
        for key, value in task.load.items()
        if stored.load.get(key) != value
    ]
    return (
        f"the baseline was recorded under another load ({'; '.join(changed) or 'it had more keys'}), so nothing was "
        f'measured; record it anew with `pytest --perf --perf-update "{measurement.nodeid}"`'
    )
