//! A route as it was compiled: what its handler gets, and what becomes of what it returns.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use fastr_engine::{Exchange, Given, Param, Reading, Scalar, Source, Value};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

use super::calls::Trial;
use super::json;

/// What a parameter is when the request does not have it.
enum Default {
    /// The framework answers with an error.
    Required,
    Value(Py<PyAny>),
    /// Called for a fresh one each time.
    Factory(Py<PyAny>),
}

struct Argument {
    param: Param,
    default: Default,
    /// Validates the text; none where the engine has converted it.
    validate: Option<Py<PyAny>>,
}

/// What a handler's result becomes.
enum Respond {
    /// JSON of plain values.
    Json,
    /// The response model's JSON: validated, then dumped to bytes.
    Model {
        validate: Py<PyAny>,
        dump: Py<PyAny>,
    },
    /// Text as it is.
    Text,
    /// Nothing but response objects.
    Nothing,
}

/// Where a handler that blocks runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Run {
    /// It is a coroutine function: on the loop.
    Async,
    /// In the pool, watched: it may be promoted.
    Trial,
    /// On the loop's own thread, watched: it may be sent back.
    Inline,
    /// In the pool, for good.
    Pool,
    /// On the loop's own thread, for good.
    AlwaysInline,
}

/// A compiled route.
pub(crate) struct Compiled {
    endpoint: Py<PyAny>,
    /// The names of the handler's arguments, in the order of `arguments` and the body.
    names: Py<PyTuple>,
    /// Arguments that are the same for every request; first in `names`.
    fixed: Vec<Py<PyAny>>,
    arguments: Vec<Argument>,
    /// Validates the body.
    body: Option<Py<PyAny>>,
    respond: Respond,
    status: StatusCode,
    headers: HeaderMap,
    run: AtomicU8,
    trial: Mutex<Trial>,
    /// The first answer, where it is to be every answer.
    first: Option<OnceLock<Answer>>,
    /// It has dependencies, which the application may override.
    overridable: bool,
    /// What the Python side knows this route by.
    pub(crate) info: Py<PyAny>,
}

/// How a matched route is served.
pub(crate) enum Native {
    /// By its compiled form.
    Compiled(Box<Compiled>),
    /// By the framework's own application of that one route, without what is around it.
    Direct(Py<PyAny>),
}

/// A route of `NativeRoutes`.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct NativeRoute(pub(crate) Arc<Native>);

/// A parameter as Python describes it: source, key, reading, default kind, default, validator.
type Described<'py> = (
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

fn argument(described: Described<'_>) -> PyResult<Argument> {
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

fn run(kind: &str) -> PyResult<Run> {
    Ok(match kind {
        "async" => Run::Async,
        "trial" => Run::Trial,
        "pool" => Run::Pool,
        "inline" => Run::AlwaysInline,
        _ => return Err(PyValueError::new_err(format!("no way to run {kind:?}"))),
    })
}

#[pymethods]
impl NativeRoute {
    #[staticmethod]
    #[pyo3(signature = (endpoint, info, *, run, names, fixed, arguments, body, respond, status, media_type, cache, overridable))]
    #[allow(clippy::too_many_arguments)]
    fn compiled(
        endpoint: Py<PyAny>,
        info: Py<PyAny>,
        run: &str,
        names: Py<PyTuple>,
        fixed: Vec<Py<PyAny>>,
        arguments: Vec<Described<'_>>,
        body: Option<Py<PyAny>>,
        respond: (String, Option<Py<PyAny>>, Option<Py<PyAny>>),
        status: u16,
        media_type: Option<&str>,
        cache: bool,
        overridable: bool,
    ) -> PyResult<Self> {
        let respond = match respond {
            (kind, Some(validate), Some(dump)) if kind == "model" => {
                Respond::Model { validate, dump }
            }
            (kind, ..) if kind == "json" => Respond::Json,
            (kind, ..) if kind == "text" => Respond::Text,
            (kind, ..) if kind == "nothing" => Respond::Nothing,
            (kind, ..) => return Err(PyValueError::new_err(format!("no response {kind:?}"))),
        };
        let mut headers = HeaderMap::new();
        if let Some(media_type) = media_type {
            let value = HeaderValue::from_str(media_type)
                .map_err(|_| PyValueError::new_err("a media type that no header can carry"))?;
            headers.insert(CONTENT_TYPE, value);
        }
        let status = StatusCode::from_u16(status)
            .map_err(|_| PyValueError::new_err(format!("{status} is no status code")))?;
        Ok(Self(Arc::new(Native::Compiled(Box::new(Compiled {
            endpoint,
            names,
            fixed,
            arguments: arguments
                .into_iter()
                .map(argument)
                .collect::<PyResult<_>>()?,
            body,
            respond,
            status,
            headers,
            run: AtomicU8::new(self::run(run)? as u8),
            trial: Mutex::default(),
            first: cache.then(OnceLock::new),
            overridable,
            info,
        })))))
    }

    #[staticmethod]
    fn direct(info: Py<PyAny>) -> Self {
        Self(Arc::new(Native::Direct(info)))
    }

    /// Where a handler that blocks runs now: "pool" or "inline"; none for others.
    #[getter]
    fn runs(&self) -> Option<&'static str> {
        match &*self.0 {
            Native::Compiled(compiled) => match compiled.run() {
                Run::Async => None,
                Run::Trial | Run::Pool => Some("pool"),
                Run::Inline | Run::AlwaysInline => Some("inline"),
            },
            Native::Direct(_) => None,
        }
    }
}

/// Nothing has run yet, and something is not for a compiled route: the application serves the request as if nobody had
/// looked at it.
pub(crate) struct Pass;

impl From<fastr_engine::Unsure> for Pass {
    fn from(_: fastr_engine::Unsure) -> Self {
        Self
    }
}

impl From<json::NotPlain> for Pass {
    fn from(_: json::NotPlain) -> Self {
        Self
    }
}

impl From<PyErr> for Pass {
    fn from(_: PyErr) -> Self {
        Self
    }
}

/// A result that is ready to be sent.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn send(self, exchange: &Arc<Exchange>) {
        exchange.answer(self.status, self.headers, self.body);
    }
}

/// The classes that results are told by: responses, those whose bytes are all there, and models.
pub(crate) struct PlainResponses {
    pub(crate) base: Py<PyType>,
    pub(crate) exact: Vec<Py<PyType>>,
    pub(crate) models: json::Models,
}

impl Compiled {
    pub(crate) fn run(&self) -> Run {
        match self.run.load(Relaxed) {
            0 => Run::Async,
            1 => Run::Trial,
            2 => Run::Inline,
            3 => Run::Pool,
            _ => Run::AlwaysInline,
        }
    }

    /// Status and headers of the route's own answers.
    pub(crate) fn head(&self) -> (StatusCode, &HeaderMap) {
        (self.status, &self.headers)
    }

    pub(crate) fn set_run(&self, run: Run) {
        self.run.store(run as u8, Relaxed);
    }

    /// The answer to every request, once it is known.
    pub(crate) fn cached(&self) -> Option<&Answer> {
        self.first.as_ref()?.get()
    }

    pub(crate) fn cache(&self, answer: &Answer) {
        if let Some(first) = &self.first {
            let _ = first.set(answer.clone());
        }
    }

    pub(crate) fn trial(&self) -> MutexGuard<'_, Trial> {
        self.trial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether code of the application's may run before the handler does.
    pub(crate) fn runs_validators(&self) -> bool {
        self.body.is_some()
            || self.arguments.iter().any(|argument| {
                argument.validate.is_some() || matches!(argument.default, Default::Factory(_))
            })
    }

    /// Whether it has dependencies, which the application may override.
    pub(crate) fn is_overridable(&self) -> bool {
        self.overridable
    }

    pub(crate) fn reads_body(&self) -> bool {
        self.body.is_some()
    }

    /// The handler's arguments, in the order of their names.
    pub(crate) fn arguments<'py>(
        &self,
        py: Python<'py>,
        given: &Given<'_>,
        body: Option<Bytes>,
    ) -> Result<Vec<Bound<'py, PyAny>>, Pass> {
        let mut values = Vec::with_capacity(self.fixed.len() + self.arguments.len() + 1);
        values.extend(self.fixed.iter().map(|value| value.bind(py).clone()));
        for argument in &self.arguments {
            let value = match argument.param.read(given)? {
                Value::Missing => {
                    values.push(match &argument.default {
                        Default::Required => return Err(Pass),
                        Default::Value(value) => value.bind(py).clone(),
                        Default::Factory(make) => make.bind(py).call0()?,
                    });
                    continue;
                }
                Value::Str(text) => PyString::new(py, &text).into_any(),
                Value::Int(number) => PyInt::new(py, number).into_any(),
                Value::Float(number) => PyFloat::new(py, number).into_any(),
                Value::Bool(truth) => PyBool::new(py, truth).to_owned().into_any(),
                Value::Texts(texts) => {
                    PyList::new(py, texts.iter().map(|text| &**text))?.into_any()
                }
            };
            values.push(match &argument.validate {
                Some(validate) => validated(validate.bind(py), &value)?,
                None => value,
            });
        }
        if let Some(validate) = &self.body {
            let body = body.ok_or(Pass)?;
            let document = json::read(py, &body)?;
            values.push(validated(validate.bind(py), &document)?);
        }
        Ok(values)
    }

    /// Calls the handler.
    pub(crate) fn call<'py>(
        &self,
        py: Python<'py>,
        values: &[Bound<'py, PyAny>],
    ) -> PyResult<Bound<'py, PyAny>> {
        call_with_names(self.endpoint.bind(py), values, 0, self.names.bind(py))
    }

    /// The bytes that the framework would send for a handler's result; none where its own code has to say.
    pub(crate) fn answer(
        &self,
        py: Python<'_>,
        result: &Bound<'_, PyAny>,
        plain: &PlainResponses,
    ) -> Option<Answer> {
        if result.is_instance(plain.base.bind(py)).ok()? {
            return response_object(result, plain);
        }
        let body = match &self.respond {
            Respond::Json => {
                let mut out = Vec::with_capacity(128);
                json::write(result, &plain.models, &mut out).ok()?;
                Bytes::from(out)
            }
            Respond::Model { validate, dump } => {
                let value = validated(validate.bind(py), result).ok()?;
                let dumped = dump.bind(py).call1((value,)).ok()?;
                Bytes::copy_from_slice(dumped.cast_exact::<PyBytes>().ok()?.as_bytes())
            }
            Respond::Text => {
                let text = result.cast_exact::<PyString>().ok()?;
                Bytes::copy_from_slice(text.to_str().ok()?.as_bytes())
            }
            Respond::Nothing => return None,
        };
        Some(Answer {
            status: self.status,
            headers: self.headers.clone(),
            body,
        })
    }
}

/// `validate(value, from_attributes=True)`, as FastAPI calls pydantic.
fn validated<'py>(
    validate: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    use pyo3::sync::PyOnceLock;
    static NAMES: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
    let py = value.py();
    let names = NAMES.get_or_try_init(py, || {
        PyTuple::new(py, ["from_attributes"]).map(Bound::unbind)
    })?;
    let yes = PyBool::new(py, true).to_owned().into_any();
    call_with_names(validate, &[value.clone(), yes], 1, names.bind(py))
}

/// Calls with the first values by position and the others by name, without a dictionary in between.
pub(crate) fn call_with_names<'py>(
    callable: &Bound<'py, PyAny>,
    values: &[Bound<'py, PyAny>],
    by_position: usize,
    names: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let pointers: Vec<*mut ffi::PyObject> = values.iter().map(|value| value.as_ptr()).collect();
    let names = if names.is_empty() {
        std::ptr::null_mut()
    } else {
        names.as_ptr()
    };
    // SAFETY: the interpreter is attached; `pointers` holds the positional values and then one for each name, all of
    // them borrowed from `values`, which outlives the call.
    unsafe {
        let result =
            ffi::PyObject_Vectorcall(callable.as_ptr(), pointers.as_ptr(), by_position, names);
        Bound::from_owned_ptr_or_err(callable.py(), result)
    }
}

/// A response object that has all its bytes and no work to do after it was sent.
fn response_object(result: &Bound<'_, PyAny>, plain: &PlainResponses) -> Option<Answer> {
    let py = result.py();
    let class = result.get_type();
    if !plain.exact.iter().any(|known| class.is(known.bind(py))) {
        return None;
    }
    if !result.getattr(intern!(py, "background")).ok()?.is_none() {
        return None;
    }
    let status: u16 = result
        .getattr(intern!(py, "status_code"))
        .ok()?
        .extract()
        .ok()?;
    let status = StatusCode::from_u16(status).ok().filter(|status| {
        status.as_u16() >= 200
            && *status != StatusCode::NO_CONTENT
            && *status != StatusCode::NOT_MODIFIED
    })?;
    let body = result.getattr(intern!(py, "body")).ok()?;
    let body = Bytes::copy_from_slice(body.cast_exact::<PyBytes>().ok()?.as_bytes());
    let mut headers = HeaderMap::new();
    for field in result
        .getattr(intern!(py, "raw_headers"))
        .ok()?
        .cast_exact::<PyList>()
        .ok()?
    {
        let (name, value): (Bound<'_, PyBytes>, Bound<'_, PyBytes>) = field.extract().ok()?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        match name {
            http::header::CONTENT_LENGTH => {
                let announced: usize = value.to_str().ok()?.parse().ok()?;
                if announced != body.len() {
                    return None;
                }
            }
            http::header::TRANSFER_ENCODING => return None,
            name => {
                headers.try_append(name, value).ok()?;
            }
        }
    }
    Some(Answer {
        status,
        headers,
        body,
    })
}
