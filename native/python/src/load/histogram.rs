//! Times as a histogram.

use fastr_loadgen::Recorder;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Times in nanoseconds.
#[pyclass(frozen, module = "pytest_fastr._native")]
#[derive(Clone)]
pub(crate) struct Histogram(pub(super) Recorder);

#[pymethods]
impl Histogram {
    #[getter]
    fn count(&self) -> u64 {
        self.0.len()
    }

    #[getter]
    fn mean_ns(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.mean_ns())
    }

    #[getter]
    fn max_ns(&self) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.max_ns())
    }

    fn quantile_ns(&self, q: f64) -> PyResult<Option<u64>> {
        quantile_ns(&self.0, q)
    }

    fn count_between(&self, low_ns: u64, high_ns: u64) -> u64 {
        self.0.count_between(low_ns, high_ns)
    }

    fn to_v2_text(&self) -> String {
        self.0.to_v2_text()
    }

    #[staticmethod]
    fn merged(parts: Vec<PyRef<'_, Histogram>>) -> Histogram {
        let mut merged = Recorder::new();
        for part in &parts {
            merged.merge(&part.0);
        }
        Histogram(merged)
    }
}

/// A quantile by the ten-samples rule.
pub(super) fn quantile_ns(times: &Recorder, q: f64) -> PyResult<Option<u64>> {
    if !(q > 0.0 && q < 1.0) {
        return Err(PyValueError::new_err(format!(
            "{q} is no quantile: give a share between 0 and 1"
        )));
    }
    Ok(times.known_quantile_ns(q))
}
