//! The ASGI scope of an HTTP request.

use fastr_engine::{Address, RequestHead, Version};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use super::exchange::AsgiApp;
use crate::percent;

/// Builds the scope, as the ASGI HTTP specification 2.3 says.
pub(super) fn build_scope<'py>(
    py: Python<'py>,
    app: &AsgiApp,
    head: &RequestHead,
) -> PyResult<Bound<'py, PyDict>> {
    let scope = build_common_scope(py, app, &app.template, head)?;
    scope.set_item(intern!(py, "method"), method(py, head.method.as_str()))?;
    if head.secure {
        scope.set_item(intern!(py, "scheme"), intern!(py, "https"))?;
    }
    Ok(scope)
}

/// Builds what the scopes of requests and of websockets have in common.
pub(super) fn build_common_scope<'py>(
    py: Python<'py>,
    app: &AsgiApp,
    template: &Py<PyDict>,
    head: &RequestHead,
) -> PyResult<Bound<'py, PyDict>> {
    let scope = template.bind(py).copy()?;
    let version = if head.version == Version::HTTP_10 {
        intern!(py, "1.0")
    } else {
        intern!(py, "1.1")
    };
    scope.set_item(intern!(py, "http_version"), version)?;
    let raw_path = head.uri.path();
    let root_path = &*app.root_path;
    if root_path.is_empty() {
        scope.set_item(intern!(py, "path"), decoded_path(raw_path))?;
        scope.set_item(
            intern!(py, "raw_path"),
            PyBytes::new(py, raw_path.as_bytes()),
        )?;
    } else {
        scope.set_item(
            intern!(py, "path"),
            format!("{root_path}{}", decoded_path(raw_path)),
        )?;
        scope.set_item(
            intern!(py, "raw_path"),
            PyBytes::new(py, format!("{root_path}{raw_path}").as_bytes()),
        )?;
    }
    let prefix = &*head.mount.prefix;
    if !prefix.is_empty() {
        scope.set_item(intern!(py, "root_path"), format!("{root_path}{prefix}"))?;
    }
    let query = head.uri.query().unwrap_or("");
    scope.set_item(
        intern!(py, "query_string"),
        PyBytes::new(py, query.as_bytes()),
    )?;
    let headers = PyList::empty(py);
    for (name, value) in &head.headers {
        let field = [
            PyBytes::new(py, name.as_str().as_bytes()),
            PyBytes::new(py, value.as_bytes()),
        ];
        headers.append(PyTuple::new(py, field)?)?;
    }
    scope.set_item(intern!(py, "headers"), headers)?;
    scope.set_item(intern!(py, "client"), address(py, &head.peer)?)?;
    scope.set_item(intern!(py, "server"), address(py, &head.local)?)?;
    if let Some(state) = &app.state {
        scope.set_item(intern!(py, "state"), state.bind(py).copy()?)?;
    }
    Ok(scope)
}

fn method<'py>(py: Python<'py>, method: &str) -> Bound<'py, PyString> {
    match method {
        "GET" => intern!(py, "GET").clone(),
        "POST" => intern!(py, "POST").clone(),
        "PUT" => intern!(py, "PUT").clone(),
        "PATCH" => intern!(py, "PATCH").clone(),
        "DELETE" => intern!(py, "DELETE").clone(),
        "HEAD" => intern!(py, "HEAD").clone(),
        "OPTIONS" => intern!(py, "OPTIONS").clone(),
        other => PyString::new(py, &other.to_ascii_uppercase()),
    }
}

/// A pair of host and port, or of path and None; None for an end that has no name.
fn address<'py>(py: Python<'py>, address: &Address) -> PyResult<Bound<'py, PyAny>> {
    let (name, port) = match address {
        Address::Tcp(address) => {
            let host = PyString::new(py, &address.ip().to_string());
            (host, address.port().into_pyobject(py)?.into_any())
        }
        Address::Unix(path) if path.is_empty() => return Ok(py.None().into_bound(py)),
        Address::Unix(path) => (PyString::new(py, path), py.None().into_bound(py)),
    };
    Ok(PyTuple::new(py, [name.into_any(), port])?.into_any())
}

/// What is no UTF-8 becomes replacement characters.
fn decoded_path(path: &str) -> String {
    String::from_utf8_lossy(&percent::decoded(path)).into_owned()
}
