//! What Python says of a route, read into what the engine works with.

use fastr_engine::{Param, Reading, Scalar, Source};
use http::HeaderName;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::route::{Argument, Default, Run};

/// A parameter as Python describes it: source, key, reading, default kind, default, validator.
pub(super) type Described<'py> = (
    String,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    String,
    Bound<'py, PyAny>,
    Option<Py<PyAny>>,
);

fn source(kind: &str, key: &Bound<'_, PyAny>) -> PyResult<Source> {
    Ok(match kind {
        "path" => Source::Path(key.extract()?),
        "query" => Source::Query(key.extract()?),
        "cookie" => Source::Cookie(key.extract()?),
        "header" => {
            let name: String = key.extract()?;
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| PyValueError::new_err(format!("{name:?} is no header name")))?;
            Source::Header(name)
        }
        _ => return Err(PyValueError::new_err(format!("no source {kind:?}"))),
    })
}

/// `"text"`, `"texts"`, or a scalar: `("int", {"ge": 1})`.
fn reading(described: &Bound<'_, PyAny>) -> PyResult<Reading> {
    if let Ok(kind) = described.extract::<String>() {
        return match kind.as_str() {
            "text" => Ok(Reading::Text),
            "texts" => Ok(Reading::Texts),
            _ => Err(PyValueError::new_err(format!("no reading {kind:?}"))),
        };
    }
    let (kind, bounds): (String, Bound<'_, PyDict>) = described.extract()?;
    let bound = |name: &str| {
        bounds
            .get_item(name)
            .map(|value| value.filter(|value| !value.is_none()))
    };
    let scalar = match kind.as_str() {
        "str" => Scalar::Str {
            min: bound("min_length")?.map_or(Ok(0), |value| value.extract())?,
            max: bound("max_length")?.map_or(Ok(usize::MAX), |value| value.extract())?,
        },
        "int" => {
            let whole = |name: &str| -> PyResult<Option<i64>> {
                bound(name)?.map(|value| value.extract()).transpose()
            };
            let past = |limit: Option<i64>, step: i64| -> PyResult<Option<i64>> {
                match limit {
                    Some(limit) => limit.checked_add(step).map(Some).ok_or_else(|| {
                        PyValueError::new_err("a bound that no 64-bit number is within")
                    }),
                    None => Ok(None),
                }
            };
            let least = [whole("ge")?, past(whole("gt")?, 1)?];
            let most = [whole("le")?, past(whole("lt")?, -1)?];
            Scalar::Int {
                min: least.into_iter().flatten().max().unwrap_or(i64::MIN),
                max: most.into_iter().flatten().min().unwrap_or(i64::MAX),
            }
        }
        "float" => {
            let number = |name: &str, without: f64| -> PyResult<f64> {
                bound(name)?.map_or(Ok(without), |value| value.extract())
            };
            Scalar::Float {
                at_least: number("ge", f64::NEG_INFINITY)?,
                at_most: number("le", f64::INFINITY)?,
                above: number("gt", f64::NEG_INFINITY)?,
                below: number("lt", f64::INFINITY)?,
            }
        }
        "bool" => Scalar::Bool,
        _ => return Err(PyValueError::new_err(format!("no scalar {kind:?}"))),
    };
    Ok(Reading::Scalar(scalar))
}

pub(super) fn argument(described: Described<'_>) -> PyResult<Argument> {
    let (kind, key, reading_described, default_kind, default, validate) = described;
    Ok(Argument {
        param: Param {
            source: source(&kind, &key)?,
            reading: reading(&reading_described)?,
        },
        default: match default_kind.as_str() {
            "required" => Default::Required,
            "value" => Default::Value(default.unbind()),
            "factory" => Default::Factory(default.unbind()),
            _ => {
                return Err(PyValueError::new_err(format!(
                    "no default {default_kind:?}"
                )))
            }
        },
        validate,
    })
}

/// Where a handler is to run.
pub(super) fn run_of(kind: &str) -> PyResult<Run> {
    Ok(match kind {
        "async" => Run::Async,
        "one_step" => Run::OneStep,
        "trial" => Run::Trial,
        "pool" => Run::Pool,
        "inline" => Run::AlwaysInline,
        _ => return Err(PyValueError::new_err(format!("no way to run {kind:?}"))),
    })
}
