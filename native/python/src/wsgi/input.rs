//! `wsgi.input`: a request's body as a file to read from. Reading waits for the client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BytesMut};
use fastr_engine::{Exchange, Received};
use pyo3::exceptions::PyConnectionResetError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::wait;

#[derive(Default)]
struct Buffer {
    bytes: BytesMut,
    ended: bool,
}

/// A request's body.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct WsgiInput {
    exchange: Arc<Exchange>,
    buffer: Mutex<Buffer>,
}

impl WsgiInput {
    pub(super) fn new(exchange: Arc<Exchange>) -> Self {
        Self {
            exchange,
            buffer: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for more bytes. False at the end of the body.
    fn fill(&self, py: Python<'_>) -> PyResult<bool> {
        if self.lock().ended {
            return Ok(false);
        }
        match wait(py, |cx| self.exchange.poll_receive(cx)) {
            Received::Body { bytes, more } => {
                let mut buffer = self.lock();
                buffer.bytes.extend_from_slice(&bytes);
                buffer.ended = !more;
                Ok(true)
            }
            Received::Disconnected => Err(PyConnectionResetError::new_err(
                "the client went away in the middle of its request",
            )),
        }
    }

    /// Takes so many bytes, or what there is of them.
    fn take<'py>(&self, py: Python<'py>, count: usize) -> Bound<'py, PyBytes> {
        let mut buffer = self.lock();
        let count = count.min(buffer.bytes.len());
        let taken = PyBytes::new(py, &buffer.bytes[..count]);
        buffer.bytes.advance(count);
        taken
    }
}

/// A size as Python's files have it: none and negative ones are no limit.
fn limit(size: Option<i64>) -> usize {
    size.and_then(|size| usize::try_from(size).ok())
        .unwrap_or(usize::MAX)
}

#[pymethods]
impl WsgiInput {
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let wanted = limit(size);
        while self.lock().bytes.len() < wanted && self.fill(py)? {}
        Ok(self.take(py, wanted))
    }

    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let wanted = limit(size);
        let mut searched = 0;
        loop {
            let (line, length) = {
                let buffer = self.lock();
                let end = buffer.bytes[searched..]
                    .iter()
                    .position(|byte| *byte == b'\n');
                (end.map(|end| searched + end + 1), buffer.bytes.len())
            };
            if let Some(line) = line {
                return Ok(self.take(py, line.min(wanted)));
            }
            if length >= wanted || !self.fill(py)? {
                return Ok(self.take(py, wanted));
            }
            searched = length;
        }
    }

    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<i64>) -> PyResult<Bound<'py, PyList>> {
        let enough = match limit(hint) {
            0 => usize::MAX,
            hint => hint,
        };
        let lines = PyList::empty(py);
        let mut total = 0;
        while total < enough {
            let line = self.readline(py, None)?;
            let length = line.as_bytes().len();
            if length == 0 {
                break;
            }
            total += length;
            lines.append(line)?;
        }
        Ok(lines)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.readline(py, None)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }
}
