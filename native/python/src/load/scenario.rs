//! What users do.

use fastr_loadgen::{FeedValue, Flow, Step, Think};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};

use super::plan::{seconds, value_error};

/// A value of a row: bytes are text, and text is JSON.
#[derive(FromPyObject)]
enum Given {
    Text(PyBackedBytes),
    Json(PyBackedStr),
}

impl Given {
    fn value(&self) -> FeedValue<'_> {
        match self {
            Self::Text(bytes) => FeedValue::Text(bytes),
            Self::Json(json) => FeedValue::Json(json.as_bytes()),
        }
    }
}

/// Rows of values.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Feed(fastr_loadgen::Feed);

#[pymethods]
impl Feed {
    #[new]
    #[pyo3(signature = (slots, rows, *, shuffled=false, per_user=false))]
    fn new(
        slots: Vec<usize>,
        rows: Vec<Vec<Given>>,
        shuffled: bool,
        per_user: bool,
    ) -> PyResult<Self> {
        let feed = fastr_loadgen::Feed::new(
            slots,
            rows.iter().map(|row| row.iter().map(Given::value)),
            shuffled,
        )
        .map_err(value_error)?;
        Ok(Self(match per_user {
            true => feed.per_user(),
            false => feed,
        }))
    }
}

/// Flows of requests, and what users hold.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Scenario(pub(super) fastr_loadgen::Scenario);

/// The index of a request, and the bounds of the pause before it.
type GivenStep = (usize, f64, f64);

#[pymethods]
impl Scenario {
    #[new]
    #[pyo3(signature = (flows, *, start=Vec::new(), feeds=Vec::new(), slots=0, cookies=false))]
    fn new(
        flows: Vec<(String, u32, Vec<GivenStep>)>,
        start: Vec<usize>,
        feeds: Vec<PyRef<'_, Feed>>,
        slots: usize,
        cookies: bool,
    ) -> PyResult<Self> {
        let flows = flows.into_iter().map(|(name, weight, steps)| {
            let steps = steps.into_iter().map(step).collect::<PyResult<_>>()?;
            Ok(Flow {
                name,
                weight,
                steps,
            })
        });
        Ok(Self(fastr_loadgen::Scenario {
            flows: flows.collect::<PyResult<_>>()?,
            start,
            feeds: feeds.iter().map(|feed| feed.0.clone()).collect(),
            slots,
            cookies,
        }))
    }
}

fn step((request, low, high): GivenStep) -> PyResult<Step> {
    let (low, high) = (seconds(low, "a pause")?, seconds(high, "a pause")?);
    let pause = match high.is_zero() {
        true => Think::Never,
        false => Think::Uniform(low, high),
    };
    Ok(Step { request, pause })
}
