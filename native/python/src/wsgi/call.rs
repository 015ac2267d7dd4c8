//! One call of a WSGI application, on the thread that serves it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fastr_engine::Exchange;
use http::StatusCode;
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use super::environ::build_environ;
use super::{wait, Common, WsgiInput};

/// Status and headers that an application has given, until the first byte of its body.
struct Head {
    status: u16,
    reason: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
}

enum Stage {
    /// `start_response` has not been called.
    Silent,
    /// It has, and another call may still replace what it said.
    Given(Head),
    /// The head is on its way.
    Sent,
}

/// `start_response`, and the `write` that it returns.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct StartResponse {
    exchange: Arc<Exchange>,
    stage: Mutex<Stage>,
}

impl StartResponse {
    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the head, if that has not been done.
    fn send_head(&self) -> PyResult<()> {
        let mut stage = self.lock();
        let head = match std::mem::replace(&mut *stage, Stage::Sent) {
            Stage::Given(head) => head,
            Stage::Sent => return Ok(()),
            Stage::Silent => {
                *stage = Stage::Silent;
                return Err(PyAssertionError::new_err(
                    "the application sent a body before it called start_response()",
                ));
            }
        };
        let fields = head
            .headers
            .iter()
            .map(|(name, value)| (&name[..], &value[..]));
        let begun = self
            .exchange
            .start_saying(head.status, head.reason.as_deref(), fields);
        begun.map_err(|error| {
            // Nothing of it was sent: the engine may still answer.
            *stage = Stage::Silent;
            PyValueError::new_err(error.to_string())
        })
    }

    /// Sends bytes of the body, and waits until there is room for more. What is beyond the content-length is not sent
    /// (PEP 3333), and the application's error.
    fn send(&self, py: Python<'_>, mut bytes: Bytes, more: bool) -> PyResult<()> {
        self.send_head()?;
        let left = self.exchange.length_left().unwrap_or(u64::MAX);
        if bytes.len() as u64 <= left {
            self.pass(bytes, more)?;
            if more {
                wait(py, |cx| self.exchange.poll_room(cx));
            }
            return Ok(());
        }
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.pass(bytes, false)?;
        Err(PyValueError::new_err(
            "the body is longer than its Content-Length, and was cut off there",
        ))
    }

    fn pass(&self, bytes: Bytes, more: bool) -> PyResult<()> {
        self.exchange
            .send(bytes, more)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers, exc_info=None, /))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (status, reason) = status_line(status)?;
        let head = Head {
            status,
            reason,
            headers: header_fields(headers)?,
        };
        {
            let mut stage = slf.get().lock();
            match (&*stage, exc_info) {
                (Stage::Sent, Some(exc_info)) => {
                    drop(stage);
                    return Err(PyErr::from_value(exc_info.get_item(1)?));
                }
                (Stage::Sent | Stage::Given(_), None) => {
                    return Err(PyAssertionError::new_err(
                        "start_response() was called again, without exc_info",
                    ));
                }
                _ => *stage = Stage::Given(head),
            }
        }
        slf.getattr(intern!(slf.py(), "write"))
    }

    /// Sends bytes of the body at once.
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = body_bytes(data)?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.send(py, bytes, true)
    }
}

/// `"200 OK"` as 200, and the reason where it is not the standard one.
fn status_line(status: &Bound<'_, PyAny>) -> PyResult<(u16, Option<Vec<u8>>)> {
    let text = status
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("the status must be a str, not {status:?}")))?
        .to_str()?;
    let (code, reason) = text.split_at_checked(3).unwrap_or((text, ""));
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    match code.parse() {
        Ok(code) if is_code && (reason.is_empty() || reason.starts_with(' ')) => {
            let reason = reason.strip_prefix(' ').unwrap_or(reason);
            let standard = StatusCode::from_u16(code)
                .ok()
                .and_then(|code| code.canonical_reason());
            let reason = (standard != Some(reason)).then(|| latin1_bytes(reason));
            Ok((code, reason.transpose()?))
        }
        _ => Err(PyValueError::new_err(format!(
            "the status must be three digits, a space and a reason, not {text:?}"
        ))),
    }
}

fn header_fields(headers: &Bound<'_, PyAny>) -> PyResult<Vec<(Vec<u8>, Vec<u8>)>> {
    let headers = headers
        .cast::<PyList>()
        .map_err(|_| PyTypeError::new_err("the headers must be a list of (name, value) tuples"))?;
    let mut fields = Vec::with_capacity(headers.len());
    for field in headers {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = field
            .cast::<PyTuple>()
            .ok()
            .and_then(|field| field.extract().ok())
            .ok_or_else(|| {
                PyTypeError::new_err(format!(
                    "a header must be a (name, value) tuple, not {field:?}"
                ))
            })?;
        let name = latin1(&name)?;
        // The engine's own business.
        let hop_by_hop: [&[u8]; 8] = [
            b"connection",
            b"keep-alive",
            b"proxy-authenticate",
            b"proxy-authorization",
            b"te",
            b"trailer",
            b"transfer-encoding",
            b"upgrade",
        ];
        if hop_by_hop.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            continue;
        }
        fields.push((name, latin1(&value)?));
    }
    Ok(fields)
}

/// A header's name or value, which is text of bytes.
fn latin1(text: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let text = text
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("headers are made of str, not of {text:?}")))?
        .to_str()?;
    latin1_bytes(text)
}

fn latin1_bytes(text: &str) -> PyResult<Vec<u8>> {
    if text.is_ascii() {
        return Ok(text.as_bytes().to_vec());
    }
    text.chars()
        .map(|char| u8::try_from(u32::from(char)))
        .collect::<Result<_, _>>()
        .map_err(|_| {
            PyValueError::new_err(format!("no header can carry {text:?}: it is not latin-1"))
        })
}

fn body_bytes(data: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let bytes = data
        .cast::<PyBytes>()
        .map_err(|_| PyTypeError::new_err(format!("a body is made of bytes, not of {data:?}")))?;
    Ok(Bytes::copy_from_slice(bytes.as_bytes()))
}

/// Serves a request. Whatever goes wrong is said, and is this request's failure alone.
pub(super) fn serve(py: Python<'_>, common: &Common, exchange: Arc<Exchange>) {
    let result = call(py, common, &exchange);
    exchange.finish();
    let complaint = match result {
        Ok(()) => return,
        Err(error) => error,
    };
    let head = exchange.head();
    let said = common.complain.bind(py).call1((
        head.method.as_str(),
        head.uri.path(),
        complaint.into_value(py),
    ));
    if let Err(error) = said {
        error.write_unraisable(py, None);
    }
}

fn call(py: Python<'_>, common: &Common, exchange: &Arc<Exchange>) -> PyResult<()> {
    let environ = build_environ(py, common, exchange.head())?;
    environ.set_item(
        intern!(py, "wsgi.input"),
        Bound::new(py, WsgiInput::new(exchange.clone()))?,
    )?;
    let start = Bound::new(
        py,
        StartResponse {
            exchange: exchange.clone(),
            stage: Mutex::new(Stage::Silent),
        },
    )?;
    let result = common.app.bind(py).call1((environ, &start))?;
    let sent = send_all(py, start.get(), &result);
    let closed = match result.getattr_opt(intern!(py, "close"))? {
        Some(close) => close.call0().map(|_| ()),
        None => Ok(()),
    };
    sent.and(closed)
}

/// Sends what the application returned.
fn send_all(py: Python<'_>, start: &StartResponse, result: &Bound<'_, PyAny>) -> PyResult<()> {
    // Of these the length is known, and with it the length of the body.
    if result.is_exact_instance_of::<PyList>() || result.is_exact_instance_of::<PyTuple>() {
        let pieces = result
            .try_iter()?
            .map(|piece| body_bytes(&piece?))
            .collect::<PyResult<Vec<_>>>()?;
        let body = match <[Bytes; 1]>::try_from(pieces) {
            Ok([only]) => only,
            Err(pieces) => pieces.concat().into(),
        };
        return start.send(py, body, false);
    }
    for piece in result.try_iter()? {
        let bytes = body_bytes(&piece?)?;
        if !bytes.is_empty() {
            start.send(py, bytes, true)?;
        }
        if start.exchange.is_cut_off() {
            return Ok(());
        }
    }
    start.send(py, Bytes::new(), false)
}
