//! WSGI (PEP 3333) over an engine's exchanges: threads that take requests off a queue and block as they like.
//!
//! The engine's own thread needs no interpreter for them.

mod call;
mod environ;
mod input;

use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use fastr_engine::{App, Exchange, WebSocket};
use pyo3::prelude::*;
use pyo3::types::PyDict;

pub(crate) use call::StartResponse;
pub(crate) use input::WsgiInput;

/// A request is given to a thread when its body has come, or this much of it: a slow client holds up no thread with less.
const GATHERED_BYTES: usize = 1 << 16;

#[derive(Default)]
struct Waiting {
    exchanges: VecDeque<Arc<Exchange>>,
    running: usize,
    closed: bool,
}

/// Requests that wait for a thread.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, exchange: Arc<Exchange>) {
        let mut waiting = self.lock();
        if waiting.closed {
            drop(waiting);
            exchange.finish();
            return;
        }
        waiting.exchanges.push_back(exchange);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Waits for a request; none when the queue is closed.
    fn pop(&self) -> Option<Arc<Exchange>> {
        let mut waiting = self
            .changed
            .wait_while(self.lock(), |waiting| {
                waiting.exchanges.is_empty() && !waiting.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        let next = waiting.exchanges.pop_front();
        waiting.running += usize::from(next.is_some());
        next
    }

    fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        let left = std::mem::take(&mut waiting.exchanges);
        drop(waiting);
        self.changed.notify_all();
        for exchange in left {
            exchange.finish();
        }
    }
}

/// What an application's calls have in common.
pub(crate) struct Common {
    app: Py<PyAny>,
    /// What every environ has in common.
    template: Py<PyDict>,
    root_path: String,
    /// `complain(what, method, path, error)`: what went wrong.
    complain: Py<PyAny>,
}

/// The threads' side of a WSGI application.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct WsgiWorkers {
    queue: Arc<Queue>,
    common: Common,
}

#[pymethods]
impl WsgiWorkers {
    #[new]
    fn new(app: Py<PyAny>, template: Py<PyDict>, root_path: String, complain: Py<PyAny>) -> Self {
        Self {
            queue: Arc::default(),
            common: Common {
                app,
                template,
                root_path,
                complain,
            },
        }
    }

    /// Serves one request after the other on the calling thread, until `close`.
    fn work(&self, py: Python<'_>) {
        while let Some(exchange) = py.detach(|| self.queue.pop()) {
            // A panic of ours is a failure of one request, not of its thread.
            let served = catch_unwind(AssertUnwindSafe(|| {
                call::serve(py, &self.common, exchange.clone());
            }));
            if served.is_err() {
                exchange.finish();
            }
            self.queue.lock().running -= 1;
        }
    }

    /// Has the threads end after the requests that they are in. What waits is not served.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.queue.close());
    }

    /// Requests that wait for a thread or have one.
    #[getter]
    fn pending(&self) -> usize {
        let waiting = self.queue.lock();
        waiting.exchanges.len() + waiting.running
    }
}

impl WsgiWorkers {
    /// The engine's side.
    pub(crate) fn handle(&self) -> Arc<dyn App> {
        Arc::new(WsgiApp(self.queue.clone()))
    }
}

struct WsgiApp(Arc<Queue>);

impl App for WsgiApp {
    fn call(&self, exchange: Arc<Exchange>) {
        let gathered = Arc::new(Gathered {
            queue: self.0.clone(),
            exchange: exchange.clone(),
        });
        let waker = Waker::from(gathered);
        let mut context = Context::from_waker(&waker);
        if exchange
            .poll_gathered(GATHERED_BYTES, &mut context)
            .is_ready()
        {
            self.0.push(exchange);
        }
    }

    fn websocket(&self, socket: Arc<WebSocket>) {
        // Denied. That fails when the client is gone, who then needs no answer.
        let _ = socket.close(1000, "");
    }
}

/// Queues a request when its body is there.
struct Gathered {
    queue: Arc<Queue>,
    exchange: Arc<Exchange>,
}

impl Wake for Gathered {
    fn wake(self: Arc<Self>) {
        self.queue.push(self.exchange.clone());
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks the calling thread, without the interpreter, until it is ready.
fn wait<T: Send>(py: Python<'_>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T> + Send) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    if let Poll::Ready(value) = poll(&mut Context::from_waker(&waker)) {
        return value;
    }
    py.detach(|| loop {
        thread::park();
        if let Poll::Ready(value) = poll(&mut Context::from_waker(&waker)) {
            return value;
        }
    })
}
