//! The engine's events on their way to Python's logging.
//!
//! They happen while the interpreter is detached. They are kept here, and handed over by whoever is attached next.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use fastr_engine::ACCESS_TARGET;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Events that may wait. When Python does not get to them, the oldest make room.
const MOST_WAITING: usize = 10_000;

enum Value {
    Text(String),
    Whole(i64),
    Real(f64),
    Flag(bool),
}

/// An event, as Python's logging wants it.
struct Entry {
    level: Level,
    target: &'static str,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

#[derive(Default)]
struct Logs {
    waiting: Mutex<VecDeque<Entry>>,
    /// There are some.
    pending: AtomicBool,
    lost: Mutex<u64>,
    /// `emit(level, logger, message, fields)`.
    emit: Mutex<Option<Py<PyAny>>>,
    /// The least levels, as Python's logging numbers them.
    engine: AtomicU32,
    access: AtomicU32,
}

static LOGS: OnceLock<Logs> = OnceLock::new();

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A level as Python's logging numbers it.
fn number(level: Level) -> u32 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        _ => 10,
    }
}

/// The most verbose level that a level of Python's logging lets through.
fn filter(least: u32) -> LevelFilter {
    [Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR]
        .into_iter()
        .find(|level| number(*level) >= least)
        .map_or(LevelFilter::OFF, LevelFilter::from_level)
}

/// Has events of at least these levels of Python's logging given to `emit(level, logger, message, fields)`, those of the
/// engine and those about requests that were answered. One for the process: the last call counts.
#[pyfunction]
pub(crate) fn forward_logs(emit: Py<PyAny>, engine_level: u32, access_level: u32) {
    let logs = LOGS.get_or_init(Logs::default);
    *lock(&logs.emit) = Some(emit);
    logs.engine.store(engine_level, Relaxed);
    logs.access.store(access_level, Relaxed);
    // Fails when it is set already, which is as well.
    let _ = tracing::subscriber::set_global_default(Kept);
    tracing::callsite::rebuild_interest_cache();
}

/// Hands over what is waiting. An error of the logging's is its own, as everywhere in Python's logging.
pub(crate) fn forward(py: Python<'_>) {
    let Some(logs) = LOGS.get() else {
        return;
    };
    if !logs.pending.swap(false, Relaxed) {
        return;
    }
    let waiting = std::mem::take(&mut *lock(&logs.waiting));
    let lost = std::mem::take(&mut *lock(&logs.lost));
    let Some(emit) = lock(&logs.emit).as_ref().map(|emit| emit.clone_ref(py)) else {
        return;
    };
    let tell = |entry: &Entry| -> PyResult<()> {
        let fields = PyDict::new(py);
        for (name, value) in &entry.fields {
            match value {
                Value::Text(text) => fields.set_item(name, text)?,
                Value::Whole(number) => fields.set_item(name, number)?,
                Value::Real(number) => fields.set_item(name, number)?,
                Value::Flag(flag) => fields.set_item(name, flag)?,
            }
        }
        let message = entry.message.as_str();
        emit.bind(py)
            .call1((number(entry.level), entry.target, message, fields))?;
        Ok(())
    };
    for entry in &waiting {
        if let Err(error) = tell(entry) {
            error.write_unraisable(py, None);
        }
    }
    if lost > 0 {
        let entry = Entry {
            level: Level::WARN,
            target: fastr_engine::ENGINE_TARGET,
            message: "events were lost: more of them than Python could log".to_owned(),
            fields: vec![(
                "lost",
                Value::Whole(i64::try_from(lost).unwrap_or(i64::MAX)),
            )],
        };
        if let Err(error) = tell(&entry) {
            error.write_unraisable(py, None);
        }
    }
}

/// Keeps events. Spans, of which the engine has none, are nothing to it.
struct Kept;

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let Some(logs) = LOGS.get() else {
            return false;
        };
        let level = if metadata.target() == ACCESS_TARGET {
            &logs.access
        } else {
            &logs.engine
        };
        number(*metadata.level()) >= level.load(Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        LOGS.get()
            .map(|logs| filter(logs.engine.load(Relaxed).min(logs.access.load(Relaxed))))
    }

    fn event(&self, event: &Event<'_>) {
        let Some(logs) = LOGS.get() else {
            return;
        };
        let mut entry = Entry {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut entry);
        let mut waiting = lock(&logs.waiting);
        if waiting.len() == MOST_WAITING {
            waiting.pop_front();
            *lock(&logs.lost) += 1;
        }
        waiting.push_back(entry);
        drop(waiting);
        logs.pending.store(true, Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields
                .push((field.name(), Value::Text(format!("{value:?}"))));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields
            .push((field.name(), Value::Text(value.to_owned())));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.fields.push((field.name(), Value::Whole(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), Value::Whole(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.push((field.name(), Value::Real(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), Value::Flag(value)));
    }
}
