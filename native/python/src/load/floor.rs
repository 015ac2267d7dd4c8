//! What the generator itself takes.

use pyo3::prelude::*;

use super::plan::{seconds, value_error};
use super::Histogram;

/// A closed loop on a server that does nothing.
#[pyclass(frozen, get_all, module = "pytest_fastr._native")]
pub(crate) struct Floor {
    service: Histogram,
    rps: f64,
    cpu_ns: Option<f64>,
}

#[pyfunction]
pub(crate) fn measure_floor(py: Python<'_>, connections: usize, time: f64) -> PyResult<Floor> {
    let time = seconds(time, "the time")?;
    let floor = py
        .detach(|| fastr_loadgen::floor(connections, time))
        .map_err(value_error)?;
    Ok(Floor {
        service: Histogram(floor.service),
        rps: floor.rps,
        cpu_ns: floor.cpu_ns,
    })
}
