//! Awaitables that need no coroutine: one that is complete already, one that waits for an exchange.
//!
//! Both have `send`, `throw` and `close`, so that `asyncio.create_task(receive())` takes them for coroutines.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use fastr_engine::{Exchange, Received};
use pyo3::exceptions::PyStopIteration;
use pyo3::intern;
use pyo3::prelude::*;

use super::exchange::{AsgiExchange, Until};
use super::messages::receive_message;
use super::websocket::event_message;

/// An awaitable whose result is None, at once.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Completed;

#[pymethods]
impl Completed {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self) -> Option<()> {
        None
    }

    fn send(&self, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<Bound<'_, PyAny>>,
    ) -> PyErr {
        thrown(kind, value, traceback)
    }

    fn close(&self) {}
}

/// An awaitable that waits for an exchange, and for the event loop's next turn before that if it has to.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Waiting {
    exchange: Arc<AsgiExchange>,
    until: Until,
    /// The iterator of the future that is being awaited.
    inner: Mutex<Option<Py<PyAny>>>,
    ends_turn: AtomicBool,
}

impl Waiting {
    pub(crate) fn new(exchange: Arc<AsgiExchange>, until: Until, ends_turn: bool) -> Self {
        Self {
            exchange,
            until,
            inner: Mutex::new(None),
            ends_turn: AtomicBool::new(ends_turn),
        }
    }

    fn inner(&self) -> Option<Py<PyAny>> {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn set_inner(&self, inner: Py<PyAny>) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Some(inner);
    }

    /// The result, if it is there.
    fn poll(&self, py: Python<'_>) -> PyResult<Poll<Py<PyAny>>> {
        let exchange: &Arc<Exchange> = &self.exchange.exchange;
        match (self.until, &self.exchange.socket) {
            (Until::Message, Some(socket)) => {
                match self.exchange.poll(|cx| socket.poll_receive(cx)) {
                    Poll::Ready(event) => event_message(py, event).map(Poll::Ready),
                    Poll::Pending => Ok(Poll::Pending),
                }
            }
            (Until::Room, Some(socket)) => Ok(self
                .exchange
                .poll(|cx| socket.poll_room(cx))
                .map(|()| py.None())),
            (Until::Message, None) => match self.exchange.poll(|cx| exchange.poll_receive(cx)) {
                Poll::Ready(received) => receive_message(py, received).map(Poll::Ready),
                Poll::Pending => Ok(Poll::Pending),
            },
            (Until::Room, None) => Ok(self
                .exchange
                .poll(|cx| exchange.poll_room(cx))
                .map(|()| py.None())),
        }
    }

    /// Whether a waiting `receive` can get no more of the request.
    fn is_late(&self) -> bool {
        matches!(self.until, Until::Message)
            && self.exchange.socket.is_none()
            && self.exchange.exchange.request_has_ended()
    }

    /// One step: what the awaited future yields, or StopIteration with the result.
    fn step(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.ends_turn.swap(false, Relaxed) {
            return Ok(py.None());
        }
        let mut woken = false;
        loop {
            let future = match self.inner() {
                Some(future) => future,
                None => match self.poll(py)? {
                    Poll::Ready(result) => return Err(PyStopIteration::new_err((result,))),
                    // Another `receive` took the last piece that woke both: nothing will come any more.
                    Poll::Pending if woken && self.is_late() => {
                        let nothing = Received::Body {
                            bytes: bytes::Bytes::new(),
                            more: false,
                        };
                        let message = receive_message(py, nothing)?;
                        return Err(PyStopIteration::new_err((message,)));
                    }
                    Poll::Pending => self
                        .exchange
                        .wait(py, self.until)?
                        .call_method0(py, intern!(py, "__await__"))?,
                },
            };
            match future.call_method1(py, intern!(py, "send"), (py.None(),)) {
                Ok(yielded) => {
                    self.set_inner(future);
                    return Ok(yielded);
                }
                // The future is done: ask the exchange again.
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => woken = true,
                Err(error) => return Err(error),
            }
        }
    }
}

#[pymethods]
impl Waiting {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.step(py)
    }

    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.step(py)
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        py: Python<'_>,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let error = thrown(kind, value, traceback);
        match self.inner() {
            // One argument: Python warns of the three since 3.12.
            Some(future) => future.call_method1(py, intern!(py, "throw"), (error.into_value(py),)),
            None => Err(error),
        }
    }

    fn close(&self) {
        drop(self.inner());
    }
}

/// The exception that a caller of `throw` means.
fn thrown(
    kind: Bound<'_, PyAny>,
    value: Option<Bound<'_, PyAny>>,
    traceback: Option<Bound<'_, PyAny>>,
) -> PyErr {
    let py = kind.py();
    let given = value.filter(|value| !value.is_none());
    let exception = match given {
        Some(value) if value.is_instance_of::<pyo3::exceptions::PyBaseException>() => Ok(value),
        Some(value) => kind.call1((value,)),
        None if kind.is_callable() => kind.call0(),
        None => Ok(kind),
    };
    match exception {
        Ok(exception) => {
            let error = PyErr::from_value(exception);
            if let Some(Ok(traceback)) = traceback.map(|one| one.cast_into()) {
                error.set_traceback(py, Some(traceback));
            }
            error
        }
        Err(error) => error,
    }
}
