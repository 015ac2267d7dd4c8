//! The environ of a request.

use std::collections::HashMap;

use fastr_engine::{Address, RequestHead, Version};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE};
use http::HeaderName;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::Common;
use crate::percent;

/// Builds the environ, as PEP 3333 says. Bytes are latin-1 text in it.
pub(super) fn build_environ<'py>(
    py: Python<'py>,
    common: &Common,
    head: &RequestHead,
) -> PyResult<Bound<'py, PyDict>> {
    let environ = common.template.bind(py).copy()?;
    let method = head.method.as_str();
    environ.set_item(intern!(py, "REQUEST_METHOD"), method)?;
    let prefix = format!("{}{}", common.root_path, head.mount.prefix);
    environ.set_item(intern!(py, "SCRIPT_NAME"), latin1(py, prefix.as_bytes()))?;
    let raw_path = head.uri.path();
    let path = percent::decoded(raw_path);
    environ.set_item(intern!(py, "PATH_INFO"), latin1(py, &path))?;
    let query = head.uri.query().unwrap_or("");
    environ.set_item(intern!(py, "QUERY_STRING"), latin1(py, query.as_bytes()))?;
    let target = head
        .uri
        .path_and_query()
        .map_or(raw_path, |all| all.as_str());
    for name in [intern!(py, "RAW_URI"), intern!(py, "REQUEST_URI")] {
        environ.set_item(name, latin1(py, target.as_bytes()))?;
    }
    let protocol = if head.version == Version::HTTP_10 {
        intern!(py, "HTTP/1.0")
    } else {
        intern!(py, "HTTP/1.1")
    };
    environ.set_item(intern!(py, "SERVER_PROTOCOL"), protocol)?;
    let (name, port) = named(&head.local, "localhost", "80");
    environ.set_item(intern!(py, "SERVER_NAME"), name)?;
    environ.set_item(intern!(py, "SERVER_PORT"), port)?;
    if head.secure {
        environ.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
    }
    let (name, port) = named(&head.peer, "", "");
    environ.set_item(intern!(py, "REMOTE_ADDR"), name)?;
    environ.set_item(intern!(py, "REMOTE_PORT"), port)?;
    for (name, value) in joined(head) {
        environ.set_item(variable(py, &name), latin1(py, &value))?;
    }
    Ok(environ)
}

/// Host and port; those given for a Unix socket, which has none.
fn named(address: &Address, host: &str, port: &str) -> (String, String) {
    match address {
        Address::Tcp(address) => (address.ip().to_string(), address.port().to_string()),
        Address::Unix(_) => (host.to_owned(), port.to_owned()),
    }
}

/// Each header once, with the values of all its fields. Headers with an underscore are left out: in an environ they could
/// not be told from those with a hyphen, which a proxy in front may have vouched for.
fn joined(head: &RequestHead) -> Vec<(HeaderName, Vec<u8>)> {
    let mut all: Vec<(HeaderName, Vec<u8>)> = Vec::with_capacity(head.headers.keys_len());
    let mut places: HashMap<&HeaderName, usize> = HashMap::new();
    for (name, value) in &head.headers {
        if name.as_str().contains('_') {
            continue;
        }
        if let Some(place) = places.get(name) {
            let separator: &[u8] = if name == COOKIE { b"; " } else { b"," };
            all[*place].1.extend_from_slice(separator);
            all[*place].1.extend_from_slice(value.as_bytes());
        } else {
            places.insert(name, all.len());
            all.push((name.clone(), value.as_bytes().to_vec()));
        }
    }
    all
}

/// The name of a header in an environ.
fn variable<'py>(py: Python<'py>, name: &HeaderName) -> Bound<'py, PyString> {
    match *name {
        CONTENT_TYPE => intern!(py, "CONTENT_TYPE").clone(),
        CONTENT_LENGTH => intern!(py, "CONTENT_LENGTH").clone(),
        _ => {
            let upper = name.as_str().to_ascii_uppercase().replace('-', "_");
            PyString::new(py, &format!("HTTP_{upper}"))
        }
    }
}

fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    if bytes.is_ascii() {
        // Shorter than the general way, and almost always taken.
        return PyString::new(py, std::str::from_utf8(bytes).unwrap_or_default());
    }
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    PyString::new(py, &text)
}
