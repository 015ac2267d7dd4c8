//! Requests, and what is looked at in their answers.

use fastr_loadgen::{pattern, pointer, Capture, Check, Expect, Form, Part, Source, Template};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use super::plan::{seconds, value_error};

/// One HTTP/1.1 request, as the bytes on the wire.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Request(pub(crate) fastr_loadgen::Request);

type Checks<'py> = Vec<Bound<'py, PyTuple>>;
type Captures = Vec<(usize, String, String)>;

#[pymethods]
impl Request {
    #[new]
    #[allow(clippy::too_many_arguments)] // keyword arguments of a Python function
    #[pyo3(signature = (name, wire, status, *, checks=Vec::new(), captures=Vec::new(), look_every=1, timeout=None))]
    fn new(
        name: String,
        wire: Vec<u8>,
        status: Option<u16>,
        checks: Checks<'_>,
        captures: Captures,
        look_every: u32,
        timeout: Option<f64>,
    ) -> PyResult<Self> {
        let request = fastr_loadgen::Request::new(name, wire);
        looked_at(request, status, &checks, captures, look_every, timeout)
    }

    #[staticmethod]
    #[pyo3(signature = (name, head, body, status, *, checks=Vec::new(), captures=Vec::new(), look_every=1, timeout=None))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of a Python function
    fn template(
        name: String,
        head: Vec<Bound<'_, PyAny>>,
        body: Option<Vec<Bound<'_, PyAny>>>,
        status: Option<u16>,
        checks: Checks<'_>,
        captures: Captures,
        look_every: u32,
        timeout: Option<f64>,
    ) -> PyResult<Self> {
        let body = body.as_deref().map(parts).transpose()?;
        let template = Template::new(parts(&head)?, body);
        let request = fastr_loadgen::Request::template(name, template);
        looked_at(request, status, &checks, captures, look_every, timeout)
    }
}

fn looked_at(
    mut request: fastr_loadgen::Request,
    status: Option<u16>,
    checks: &[Bound<'_, PyTuple>],
    captures: Captures,
    look_every: u32,
    timeout: Option<f64>,
) -> PyResult<Request> {
    request.timeout = timeout
        .map(|timeout| seconds(timeout, "timeout"))
        .transpose()?;
    request.expect = status.map_or(Expect::StatusClass, Expect::Status);
    request.checks = checks.iter().map(check).collect::<PyResult<_>>()?;
    request.captures = captures
        .into_iter()
        .map(|(slot, kind, what)| {
            let source = match kind.as_str() {
                "json" => Source::Json(pointer(&what).map_err(value_error)?),
                "header" => Source::Header(what),
                "regex" => Source::Regex(pattern(&what).map_err(value_error)?),
                other => return Err(unknown("capture", other)),
            };
            Ok(Capture { slot, source })
        })
        .collect::<PyResult<_>>()?;
    request.look_every = look_every;
    Ok(Request(request))
}

fn check(given: &Bound<'_, PyTuple>) -> PyResult<Check> {
    let kind: String = given.get_item(0)?.extract()?;
    let text = |index: usize| given.get_item(index)?.extract::<String>();
    let optional = |index: usize| given.get_item(index)?.extract::<Option<String>>();
    Ok(match kind.as_str() {
        "contains" => Check::Contains(given.get_item(1)?.extract()?),
        "regex" => Check::Matches(pattern(&text(1)?).map_err(value_error)?),
        "json" => Check::json(&text(1)?, optional(2)?.as_deref()).map_err(value_error)?,
        "header" => Check::Header {
            name: text(1)?,
            value: optional(2)?.map(String::into_bytes),
        },
        "sha256" => {
            let hash: Vec<u8> = given.get_item(1)?.extract()?;
            let hash = hash.try_into();
            Check::Sha256(hash.map_err(|_| PyValueError::new_err("a SHA-256 has 32 bytes"))?)
        }
        "length" => Check::BodyBytes(given.get_item(1)?.extract()?),
        other => return Err(unknown("check", other)),
    })
}

fn parts(given: &[Bound<'_, PyAny>]) -> PyResult<Vec<Part>> {
    given.iter().map(part).collect()
}

fn part(given: &Bound<'_, PyAny>) -> PyResult<Part> {
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Ok(Part::Bytes(bytes.as_bytes().to_vec()));
    }
    let (kind, what): (Bound<'_, PyString>, Bound<'_, PyAny>) = given.extract()?;
    let form = match kind.to_str()? {
        "base64" => {
            let inner: Vec<Bound<'_, PyAny>> = what.extract()?;
            return Ok(Part::Base64(parts(&inner)?));
        }
        "text" => Form::Text,
        "field" => Form::Field,
        "url" => Form::Url,
        "link" => Form::Link,
        "form" => Form::Form,
        "json_text" => Form::JsonText,
        "json_value" => Form::JsonValue,
        other => return Err(unknown("part", other)),
    };
    let slot = what.extract()?;
    Ok(Part::Slot { slot, form })
}

fn unknown(what: &str, kind: &str) -> PyErr {
    PyValueError::new_err(format!("unknown kind of {what}: {kind:?}"))
}
