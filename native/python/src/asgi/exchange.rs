//! What connects an engine's exchange with the asyncio side: the batch of a turn, and the futures that wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use fastr_engine::{App, Exchange, TurnEnd, WebSocket};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::scope::build_scope;
use super::websocket::start_websocket;
use super::{Receive, Send};

/// What happened during a turn and concerns Python.
enum Happened {
    Request(Arc<AsgiExchange>),
    Wake(Arc<AsgiExchange>),
}

/// Collects what happens while the interpreter is detached, so that it is attached once for all of it.
pub(crate) struct Batch {
    happened: Mutex<Vec<Happened>>,
    turn: TurnEnd,
}

impl Batch {
    pub(crate) fn new(turn: TurnEnd) -> Arc<Self> {
        Arc::new(Self {
            happened: Mutex::default(),
            turn,
        })
    }

    fn push(&self, one: Happened) {
        self.happened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(one);
        self.turn.request();
    }

    /// Hands everything to Python. An error in one request does not keep the others from being served.
    pub(crate) fn dispatch(&self, py: Python<'_>) {
        let happened =
            std::mem::take(&mut *self.happened.lock().unwrap_or_else(PoisonError::into_inner));
        for one in happened {
            let result = match &one {
                Happened::Request(exchange) => exchange.start(py),
                Happened::Wake(exchange) => exchange.resume(py),
            };
            if let Err(error) = result {
                error.write_unraisable(py, None);
                if let Happened::Request(exchange) = &one {
                    exchange.exchange.finish();
                }
            }
        }
    }
}

/// The application's Python side, as the engine sees it.
pub(crate) struct AsgiApp {
    /// `start(scope, receive, send)`: makes a task of the request.
    pub(crate) start: Py<PyAny>,
    /// The event loop's `create_future`.
    pub(crate) create_future: Py<PyAny>,
    /// What every scope has in common.
    pub(crate) template: Py<PyDict>,
    /// What every scope of a websocket has in common; none: websockets are denied.
    pub(crate) websocket_template: Option<Py<PyDict>>,
    /// The lifespan's state, copied shallowly for every request; none without lifespan.
    pub(crate) state: Option<Py<PyDict>>,
    /// Put before every path, for an application behind a proxy that strips it.
    pub(crate) root_path: String,
    pub(crate) batch: Arc<Batch>,
}

/// The handle that the engine calls; a request is only noted until the turn ends.
pub(crate) struct AsgiAppHandle(pub(crate) Arc<AsgiApp>);

impl App for AsgiAppHandle {
    fn call(&self, exchange: Arc<Exchange>) {
        let batch = &self.0.batch;
        let exchange = Arc::new(AsgiExchange {
            exchange,
            socket: None,
            app: self.0.clone(),
            waiting: Mutex::default(),
        });
        batch.push(Happened::Request(exchange));
    }

    fn websocket(&self, socket: Arc<WebSocket>) {
        if self.0.websocket_template.is_none() {
            // Denying fails when the client is gone, who then needs no answer.
            let _ = socket.close(1000, "");
            return;
        }
        let exchange = Arc::new(AsgiExchange {
            exchange: socket.exchange().clone(),
            socket: Some(socket),
            app: self.0.clone(),
            waiting: Mutex::default(),
        });
        self.0.batch.push(Happened::Request(exchange));
    }
}

impl AsgiApp {
    pub(crate) fn handle(self: Arc<Self>) -> Arc<dyn App> {
        Arc::new(AsgiAppHandle(self))
    }
}

/// One exchange with the asyncio futures that wait for it.
pub(crate) struct AsgiExchange {
    /// The request, or the handshake of a websocket.
    pub(crate) exchange: Arc<Exchange>,
    /// The websocket that this is, if it is one.
    pub(super) socket: Option<Arc<WebSocket>>,
    pub(crate) app: Arc<AsgiApp>,
    waiting: Mutex<Vec<(Until, Py<PyAny>)>>,
}

/// What a future waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The next ASGI message of the request.
    Message,
    /// Room for more response bytes.
    Room,
}

/// From this many futures on, done ones are taken off the list.
const WAITING_TO_SORT_OUT: usize = 4;

fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    future
        .call_method0(intern!(future.py(), "done"))?
        .is_truthy()
}

impl Wake for AsgiExchange {
    fn wake(self: Arc<Self>) {
        let batch = self.app.batch.clone();
        batch.push(Happened::Wake(self));
    }
}

impl AsgiExchange {
    fn start(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        if let Some(socket) = &self.socket {
            return start_websocket(py, self, socket);
        }
        let scope = build_scope(py, &self.app, self.exchange.head())?;
        let receive = Receive(self.clone());
        let send = Send(self.clone());
        self.app.start.bind(py).call1((scope, receive, send))?;
        Ok(())
    }

    fn poll_readable(self: &Arc<Self>) -> Poll<()> {
        self.poll(|cx| match &self.socket {
            Some(socket) => socket.poll_readable(cx),
            None => self.exchange.poll_readable(cx),
        })
    }

    /// Polls with this exchange's waker.
    pub(crate) fn poll<T>(
        self: &Arc<Self>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        poll(&mut Context::from_waker(&Waker::from(self.clone())))
    }

    /// A future of the event loop that is resolved when there may be what it waits for.
    pub(crate) fn wait(&self, py: Python<'_>, until: Until) -> PyResult<Py<PyAny>> {
        let future = self.app.create_future.call0(py)?;
        let mut waiting = self.take_waiting();
        if waiting.len() >= WAITING_TO_SORT_OUT {
            // An application that polls for a disconnect cancels one future each time.
            waiting.retain(|(_, one)| !is_done(one.bind(py)).unwrap_or(true));
        }
        waiting.push((until, future.clone_ref(py)));
        // Cancelling and sorting out may run Python code, which the lock must not be held over.
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut waiting);
        Ok(future)
    }

    fn take_waiting(&self) -> Vec<(Until, Py<PyAny>)> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn resume(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        // Room alone says nothing to those who wait for a message: they go on waiting, with the waker armed again.
        let waiting = self.take_waiting();
        let readable = waiting.iter().any(|(until, _)| *until == Until::Message)
            && self.poll_readable().is_ready();
        for (until, future) in waiting {
            if until == Until::Message && !readable {
                self.waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((until, future));
            } else if !is_done(future.bind(py))? {
                // A cancelled task has cancelled its future.
                future.call_method1(py, intern!(py, "set_result"), (py.None(),))?;
            }
        }
        Ok(())
    }
}
