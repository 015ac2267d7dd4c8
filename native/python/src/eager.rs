//! Tasks that take their first step at once: most coroutines that serve a request need no second one.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyTuple};

use crate::web::call_with_names;

fn task_class(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CLASS
        .get_or_try_init(py, || Ok(py.import("asyncio")?.getattr("Task")?.unbind()))
        .map(|class| class.bind(py))
}

fn names<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyTuple>>,
    names: &[&str],
) -> PyResult<&'py Bound<'py, PyTuple>> {
    cell.get_or_try_init(py, || PyTuple::new(py, names).map(Bound::unbind))
        .map(|names| names.bind(py))
}

/// A task in this context that has run to its first suspension, and the context that it really has. See [`eager_task`].
pub(crate) fn eager_task_in<'py>(
    event_loop: &Bound<'py, PyAny>,
    coroutine: &Bound<'py, PyAny>,
    context: Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let py = event_loop.py();
    let by_factory = !event_loop
        .call_method0(intern!(py, "get_task_factory"))?
        .is_none();
    if by_factory {
        let task = in_context(&context, || {
            event_loop.call_method1(intern!(py, "create_task"), (coroutine,))
        })?;
        return Ok((task, context));
    }
    if py.version_info() >= (3, 12) {
        static NAMES: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
        let yes = PyBool::new(py, true).to_owned().into_any();
        let values = [coroutine.clone(), event_loop.clone(), yes, context.clone()];
        let names = names(py, &NAMES, &["loop", "eager_start", "context"])?;
        return Ok((
            call_with_names(task_class(py)?, &values, 1, names)?,
            context,
        ));
    }
    held_task(event_loop, coroutine, &context)
}

/// A task of `event_loop` that has run to its first suspension; it may be done already. To be called on the loop's
/// thread while no task runs. A task factory of the application's gets its way.
#[pyfunction]
pub(crate) fn eager_task<'py>(
    event_loop: &Bound<'py, PyAny>,
    coroutine: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    eager_task_in(event_loop, coroutine, copy_of_context(py)?).map(|(task, _)| task)
}

/// What a coroutine returns that suspends nowhere.
pub(crate) fn only_step<'py>(coroutine: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = coroutine.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: the interpreter is attached and both objects are alive; `result` gets a new reference, or none with an
    // error set.
    let (outcome, value) = unsafe {
        let outcome = ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &mut result);
        (outcome, Bound::from_owned_ptr_or_err(py, result)?)
    };
    match outcome {
        ffi::PySendResult::PYGEN_RETURN => Ok(value),
        _ => {
            coroutine.call_method0(intern!(py, "close"))?;
            Err(PyRuntimeError::new_err(
                "a coroutine that awaits nothing has suspended",
            ))
        }
    }
}

/// For Pythons without eager tasks: a task asks its loop to call its first step soon. Here the request is held, and the
/// step called as the loop would have done.
fn held_task<'py>(
    event_loop: &Bound<'py, PyAny>,
    coroutine: &Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    static NAMES: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
    let py = event_loop.py();
    let call_soon = intern!(py, "call_soon");
    let hold = Bound::new(py, HeldStep::default())?;
    event_loop.setattr(call_soon, &hold)?;
    // Inside the context, of which the task makes a copy: Python 3.10 cannot be given one.
    let task = in_context(context, || {
        call_with_names(
            task_class(py)?,
            &[coroutine.clone(), event_loop.clone()],
            1,
            names(py, &NAMES, &["loop"])?,
        )
    });
    event_loop.delattr(call_soon)?;
    let task = task?;
    let (step, context) = hold
        .get()
        .take()
        .ok_or_else(|| PyRuntimeError::new_err("a task that did not ask for its first step"))?;
    let context = context.into_bound(py);
    in_context(&context, || step.bind(py).call0())?;
    Ok((task, context))
}

/// Stands in for a loop's `call_soon` while a task is made.
#[pyclass(frozen, module = "pytest_fastr._native")]
#[derive(Default)]
pub(crate) struct HeldStep(Mutex<Option<(Py<PyAny>, Py<PyAny>)>>);

impl HeldStep {
    fn take(&self) -> Option<(Py<PyAny>, Py<PyAny>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl HeldStep {
    #[pyo3(signature = (step, **options))]
    fn __call__(&self, step: Py<PyAny>, options: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let context = options
            .and_then(|options| options.get_item("context").transpose())
            .ok_or_else(|| PyRuntimeError::new_err("a first step without a context"))??;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((step, context.unbind()));
        Ok(())
    }
}

/// Runs something in a copy of the current context, as a thread of a pool would.
pub(crate) fn in_a_fresh_context<T>(
    py: Python<'_>,
    run: impl FnOnce() -> PyResult<T>,
) -> PyResult<T> {
    in_context(&copy_of_context(py)?, run)
}

/// A copy of the current context.
pub(crate) fn copy_of_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the interpreter is attached; the result is a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// Runs something in a context that is entered nowhere else.
pub(crate) fn in_context<T>(
    context: &Bound<'_, PyAny>,
    run: impl FnOnce() -> PyResult<T>,
) -> PyResult<T> {
    // SAFETY: the interpreter is attached, and the context is left by the thread that entered it.
    unsafe {
        if ffi::PyContext_Enter(context.as_ptr()) < 0 {
            return Err(PyErr::fetch(context.py()));
        }
        let result = run();
        if ffi::PyContext_Exit(context.as_ptr()) < 0 {
            return Err(PyErr::fetch(context.py()));
        }
        result
    }
}
