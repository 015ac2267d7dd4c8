//! Lets Python watch and interrupt a load that runs detached from the interpreter.

use std::ops::ControlFlow;

use fastr_loadgen::{Control, Halt, LoadError, Phase};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

/// How far a load has come.
#[pyclass(frozen, get_all, module = "pytest_fastr._native")]
pub(crate) struct Progress {
    phase: &'static str,
    elapsed_ns: u64,
    planned_ns: u64,
    requests: u64,
    errors: u64,
    /// The median and the 99th percentile of the last second.
    latest_ns: Option<(u64, u64)>,
}

/// Attaches the interpreter between slices: for pending signals, and for the caller's function.
pub(super) struct PyControl {
    callback: Option<Py<PyAny>>,
    raised: Option<PyErr>,
}

impl PyControl {
    pub(super) fn new(callback: Option<Py<PyAny>>) -> Self {
        Self {
            callback,
            raised: None,
        }
    }

    /// The error that Python sees: what the callback or a signal handler raised, or the run's own.
    pub(super) fn error(self, error: LoadError) -> PyErr {
        match (self.raised, error) {
            (Some(raised), LoadError::Interrupted(_)) => raised,
            (_, error @ LoadError::System { .. }) => PyOSError::new_err(error.to_string()),
            (_, error) => PyValueError::new_err(error.to_string()),
        }
    }

    /// Whether the load goes on: the function may return False to end it with the result so far.
    fn call(&self, progress: &fastr_loadgen::Progress) -> PyResult<bool> {
        Python::attach(|py| {
            py.check_signals()?;
            let Some(callback) = &self.callback else {
                return Ok(true);
            };
            let phase = match progress.phase {
                Phase::WarmUp => "warm-up",
                Phase::Slices => "slices",
                Phase::Stretch => "stretch",
            };
            let progress = Progress {
                phase,
                elapsed_ns: progress.elapsed_ns,
                planned_ns: progress.planned_ns,
                requests: progress.requests,
                errors: progress.errors,
                latest_ns: progress.latest_ns,
            };
            let answer = callback.call1(py, (progress,))?;
            Ok(!answer.bind(py).is(PyBool::new(py, false)))
        })
    }
}

impl Control for PyControl {
    fn check(&mut self, progress: &fastr_loadgen::Progress) -> ControlFlow<Halt> {
        match self.call(progress) {
            Ok(true) => ControlFlow::Continue(()),
            Ok(false) => ControlFlow::Break(Halt::Keep),
            Err(raised) => {
                self.raised = Some(raised);
                ControlFlow::Break(Halt::Discard)
            }
        }
    }
}
