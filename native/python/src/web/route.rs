//! A route as it was compiled: what its handler gets, and what becomes of what it returns.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use fastr_engine::{Given, Param, Value};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::answer::{response_object, Answer, PlainResponses};
use super::describe::{argument, run_of, Described};
use super::json;
use super::trial::Trial;

/// What a parameter is when the request does not have it.
pub(super) enum Default {
    /// The framework answers with an error.
    Required,
    Value(Py<PyAny>),
    /// Called for a fresh one each time.
    Factory(Py<PyAny>),
}

/// An argument that is read from the request.
pub(super) struct Argument {
    pub(super) param: Param,
    pub(super) default: Default,
    /// Validates the text; none where the engine has converted it.
    pub(super) validate: Option<Py<PyAny>>,
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
}

/// Where a handler that blocks runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Run {
    /// It is a coroutine function: on the loop.
    Async,
    /// It is a coroutine function whose coroutines never suspend: on the loop, without a task.
    OneStep,
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
            run: AtomicU8::new(run_of(run)? as u8),
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

impl Compiled {
    pub(crate) fn run(&self) -> Run {
        match self.run.load(Relaxed) {
            0 => Run::Async,
            1 => Run::OneStep,
            2 => Run::Trial,
            3 => Run::Inline,
            4 => Run::Pool,
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
