//! One request on a native route: its handler's call, on the loop's thread or in the pool, and its answer.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastr_engine::{Exchange, Given};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use pyo3::intern;
use pyo3::prelude::*;

use super::answer::Answer;
use super::gc;
use super::layers::{Asked, Layers};
use super::route::{Compiled, Native, Pass, Run};
use super::routes::{Matched, NativeApp};
use super::trial::{thread_cpu, Trial, Used, Watch, TRIAL_WAIT};
use crate::asgi::{AsgiApp, AsgiExchange};
use crate::eager::{copy_of_context, eager_task_in, in_a_fresh_context, in_context, only_step};

/// A body beyond this goes to the application, which can read it piece by piece.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A call on the loop's thread that uses more of the processor sends its handler back to the pool.
const SLOW: Duration = Duration::from_millis(1);

/// One request on a native route.
pub(crate) struct NativeCall {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) app: Arc<AsgiApp>,
    pub(crate) native: Arc<NativeApp>,
    matched: Matched,
    /// The layers in front, and what they look at in this request.
    layers: OnceLock<(Arc<Layers>, Asked)>,
    /// What the handler's variables are set in; what becomes of its result sees them.
    context: OnceLock<Py<PyAny>>,
}

impl Wake for NativeCall {
    fn wake(self: Arc<Self>) {
        self.app.batch.clone().native(self);
    }
}

impl NativeCall {
    /// Takes a request, if it belongs to a native route; it is then called as soon as its body is there.
    pub(crate) fn take(app: &Arc<AsgiApp>, exchange: &Arc<Exchange>) -> bool {
        let Some(native) = &app.native else {
            return false;
        };
        let Some(matched) = native.find(exchange) else {
            if native.is_stale() {
                app.batch.refresh(native.clone(), exchange.clone());
            }
            return false;
        };
        let call = Arc::new(Self {
            exchange: exchange.clone(),
            app: app.clone(),
            native: native.clone(),
            matched,
            layers: OnceLock::new(),
            context: OnceLock::new(),
        });
        let waits = call.compiled().is_some_and(Compiled::reads_body) && {
            let waker = Waker::from(call.clone());
            let polled = exchange.poll_gathered(MAX_BODY_BYTES, &mut Context::from_waker(&waker));
            polled.is_pending()
        };
        if !waits {
            app.batch.native(call);
        }
        true
    }

    fn compiled(&self) -> Option<&Compiled> {
        match &*self.matched.native {
            Native::Compiled(compiled) => Some(compiled),
            Native::Direct(_) => None,
        }
    }

    /// Serves the request: on the loop's thread, between two turns. `fresh`: the routes are still the application's.
    /// `used`: what this thread has used of the processor in this batch. Returns whether the event loop has got something
    /// to do.
    pub(crate) fn dispatch(
        self: &Arc<Self>,
        py: Python<'_>,
        fresh: bool,
        used: &mut Used,
    ) -> PyResult<bool> {
        if !fresh {
            self.native.count(&self.exchange);
            self.pass(py)?;
            return Ok(true);
        }
        let compiled = match &*self.matched.native {
            Native::Direct(info) => {
                let exchange = AsgiExchange::new(self.exchange.clone(), self.app.clone());
                let params = self.path_params(py)?;
                self.native.counts.direct.fetch_add(1, Relaxed);
                self.native.show_loop(py)?;
                exchange.start_with(py, &self.native.direct, [info.clone_ref(py), params])?;
                return Ok(true);
            }
            Native::Compiled(compiled) => compiled,
        };
        if self.exchange.is_cut_off() {
            self.exchange.finish();
            return Ok(false);
        }
        if let Some(answer) = compiled.cached().filter(|_| self.native.layers().is_none()) {
            answer.clone().send(&self.exchange);
            return Ok(false);
        }
        if compiled.is_overridable() && self.native.has_overrides(py) {
            self.pass(py)?;
            return Ok(true);
        }
        if !self.gets_through_layers(py, compiled) {
            self.pass(py)?;
            return Ok(true);
        }
        // Validators and the handler run in the request's own context, as in the one task that FastAPI would have.
        let context = copy_of_context(py)?;
        let read = if compiled.runs_validators() {
            self.native.show_loop(py)?;
            let mut read = Err(Pass);
            in_context(&context, || {
                read = self.arguments(py, compiled);
                Ok(())
            })?;
            read
        } else {
            self.arguments(py, compiled)
        };
        let Ok(values) = read else {
            self.pass(py)?;
            return Ok(true);
        };
        self.native.counts.compiled.fetch_add(1, Relaxed);
        let run = compiled.run();
        if run != Run::Async {
            let _ = self.context.set(context.clone().unbind());
        }
        match run {
            Run::Async => self.start_coroutine(py, compiled, &values, context),
            Run::OneStep => self.run_coroutine(py, compiled, &values),
            Run::AlwaysInline => self.call_inline(py, compiled, &values, None),
            Run::Inline => self.call_inline(py, compiled, &values, Some(used)),
            Run::Pool => self.call_in_pool(py, values, None),
            Run::Trial => {
                let alone = {
                    let mut trial = compiled.trial();
                    !std::mem::replace(&mut trial.under_way, true)
                };
                let watch = alone.then(|| Arc::new(Watch::default()));
                self.call_in_pool(py, values, watch)
            }
        }
    }

    /// Whether the layers in front, if there are any, would let the handler's answer through.
    fn gets_through_layers(&self, py: Python<'_>, compiled: &Compiled) -> bool {
        let Some(layers) = self.native.layers() else {
            return true;
        };
        let Some(asked) = layers.ask(self.exchange.head()) else {
            return false;
        };
        let (status, headers) = compiled.head();
        let through = layers.let_through(py, &asked, status, headers);
        let _ = self.layers.set((layers, asked));
        through
    }

    /// The answer that a handler's result makes, as it is after the layers. None where the framework's own code has to
    /// make it.
    fn answer(&self, py: Python<'_>, result: &Bound<'_, PyAny>) -> Option<Answer> {
        let compiled = self.compiled()?;
        let answer = compiled.answer(py, result, &self.native.plain)?;
        if let Some((layers, asked)) = self.layers.get() {
            return layers.through(py, self.exchange.head(), asked, answer);
        }
        compiled.cache(&answer);
        Some(answer)
    }

    fn arguments<'py>(
        &self,
        py: Python<'py>,
        compiled: &Compiled,
    ) -> Result<Vec<Bound<'py, PyAny>>, Pass> {
        let head = self.exchange.head();
        let body = if compiled.reads_body() {
            if !is_json(&head.headers) {
                return Err(Pass);
            }
            Some(self.exchange.gathered_body().ok_or(Pass)?)
        } else {
            None
        };
        let given = Given {
            path: self.matched.path(&self.exchange),
            captures: &self.matched.captures,
            query: head.uri.query().unwrap_or(""),
            headers: &head.headers,
        };
        compiled.arguments(py, &given, body)
    }

    /// Leaves the request to the application, which has not seen it yet.
    fn pass(&self, py: Python<'_>) -> PyResult<()> {
        self.native.counts.passed.fetch_add(1, Relaxed);
        self.native.show_loop(py)?;
        AsgiExchange::new(self.exchange.clone(), self.app.clone()).start(py)
    }

    /// Sends what a handler returned, or has the framework say what becomes of it.
    fn finish(
        self: &Arc<Self>,
        py: Python<'_>,
        result: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let answer = match result.as_ref() {
            Ok(value) => self.in_own_context(py, || Ok(self.answer(py, value)))?,
            Err(_) => None,
        };
        if let Some(answer) = answer {
            answer.send(&self.exchange);
            return Ok(false);
        }
        let (value, error) = outcome(py, result);
        self.replay(py, value, error)?;
        Ok(true)
    }

    /// Has the framework's own code make the response of a result or an exception.
    pub(crate) fn replay(
        &self,
        py: Python<'_>,
        value: Py<PyAny>,
        error: Py<PyAny>,
    ) -> PyResult<()> {
        let Some(compiled) = self.compiled() else {
            return Ok(());
        };
        self.native.counts.replayed.fetch_add(1, Relaxed);
        self.native.show_loop(py)?;
        let params = self.path_params(py)?;
        let exchange = AsgiExchange::new(self.exchange.clone(), self.app.clone());
        let info = compiled.info.clone_ref(py);
        self.in_own_context(py, || {
            exchange.start_with(py, &self.native.replay, [info, params, value, error])
        })
    }

    /// Runs something where the handler's context variables are seen.
    fn in_own_context<T>(&self, py: Python<'_>, run: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
        match self.context.get() {
            Some(context) => in_context(context.bind(py), run),
            None => run(),
        }
    }

    /// The texts of the path's parameters, from left to right.
    fn path_params(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let path = self.matched.path(&self.exchange);
        let texts: Vec<_> = (0..)
            .map_while(|index| self.matched.captures.get(path, index))
            .collect();
        Ok(texts.into_pyobject(py)?.into_any().unbind())
    }

    fn start_coroutine(
        self: &Arc<Self>,
        py: Python<'_>,
        compiled: &Compiled,
        values: &[Bound<'_, PyAny>],
        context: Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        self.native.show_loop(py)?;
        let coroutine = match compiled.call(py, values) {
            Ok(coroutine) => coroutine,
            Err(error) => {
                let _ = self.context.set(context.unbind());
                return self.finish(py, Err(error));
            }
        };
        let (task, own) = eager_task_in(self.native.event_loop.bind(py), &coroutine, context)?;
        // On Python 3.10 it is a copy of the request's.
        let _ = self.context.set(own.unbind());
        if task.call_method0(intern!(py, "done"))?.is_truthy()? {
            return self.finish_task(&task);
        }
        self.native.keep.bind(py).call1((&task,))?;
        let done = Bound::new(py, CallDone(self.clone()))?;
        task.call_method1(intern!(py, "add_done_callback"), (done,))?;
        Ok(true)
    }

    /// Runs a coroutine that has one step.
    fn run_coroutine(
        self: &Arc<Self>,
        py: Python<'_>,
        compiled: &Compiled,
        values: &[Bound<'_, PyAny>],
    ) -> PyResult<bool> {
        self.native.show_loop(py)?;
        let result = self.in_own_context(py, || {
            Ok(compiled
                .call(py, values)
                .and_then(|coroutine| only_step(&coroutine)))
        })?;
        self.finish(py, result)
    }

    fn finish_task(self: &Arc<Self>, task: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = task.py();
        if task.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            self.exchange.finish();
            return Ok(false);
        }
        self.finish(py, task.call_method0(intern!(py, "result")))
    }

    /// Calls a handler that blocks on the loop's own thread, where it sees no running loop, as in any thread. `used`: see
    /// `dispatch`; a handler that is found to be slow goes to the pool the next time.
    fn call_inline(
        self: &Arc<Self>,
        py: Python<'_>,
        compiled: &Compiled,
        values: &[Bound<'_, PyAny>],
        used: Option<&mut Used>,
    ) -> PyResult<bool> {
        self.native.hide_loop(py)?;
        let collected = gc::spent_ns();
        let watched = used.map(|used| {
            let began = Instant::now();
            self.native.stolen.look(began);
            (began, used.at(began))
        });
        let result =
            self.in_own_context(py, || in_a_fresh_context(py, || compiled.call(py, values)));
        // The exact clock is asked only about what took long; a core that was taken away meanwhile is nobody's fault.
        if let Some((_, before)) = watched.filter(|(began, _)| began.elapsed() > SLOW) {
            let collecting = Duration::from_nanos(gc::spent_ns() - collected);
            let used = thread_cpu().saturating_sub(before + collecting);
            if used > SLOW {
                self.send_back(compiled, used);
            }
        }
        self.finish(py, result)
    }

    /// Sends a handler that was slow back to the pool: for good, or to a new trial where the time may have been stolen.
    fn send_back(&self, compiled: &Compiled, used: Duration) {
        if self.native.stolen.may_explain(used) {
            *compiled.trial() = Trial::default();
            compiled.set_run(Run::Trial);
        } else {
            compiled.set_run(Run::Pool);
        }
    }

    fn call_in_pool(
        self: &Arc<Self>,
        py: Python<'_>,
        values: Vec<Bound<'_, PyAny>>,
        watch: Option<Arc<Watch>>,
    ) -> PyResult<bool> {
        let context = self.in_own_context(py, || copy_of_context(py))?;
        let call = PoolCall {
            call: self.clone(),
            values: values.into_iter().map(Bound::unbind).collect(),
            context: context.unbind(),
            watch: watch.clone(),
        };
        if !self.native.submit.bind(py).call1((call,))?.is_truthy()? {
            too_busy().send(&self.exchange);
            return Ok(false);
        }
        if let Some(watch) = watch {
            py.detach(|| watch.wait(TRIAL_WAIT));
        }
        Ok(false)
    }
}

/// What a handler returned and what it raised: one of them is None.
fn outcome(py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) -> (Py<PyAny>, Py<PyAny>) {
    match result {
        Ok(value) => (value.unbind(), py.None()),
        Err(error) => (py.None(), error.into_value(py).into_any()),
    }
}

/// The pool's queue is full.
fn too_busy() -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    Answer {
        status: StatusCode::SERVICE_UNAVAILABLE,
        headers,
        body: Bytes::from_static(b"Service Unavailable"),
    }
}

/// Whether the body is JSON beyond doubt.
fn is_json(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(CONTENT_TYPE).iter();
    let Some(field) = fields.next() else {
        return false;
    };
    let field = field.as_bytes();
    fields.next().is_none()
        && (field.eq_ignore_ascii_case(b"application/json")
            || field.eq_ignore_ascii_case(b"application/json; charset=utf-8")
            || field.eq_ignore_ascii_case(b"application/json;charset=utf-8"))
}

/// A handler's call for a thread of the pool.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct PoolCall {
    call: Arc<NativeCall>,
    values: Vec<Py<PyAny>>,
    context: Py<PyAny>,
    watch: Option<Arc<Watch>>,
}

#[pymethods]
impl PoolCall {
    /// Runs the handler and answers. What it raises is the client's business, never the thread's.
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let Some(compiled) = self.call.compiled() else {
            return Ok(());
        };
        let values: Vec<_> = self
            .values
            .iter()
            .map(|value| value.bind(py).clone())
            .collect();
        let used = thread_cpu();
        let result = in_context(self.context.bind(py), || compiled.call(py, &values));
        if let Some(watch) = &self.watch {
            let decided = compiled.trial().note(thread_cpu().saturating_sub(used));
            if let Some(run) = decided {
                compiled.set_run(run);
            }
            watch.set();
        }
        if let Ok(value) = &result {
            let call = &self.call;
            if let Some(answer) = call.in_own_context(py, || Ok(call.answer(py, value)))? {
                answer.send(&self.call.exchange);
                return Ok(());
            }
        }
        let (value, error) = outcome(py, result);
        self.call.app.batch.settle(self.call.clone(), value, error);
        Ok(())
    }

    /// The call will not run: the server stops.
    fn drop(&self) {
        if let Some(watch) = &self.watch {
            watch.set();
        }
        self.call.exchange.finish();
    }
}

/// The callback of a task that did not end at once.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct CallDone(Arc<NativeCall>);

#[pymethods]
impl CallDone {
    fn __call__(&self, task: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.finish_task(task).map(|_| ())
    }
}
