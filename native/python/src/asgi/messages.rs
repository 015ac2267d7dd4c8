//! The two callables of ASGI: receive and send.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use fastr_engine::{Finish, Received, ResponseError};
use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::exchange::{AsgiExchange, Until};
use super::{Completed, Waiting};

/// ASGI's `receive`.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Receive(pub(crate) Arc<AsgiExchange>);

#[pymethods]
impl Receive {
    fn __call__(&self) -> Waiting {
        Waiting::new(self.0.clone(), Until::Message, self.0.ends_turn())
    }
}

/// The ASGI message for what was received.
pub(super) fn receive_message(py: Python<'_>, received: Received) -> PyResult<Py<PyAny>> {
    let message = PyDict::new(py);
    match received {
        Received::Body { bytes, more } => {
            message.set_item(intern!(py, "type"), intern!(py, "http.request"))?;
            message.set_item(intern!(py, "body"), PyBytes::new(py, &bytes))?;
            message.set_item(intern!(py, "more_body"), more)?;
        }
        Received::Disconnected => {
            message.set_item(intern!(py, "type"), intern!(py, "http.disconnect"))?
        }
    }
    Ok(message.into_any().unbind())
}

/// ASGI's `send`, and the end of an exchange.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Send(pub(crate) Arc<AsgiExchange>);

#[pymethods]
impl Send {
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let kind = message.get_item(intern!(py, "type"))?;
        let kind = kind.cast::<PyString>()?;
        match &*kind.to_string_lossy() {
            "http.response.start" => self.start(message)?,
            "http.response.body" => self.body(message)?,
            // Trailers are announced by the server in the scope, and this one does not.
            "http.response.trailers" | "http.response.debug" => {}
            other => {
                return Err(PyRuntimeError::new_err(format!(
                    "Expected ASGI message 'http.response.start' or 'http.response.body', but got '{other}'"
                )))
            }
        }
        let room = self.0.poll(|cx| self.0.exchange.poll_room(cx));
        until_room(py, &self.0, room)
    }

    /// Whether the application has tried to begin a response, which counts for its layers even where it failed.
    fn started(&self) -> bool {
        self.0.begun.load(Relaxed)
    }

    /// The application is done, or has failed. Returns what was wrong with its response, or None.
    #[pyo3(signature = (failed=false))]
    fn finish(&self, failed: bool) -> Option<&'static str> {
        // What of a response is missing says enough.
        let _ = failed;
        match self.0.exchange.finish() {
            Finish::Complete | Finish::Disconnected => None,
            Finish::NotStarted => Some("ASGI application returned without a response"),
            Finish::Incomplete => Some("ASGI application returned without completing its response"),
        }
    }
}

impl Send {
    fn start(&self, message: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = message.py();
        self.0.begun.store(true, Relaxed);
        let status: u16 = message.get_item(intern!(py, "status"))?.extract()?;
        let headers = headers(message)?;
        let fields = headers.iter().map(|(name, value)| (&**name, &**value));
        self.0
            .exchange
            .start(status, fields)
            .map_err(response_error)
    }

    fn body(&self, message: &Bound<'_, PyAny>) -> PyResult<()> {
        let (bytes, more) = body(message)?;
        self.0.exchange.send(bytes, more).map_err(response_error)
    }
}

/// The header fields of a message, which may have none.
pub(super) fn headers(message: &Bound<'_, PyAny>) -> PyResult<Vec<(PyBackedBytes, PyBackedBytes)>> {
    let mut headers = Vec::new();
    if let Some(fields) = optional(message, intern!(message.py(), "headers"))? {
        for field in fields.try_iter()? {
            headers.push(header(&field?)?);
        }
    }
    Ok(headers)
}

/// The bytes of a body message, and whether more follow.
pub(super) fn body(message: &Bound<'_, PyAny>) -> PyResult<(Bytes, bool)> {
    let py = message.py();
    let bytes = match optional(message, intern!(py, "body"))? {
        Some(body) => bytes_of(&body, "the body of 'http.response.body'")?,
        None => Bytes::new(),
    };
    let more = match optional(message, intern!(py, "more_body"))? {
        Some(more) => more.is_truthy()?,
        None => false,
    };
    Ok((bytes, more))
}

/// One header field: ASGI says an iterable of two byte strings, which is mostly a tuple and often a list.
fn header(field: &Bound<'_, PyAny>) -> PyResult<(PyBackedBytes, PyBackedBytes)> {
    if let Ok(pair) = field.cast::<PyTuple>() {
        if pair.len() == 2 {
            return Ok((
                header_part(pair.get_borrowed_item(0)?)?,
                header_part(pair.get_borrowed_item(1)?)?,
            ));
        }
    }
    let parts = field.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    match parts.as_slice() {
        [name, value] => Ok((
            header_part(name.as_borrowed())?,
            header_part(value.as_borrowed())?,
        )),
        _ => Err(PyValueError::new_err(format!(
            "a response header is a name and a value, not {} items",
            parts.len()
        ))),
    }
}

fn header_part(part: Borrowed<'_, '_, PyAny>) -> PyResult<PyBackedBytes> {
    part.extract().map_err(|_| {
        let kind = part
            .get_type()
            .name()
            .map_or_else(|_| "?".to_owned(), |name| name.to_string());
        PyTypeError::new_err(format!(
            "names and values of response headers must be bytes, not {kind}"
        ))
    })
}

/// The bytes of whatever is like bytes; `what` names it in the error.
pub(super) fn bytes_of(body: &Bound<'_, PyAny>, what: &str) -> PyResult<Bytes> {
    if let Ok(bytes) = body.cast::<PyBytes>() {
        return Ok(Bytes::copy_from_slice(bytes.as_bytes()));
    }
    if body.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(format!(
            "{what} must be bytes, not str"
        )));
    }
    // bytearray, memoryview and whatever else bytes() reads through the buffer protocol.
    let view = body
        .py()
        .import(intern!(body.py(), "builtins"))?
        .getattr(intern!(body.py(), "memoryview"))?
        .call1((body,))?;
    let copy = view.call_method0(intern!(body.py(), "tobytes"))?;
    Ok(Bytes::copy_from_slice(copy.cast::<PyBytes>()?.as_bytes()))
}

pub(super) fn optional<'py>(
    message: &Bound<'py, PyAny>,
    key: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(message) = message.cast_exact::<PyDict>() {
        return message.get_item(key);
    }
    match message.get_item(key) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<PyKeyError>(message.py()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn response_error(error: ResponseError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

/// What `send` returns: complete at once where there is `room`.
pub(super) fn until_room<'py>(
    py: Python<'py>,
    exchange: &Arc<AsgiExchange>,
    room: Poll<()>,
) -> PyResult<Bound<'py, PyAny>> {
    static COMPLETED: PyOnceLock<Py<Completed>> = PyOnceLock::new();
    let ends_turn = exchange.ends_turn();
    if room.is_pending() || ends_turn {
        let waiting = Waiting::new(exchange.clone(), Until::Room, ends_turn);
        return Ok(Bound::new(py, waiting)?.into_any());
    }
    Ok(COMPLETED
        .get_or_try_init(py, || Py::new(py, Completed))?
        .bind(py)
        .clone()
        .into_any())
}
