//! `_native.Engine`: an engine driven by an asyncio loop through its selector.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastr_engine::{
    ConstantRoute, EngineError, Limits, Listener, Reactor, Router, Server, TrustedProxies, Turn,
    TurnEnd,
};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::asgi::{AsgiApp, Batch, Dispatched};
use crate::logs;
use crate::web::{NativeApp, NativeRoutes};
use crate::wsgi::WsgiWorkers;

/// One server on one asyncio loop.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Engine {
    reactor: Mutex<Option<Reactor>>,
    router: Arc<Router>,
    limits: Limits,
    listener: Mutex<Option<Listener>>,
    server: Mutex<Option<Server>>,
    batch: Arc<Batch>,
    turn: TurnEnd,
    native: Mutex<Option<Arc<NativeApp>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn engine_error(error: EngineError) -> PyErr {
    match (&error, error.raw_os_error()) {
        // Two arguments make Python choose the subclass (PermissionError...) and fill errno.
        (_, Some(number)) => PyOSError::new_err((number, error.to_string())),
        (EngineError::Route(_), None) => PyValueError::new_err(error.to_string()),
        _ => PyOSError::new_err(error.to_string()),
    }
}

fn seconds(value: f64, what: &str) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|_| {
        PyValueError::new_err(format!("{what} must be a number of seconds, not {value}"))
    })
}

/// Reads limits from keyword arguments; those that are not given keep their default.
fn limits(trusted: &[String], given: Option<&Bound<'_, PyDict>>) -> PyResult<Limits> {
    let trusted = TrustedProxies::parse(trusted.iter().map(String::as_str));
    let mut limits = Limits {
        trusted_proxies: trusted.map_err(|name| {
            PyValueError::new_err(format!("{name:?} is no proxy's address, network or \"*\""))
        })?,
        ..Limits::default()
    };
    let Some(given) = given else {
        return Ok(limits);
    };
    for (key, value) in given {
        let key: String = key.extract()?;
        match key.as_str() {
            "max_connections" => limits.max_connections = value.extract::<usize>()?.max(1),
            "header_timeout" => limits.header_timeout = seconds(value.extract()?, &key)?,
            "body_timeout" => limits.body_timeout = seconds(value.extract()?, &key)?,
            "idle_timeout" => limits.idle_timeout = seconds(value.extract()?, &key)?,
            "write_timeout" => limits.write_timeout = seconds(value.extract()?, &key)?,
            "max_body_bytes" => limits.max_body_bytes = value.extract()?,
            "max_head_bytes" => limits.max_head_bytes = value.extract()?,
            "max_headers" => limits.max_headers = value.extract()?,
            "write_buffer_bytes" => limits.write_buffer_bytes = value.extract()?,
            "max_message_bytes" => limits.max_message_bytes = value.extract()?,
            "ping_interval" => limits.ping_interval = seconds(value.extract()?, &key)?,
            "ping_timeout" => limits.ping_timeout = seconds(value.extract()?, &key)?,
            "close_timeout" => limits.close_timeout = seconds(value.extract()?, &key)?,
            _ => return Err(PyValueError::new_err(format!("unknown limit {key:?}"))),
        }
    }
    Ok(limits)
}

impl Engine {
    fn one_turn(&self, py: Python<'_>, timeout: Option<Duration>, drained: bool) -> PyResult<Turn> {
        let turn = py.detach(|| {
            let mut reactor = self.reactor.try_lock().map_err(|_| ())?;
            Ok(reactor
                .as_mut()
                .map(|reactor| reactor.turn(timeout, drained)))
        });
        turn.map_err(|()| {
            PyRuntimeError::new_err("the engine is in a turn already; one loop drives one engine")
        })?
        .ok_or_else(closed)
    }

    fn with_server<T>(&self, what: impl FnOnce(&Server) -> T) -> Option<T> {
        lock(&self.server).as_ref().map(what)
    }
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, trusted_proxies=vec![], **limits_given))]
    fn new(
        trusted_proxies: Vec<String>,
        limits_given: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let limits = limits(&trusted_proxies, limits_given)?;
        let reactor = Reactor::new().map_err(engine_error)?;
        let turn = reactor.end();
        Ok(Self {
            reactor: Mutex::new(Some(reactor)),
            router: Arc::new(Router::new()),
            limits,
            listener: Mutex::new(None),
            server: Mutex::new(None),
            batch: Batch::new(turn.clone()),
            turn,
            native: Mutex::new(None),
        })
    }

    fn bind(&self, host: &str, port: u16) -> PyResult<(String, u16)> {
        let listener = Listener::bind(host, port).map_err(engine_error)?;
        let bound = listener.address().tcp();
        *lock(&self.listener) = Some(listener);
        Ok(bound.map_or((host.to_owned(), port), |address| {
            (address.ip().to_string(), address.port())
        }))
    }

    fn bind_unix(&self, path: PathBuf) -> PyResult<()> {
        *lock(&self.listener) = Some(Listener::bind_unix(&path).map_err(engine_error)?);
        Ok(())
    }

    #[pyo3(signature = (
        prefix, start, create_future, template, state=None, root_path=String::new(), websocket_template=None,
        native=None
    ))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of Python, each declared once in the stub
    fn mount_asgi(
        &self,
        prefix: &str,
        start: Py<PyAny>,
        create_future: Py<PyAny>,
        template: Py<PyDict>,
        state: Option<Py<PyDict>>,
        root_path: String,
        websocket_template: Option<Py<PyDict>>,
        native: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let native = native.map(NativeApp::new).transpose()?.map(Arc::new);
        *lock(&self.native) = native.clone();
        let app = AsgiApp {
            start,
            create_future,
            template,
            websocket_template,
            state,
            root_path,
            batch: self.batch.clone(),
            native,
        };
        self.router
            .mount(prefix, Arc::new(app).handle())
            .map_err(engine_error)
    }

    /// Serves a WSGI application under a prefix, by the threads that work for it.
    fn mount_wsgi(&self, prefix: &str, workers: &Bound<'_, WsgiWorkers>) -> PyResult<()> {
        self.router
            .mount(prefix, workers.get().handle())
            .map_err(engine_error)
    }

    #[pyo3(signature = (method, path, body, status=200, headers=Vec::new()))]
    fn add_constant(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
        status: u16,
        headers: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> PyResult<()> {
        let route = ConstantRoute::new(status, &headers, body).map_err(engine_error)?;
        self.router
            .add_constant(method, path, route)
            .map_err(engine_error)
    }

    /// Serves from the next turn on: what the bound socket takes, if there is one, and what is adopted.
    fn listen(&self) -> PyResult<()> {
        let reactor = lock(&self.reactor);
        let reactor = reactor.as_ref().ok_or_else(closed)?;
        let listener = lock(&self.listener).take();
        let server = Server::start(reactor, listener, self.router.clone(), self.limits.clone())
            .map_err(engine_error)?;
        *lock(&self.server) = Some(server);
        Ok(())
    }

    /// Serves a connection that another process has accepted; the descriptor is the engine's from here on.
    fn adopt(&self, fd: i32) -> PyResult<()> {
        if fd < 0 {
            return Err(PyValueError::new_err("not a file descriptor"));
        }
        // SAFETY: the caller gives the descriptor away.
        let descriptor = unsafe { OwnedFd::from_raw_fd(fd) };
        self.with_server(|server| server.adopt(descriptor))
            .ok_or_else(closed)?
            .map_err(engine_error)
    }

    fn watch(&self, fd: i32) -> PyResult<()> {
        if fd < 0 {
            return Err(PyValueError::new_err("not a file descriptor"));
        }
        // SAFETY: the caller keeps its selector open during this call, which duplicates the descriptor.
        let own = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()?;
        lock(&self.reactor)
            .as_mut()
            .ok_or_else(closed)?
            .watch(own)
            .map_err(engine_error)
    }

    /// How many requests on native routes were compiled, direct, passed to the application, and replayed by it.
    fn native_counts(&self) -> Option<(u64, u64, u64, u64)> {
        let native = lock(&self.native).clone()?;
        let counts = &native.counts;
        let read = |count: &AtomicU64| count.load(Relaxed);
        Some((
            read(&counts.compiled),
            read(&counts.direct),
            read(&counts.passed),
            read(&counts.replayed),
        ))
    }

    /// Routes that have taken the place of those of `mount_asgi`'s `native`.
    fn set_native_routes(&self, py: Python<'_>, routes: Py<NativeRoutes>) -> PyResult<()> {
        let native = lock(&self.native).clone();
        native.map_or(Ok(()), |native| native.set_routes(py, routes))
    }

    fn turn(&self, py: Python<'_>, timeout: Option<f64>, drained: bool) -> PyResult<bool> {
        let timeout = match timeout {
            Some(limit) => Some(seconds(limit.max(0.0), "timeout")?),
            None => None,
        };
        let native = lock(&self.native).clone();
        let timers = native.as_ref().and_then(|native| native.timers(py));
        let began = Instant::now();
        let mut left = timeout;
        let mut drained = drained;
        loop {
            let turn = self.one_turn(py, left, drained)?;
            let dispatched = self.batch.dispatch(py)?;
            logs::forward(py);
            // Native routes leave nothing for asyncio to do: no need to go through its loop for them.
            let go_on = dispatched == Dispatched::Done
                && !turn.foreign_ready
                && native
                    .as_ref()
                    .is_some_and(|native| native.leaves_loop_alone(py, timers));
            left = timeout.map(|limit| limit.saturating_sub(began.elapsed()));
            if !go_on || left.is_some_and(|left| left.is_zero()) {
                return Ok(turn.foreign_ready);
            }
            drained = false;
        }
    }

    fn wake(&self) {
        self.turn.request();
    }

    fn drain(&self) {
        lock(&self.listener).take();
        self.with_server(Server::drain);
    }

    fn abort(&self) {
        self.with_server(Server::abort);
    }

    fn open_connections(&self) -> usize {
        self.with_server(Server::open_connections).unwrap_or(0)
    }

    fn close(&self, py: Python<'_>) {
        self.drain();
        let server = lock(&self.server).take();
        let reactor = lock(&self.reactor).take();
        // Connections are dropped here; they hold no Python objects that need the interpreter at once.
        py.detach(|| {
            drop(server);
            drop(reactor);
        });
    }
}

fn closed() -> PyErr {
    PyRuntimeError::new_err("the engine is closed")
}
