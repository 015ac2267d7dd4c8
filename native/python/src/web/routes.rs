//! The table that requests are looked up in, and what the routes of one application have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use std::time::{Duration, Instant};

use fastr_engine::{
    below_root, classify, decode_path, Captures, Exchange, Fact, Finding, Pattern, Rest,
    RouteMetrics, RouteTable, StolenTime,
};
use http::Method;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::answer::PlainResponses;
use super::json::Models;
use super::layers::Layers;
use super::route::{Native, NativeRoute};

/// How long what cannot be watched (telemetry) may go unnoticed.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What is stored for a route.
#[derive(Clone)]
pub(crate) struct Target {
    /// None leaves its requests to the application.
    native: Option<Arc<Native>>,
    counters: Option<Arc<RouteMetrics>>,
}

/// How long requests took, by route.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Metrics(fastr_engine::Metrics);

#[pymethods]
impl Metrics {
    #[new]
    fn new() -> Self {
        Self(fastr_engine::Metrics::default())
    }

    fn text(&self) -> String {
        self.0.text()
    }
}

/// The routes of an application, in its order.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct NativeRoutes {
    pub(crate) table: RouteTable<Target>,
    /// Taken off the path before a lookup.
    root: String,
    metrics: Option<Py<Metrics>>,
    /// For requests that no route takes.
    unmatched: Option<Arc<RouteMetrics>>,
    /// The application has changed since.
    stale: AtomicBool,
}

#[pymethods]
impl NativeRoutes {
    #[new]
    #[pyo3(signature = (capacity, root, metrics=None))]
    fn new(capacity: usize, root: String, metrics: Option<Py<Metrics>>) -> Self {
        Self {
            table: RouteTable::with_capacity(capacity),
            root,
            unmatched: metrics.as_ref().map(|metrics| metrics.get().0.route("")),
            metrics,
            stale: AtomicBool::new(false),
        }
    }

    /// Tells that the application is no longer what these routes were compiled from.
    fn invalidate(&self) {
        self.stale.store(true, Relaxed);
    }

    /// Adds a route behind all others. `path`: none for one that may take any request; `below`: takes everything under
    /// the path. `methods`: none for all. `route`: none leaves its requests to the application. `label`: what its requests
    /// are counted under.
    #[pyo3(signature = (path, methods, route, *, label, below=false))]
    fn add(
        &self,
        path: Option<&str>,
        methods: Option<Vec<String>>,
        route: Option<&Bound<'_, NativeRoute>>,
        label: &str,
        below: bool,
    ) -> PyResult<()> {
        let pattern = match path {
            None => Pattern::anything(),
            Some(path) => {
                let read = if below {
                    Pattern::below(path)
                } else {
                    Pattern::parse(path)
                };
                read.ok_or_else(|| {
                    PyValueError::new_err(format!("path {path:?} does not start with '/'"))
                })?
            }
        };
        let methods = methods
            .map(|names| {
                names
                    .iter()
                    .map(|name| Method::from_bytes(name.as_bytes()))
                    .collect::<Result<Vec<_>, _>>()
            })
            .transpose()
            .map_err(|_| PyValueError::new_err("not a method"))?;
        let target = Target {
            native: route
                .filter(|_| pattern.rest != Rest::Unknown)
                .map(|route| route.get().0.clone()),
            counters: self.metrics.as_ref().map(|all| all.get().0.route(label)),
        };
        self.table.add(&pattern, methods, target);
        Ok(())
    }

    fn __len__(&self) -> usize {
        self.table.len()
    }
}

/// A native route that a request belongs to.
pub(crate) struct Matched {
    pub(crate) native: Arc<Native>,
    pub(crate) captures: Captures,
    /// The decoded path, where it differs from the one sent.
    decoded: Option<String>,
    /// Where the path below the root path begins in it.
    from: usize,
}

impl Matched {
    /// The path that the captures are parts of.
    pub(crate) fn path<'a>(&'a self, exchange: &'a Exchange) -> &'a str {
        let whole = match &self.decoded {
            Some(decoded) => decoded,
            None => exchange.head().uri.path(),
        };
        &whole[self.from..]
    }
}

fn layers(side: &Bound<'_, PyAny>) -> PyResult<Option<Arc<Layers>>> {
    let layers = side.getattr("layers")?;
    (!layers.is_none())
        .then(|| Layers::new(&layers).map(Arc::new))
        .transpose()
}

/// The native side of an application.
pub(crate) struct NativeApp {
    routes: Mutex<Arc<Py<NativeRoutes>>>,
    /// The Python side, which knows the stack and the list of routes that were compiled, the application and its router.
    side: Py<PyAny>,
    application: Py<PyAny>,
    router: Py<PyAny>,
    /// When `fresh` was last asked.
    asked: Mutex<Instant>,
    /// The running loop is hidden.
    hidden: AtomicBool,
    /// `fresh()`: whether the routes are still those of the application.
    pub(crate) fresh: Py<PyAny>,
    /// `keep(task)`: holds on to a task until it is done.
    pub(crate) keep: Py<PyAny>,
    /// `submit(call)`: has the pool run a call; false when its queue is full.
    pub(crate) submit: Py<PyAny>,
    /// `replay(scope, receive, send, info, result, error)`.
    pub(crate) replay: Py<PyAny>,
    /// `direct(scope, receive, send, info)`.
    pub(crate) direct: Py<PyAny>,
    /// `asyncio._set_running_loop`, and the loop.
    pub(crate) set_running_loop: Py<PyAny>,
    pub(crate) event_loop: Py<PyAny>,
    pub(crate) plain: PlainResponses,
    /// What the machine took from handlers on the loop's thread.
    pub(crate) stolen: StolenTime,
    layers: Mutex<Option<Arc<Layers>>>,
    pub(crate) counts: Counts,
}

/// How requests on native routes were served.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) compiled: AtomicU64,
    pub(crate) direct: AtomicU64,
    pub(crate) passed: AtomicU64,
    pub(crate) replayed: AtomicU64,
}

impl NativeApp {
    /// Takes the members from a Python object that has them as attributes.
    pub(crate) fn new(side: &Bound<'_, PyAny>) -> PyResult<Self> {
        let part = |name: &str| side.getattr(name).map(Bound::unbind);
        let routes: Py<NativeRoutes> = side.getattr("routes")?.extract()?;
        let exact: Vec<Py<PyType>> = side.getattr("plain_responses")?.extract()?;
        Ok(Self {
            routes: Mutex::new(Arc::new(routes)),
            application: part("app")?,
            router: part("router")?,
            side: side.clone().unbind(),
            asked: Mutex::new(Instant::now()),
            hidden: AtomicBool::new(false),
            fresh: part("fresh")?,
            keep: part("keep")?,
            submit: part("submit")?,
            replay: part("replay")?,
            direct: part("direct")?,
            set_running_loop: part("set_running_loop")?,
            event_loop: part("event_loop")?,
            counts: Counts::default(),
            stolen: StolenTime::default(),
            layers: Mutex::new(layers(side)?),
            plain: PlainResponses {
                base: side.getattr("response_base")?.extract()?,
                exact,
                models: Models {
                    base: side.getattr("model_base")?.extract()?,
                    dump: part("dump_model")?,
                },
            },
        })
    }

    /// Other routes, and the layers that are in front of them now.
    pub(crate) fn set_routes(&self, py: Python<'_>, routes: Py<NativeRoutes>) -> PyResult<()> {
        *self.layers.lock().unwrap_or_else(PoisonError::into_inner) = layers(self.side.bind(py))?;
        *self.routes.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(routes);
        Ok(())
    }

    /// The layers in front of native routes, if there are any.
    pub(crate) fn layers(&self) -> Option<Arc<Layers>> {
        self.layers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether what was compiled is still what the application would do. What is replaced as a whole is seen at once, as
    /// is a change to a list of routes; the rest is asked for now and then.
    pub(crate) fn is_fresh(&self, py: Python<'_>) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.elapsed() < ASK_AGAIN && self.looks_fresh(py).unwrap_or(false) {
            return true;
        }
        *asked = Instant::now();
        drop(asked);
        self.fresh
            .bind(py)
            .call0()
            .and_then(|fresh| fresh.is_truthy())
            .unwrap_or_else(|error| {
                error.write_unraisable(py, None);
                false
            })
    }

    fn looks_fresh(&self, py: Python<'_>) -> PyResult<bool> {
        let side = self.side.bind(py);
        let stack = self
            .application
            .bind(py)
            .getattr(intern!(py, "middleware_stack"))?;
        let routes = self.router.bind(py).getattr(intern!(py, "routes"))?;
        Ok(!self.is_stale()
            && stack.is(side.getattr(intern!(py, "stack"))?)
            && routes.is(side.getattr(intern!(py, "watched"))?))
    }

    /// Has code that runs on the loop's thread see no running loop, as in any other thread.
    pub(crate) fn hide_loop(&self, py: Python<'_>) -> PyResult<()> {
        if !self.hidden.swap(true, Relaxed) {
            self.set_running_loop.bind(py).call1((py.None(),))?;
        }
        Ok(())
    }

    /// Undoes [`NativeApp::hide_loop`]: before anything of asyncio runs, and when a batch is through.
    pub(crate) fn show_loop(&self, py: Python<'_>) -> PyResult<()> {
        if self.hidden.swap(false, Relaxed) {
            self.set_running_loop
                .bind(py)
                .call1((self.event_loop.bind(py),))?;
        }
        Ok(())
    }

    /// Whether the routes are known to be out of date.
    pub(crate) fn is_stale(&self) -> bool {
        self.routes().get().stale.load(Relaxed)
    }

    fn routes(&self) -> Arc<Py<NativeRoutes>> {
        self.routes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether dependencies are overridden.
    pub(crate) fn has_overrides(&self, py: Python<'_>) -> bool {
        self.application
            .bind(py)
            .getattr(intern!(py, "dependency_overrides"))
            .and_then(|overrides| overrides.is_truthy())
            .unwrap_or(true)
    }

    /// How many timers the event loop has.
    pub(crate) fn timers(&self, py: Python<'_>) -> Option<usize> {
        let timers = self.event_loop.bind(py).getattr(intern!(py, "_scheduled"));
        timers.and_then(|timers| timers.len()).ok()
    }

    /// Whether the event loop has nothing to run and no timers but those that it had. A handler may have given it some.
    pub(crate) fn leaves_loop_alone(&self, py: Python<'_>, timers: Option<usize>) -> bool {
        let event_loop = self.event_loop.bind(py);
        let idle = || -> PyResult<bool> {
            let waiting = event_loop.getattr(intern!(py, "_ready"))?.len()?;
            let stopping = event_loop.getattr(intern!(py, "_stopping"))?.is_truthy()?;
            Ok(waiting == 0 && !stopping)
        };
        timers.is_some() && self.timers(py) == timers && idle().unwrap_or(false)
    }

    /// Counts a request for the route that takes it now.
    pub(crate) fn count(&self, exchange: &Exchange) {
        drop(self.find(exchange));
    }

    /// The native route of a request, if it has one; the request is counted for the route that takes it. Needs no
    /// interpreter.
    pub(crate) fn find(&self, exchange: &Exchange) -> Option<Matched> {
        let routes = self.routes();
        let routes = routes.get();
        let head = exchange.head();
        let raw = head.uri.path();
        let decoded = decode_path(raw).ok()?;
        let path = below_root(&decoded, &routes.root);
        let found = routes.table.find(&head.method, path);
        let counters = match &found {
            Some(found) => &found.target.counters,
            None => &routes.unmatched,
        };
        if let Some(counters) = counters {
            exchange.count_for(counters.clone());
        }
        let found = found?;
        Some(Matched {
            native: found.target.native?,
            captures: found.captures,
            from: decoded.len() - path.len(),
            decoded: match decoded {
                std::borrow::Cow::Borrowed(_) => None,
                std::borrow::Cow::Owned(decoded) => Some(decoded),
            },
        })
    }
}

/// The lane of a route and the reasons why it has no better one, from `(fact, about)` pairs.
#[pyfunction]
pub(crate) fn classify_route(
    facts: Vec<(String, String)>,
) -> PyResult<(&'static str, Vec<String>)> {
    let findings = facts
        .into_iter()
        .map(|(name, about)| match Fact::named(&name) {
            Some(fact) => Ok(Finding { fact, about }),
            None => Err(PyValueError::new_err(format!("no fact {name:?}"))),
        })
        .collect::<PyResult<Vec<_>>>()?;
    let (lane, reasons) = classify(&findings);
    Ok((
        lane.name(),
        reasons.iter().map(ToString::to_string).collect(),
    ))
}

/// Whether the engine can tell for certain which requests a path takes.
#[pyfunction]
pub(crate) fn is_simple_path(path: &str) -> bool {
    Pattern::parse(path).is_some_and(|pattern| pattern.rest != Rest::Unknown)
}
