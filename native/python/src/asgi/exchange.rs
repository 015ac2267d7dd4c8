//! What connects an engine's exchange with the asyncio side: the batch of a turn, and the futures that wait.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use fastr_engine::{App, Exchange, TurnEnd, WebSocket};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::scope::build_scope;
use super::websocket::start_websocket;
use super::{Receive, Send};
use crate::web::{NativeApp, NativeCall, Used};

/// What happened during a turn and concerns Python.
enum Happened {
    Request(Arc<AsgiExchange>),
    Wake(Arc<AsgiExchange>),
    /// A request on a native route, with its body if it reads one.
    Native(Arc<NativeCall>),
    /// The application has changed: its native routes are to be compiled again, and a request counted for one of them.
    Refresh(Arc<NativeApp>, Arc<Exchange>),
    /// What a handler in the pool returned or raised, for the framework's own code.
    Settled(Arc<NativeCall>, Py<PyAny>, Py<PyAny>),
}

/// What a batch was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dispatched {
    /// Nothing that the event loop has to go on with.
    Done,
    /// Tasks were started or futures resolved.
    ForTheLoop,
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

    pub(crate) fn native(&self, call: Arc<NativeCall>) {
        self.push(Happened::Native(call));
    }

    pub(crate) fn refresh(&self, native: Arc<NativeApp>, exchange: Arc<Exchange>) {
        self.push(Happened::Refresh(native, exchange));
    }

    pub(crate) fn settle(&self, call: Arc<NativeCall>, value: Py<PyAny>, error: Py<PyAny>) {
        self.push(Happened::Settled(call, value, error));
    }

    /// Hands everything to Python. An error in one request does not keep the others from being served; only what is
    /// meant to end the process is raised, after all of them.
    pub(crate) fn dispatch(&self, py: Python<'_>) -> PyResult<Dispatched> {
        let happened =
            std::mem::take(&mut *self.happened.lock().unwrap_or_else(PoisonError::into_inner));
        let mut dispatched = Dispatched::Done;
        // Asked once a batch: within one nothing else runs than what the batch itself calls.
        let mut fresh = None;
        let mut used = Used::default();
        let mut last_word = None;
        let mut native: Option<Arc<NativeApp>> = None;
        for one in happened {
            if let (Some(native), Happened::Request(_) | Happened::Wake(_)) = (&native, &one) {
                native.show_loop(py)?;
            }
            let (result, exchange) = match one {
                Happened::Request(exchange) => {
                    dispatched = Dispatched::ForTheLoop;
                    (exchange.start(py), Some(exchange.exchange.clone()))
                }
                Happened::Wake(exchange) => {
                    dispatched = Dispatched::ForTheLoop;
                    (exchange.resume(py), None)
                }
                Happened::Native(call) => {
                    native.get_or_insert_with(|| call.native.clone());
                    let fresh = *fresh.get_or_insert_with(|| call.native.is_fresh(py));
                    // A panic of ours is a failure of one request, not of the server.
                    let served =
                        catch_unwind(AssertUnwindSafe(|| call.dispatch(py, fresh, &mut used)));
                    let served = served.unwrap_or_else(|_| {
                        Err(PyRuntimeError::new_err("a panic in a native route"))
                    });
                    let result = served.map(|for_the_loop| {
                        if for_the_loop {
                            dispatched = Dispatched::ForTheLoop;
                        }
                    });
                    (result, Some(call.exchange.clone()))
                }
                Happened::Refresh(native, exchange) => {
                    fresh.get_or_insert_with(|| native.is_fresh(py));
                    native.count(&exchange);
                    (Ok(()), None)
                }
                Happened::Settled(call, value, error) => {
                    dispatched = Dispatched::ForTheLoop;
                    (call.replay(py, value, error), Some(call.exchange.clone()))
                }
            };
            let Err(error) = result else {
                continue;
            };
            if let Some(exchange) = exchange {
                exchange.finish();
            }
            if error.is_instance_of::<PySystemExit>(py)
                || error.is_instance_of::<PyKeyboardInterrupt>(py)
            {
                last_word = Some(error);
            } else {
                error.write_unraisable(py, None);
            }
        }
        if let Some(native) = native {
            native.show_loop(py)?;
        }
        last_word.map_or(Ok(dispatched), Err)
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
    /// The routes that need not go through all of the application.
    pub(crate) native: Option<Arc<NativeApp>>,
}

/// The handle that the engine calls; a request is only noted until the turn ends.
pub(crate) struct AsgiAppHandle(pub(crate) Arc<AsgiApp>);

impl App for AsgiAppHandle {
    fn call(&self, exchange: Arc<Exchange>) {
        if NativeCall::take(&self.0, &exchange) {
            return;
        }
        let exchange = AsgiExchange::new(exchange, self.0.clone());
        self.0.batch.push(Happened::Request(exchange));
    }

    fn websocket(&self, socket: Arc<WebSocket>) {
        if self.0.websocket_template.is_none() {
            // Denying fails when the client is gone, who then needs no answer.
            let _ = socket.close(1000, "");
            return;
        }
        let exchange = socket.exchange().clone();
        let exchange = AsgiExchange::with(exchange, Some(socket), self.0.clone());
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
    /// How often `receive` and `send` were called.
    calls: AtomicU32,
    /// The application has tried to begin a response, with success or not.
    pub(crate) begun: AtomicBool,
}

/// What a future waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The next ASGI message of the request.
    Message,
    /// Room for more response bytes.
    Room,
}

/// So often an application that need not wait for its `receive` and `send` lets others have a turn. Without, one that
/// goes on forever after its client has left would be the last that the server does.
const CALLS_IN_A_TURN: u32 = 256;

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
    pub(crate) fn new(exchange: Arc<Exchange>, app: Arc<AsgiApp>) -> Arc<Self> {
        Self::with(exchange, None, app)
    }

    fn with(
        exchange: Arc<Exchange>,
        socket: Option<Arc<WebSocket>>,
        app: Arc<AsgiApp>,
    ) -> Arc<Self> {
        Arc::new(Self {
            exchange,
            socket,
            app,
            waiting: Mutex::default(),
            calls: AtomicU32::new(0),
            begun: AtomicBool::new(false),
        })
    }

    /// Has the application serve the request.
    pub(crate) fn start(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        if let Some(socket) = &self.socket {
            return start_websocket(py, self, socket);
        }
        self.start_with(py, &self.app.start, [])
    }

    /// Calls `start(scope, receive, send, *further)`.
    pub(crate) fn start_with<const N: usize>(
        self: &Arc<Self>,
        py: Python<'_>,
        start: &Py<PyAny>,
        further: [Py<PyAny>; N],
    ) -> PyResult<()> {
        let scope = build_scope(py, &self.app, self.exchange.head())?.into_any();
        let receive = Bound::new(py, Receive(self.clone()))?.into_any();
        let send = Bound::new(py, Send(self.clone()))?.into_any();
        let further = further.into_iter().map(|one| one.into_bound(py));
        let arguments: Vec<_> = [scope, receive, send].into_iter().chain(further).collect();
        start.bind(py).call1(PyTuple::new(py, arguments)?)?;
        Ok(())
    }

    /// Counts a call of `receive` or `send`. Returns whether it has to wait for the event loop's next turn.
    pub(super) fn ends_turn(&self) -> bool {
        self.calls.fetch_add(1, Relaxed) % CALLS_IN_A_TURN == CALLS_IN_A_TURN - 1
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
