//! Answers that are complete: status, headers and body.

use std::sync::Arc;

use bytes::Bytes;
use fastr_engine::Exchange;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyType};

use super::json;

/// A result that is ready to be sent.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn send(self, exchange: &Arc<Exchange>) {
        exchange.answer(self.status, self.headers, self.body);
    }
}

/// The classes that results are told by: responses, those whose bytes are all there, and models.
pub(crate) struct PlainResponses {
    pub(crate) base: Py<PyType>,
    pub(crate) exact: Vec<Py<PyType>>,
    pub(crate) models: json::Models,
}

/// A response object that has all its bytes and no work to do after it was sent.
pub(super) fn response_object(result: &Bound<'_, PyAny>, plain: &PlainResponses) -> Option<Answer> {
    let py = result.py();
    let class = result.get_type();
    if !plain.exact.iter().any(|known| class.is(known.bind(py))) {
        return None;
    }
    if !result.getattr(intern!(py, "background")).ok()?.is_none() {
        return None;
    }
    let status: u16 = result
        .getattr(intern!(py, "status_code"))
        .ok()?
        .extract()
        .ok()?;
    let status = StatusCode::from_u16(status).ok().filter(|status| {
        status.as_u16() >= 200
            && *status != StatusCode::NO_CONTENT
            && *status != StatusCode::NOT_MODIFIED
    })?;
    let body = result.getattr(intern!(py, "body")).ok()?;
    let body = Bytes::copy_from_slice(body.cast_exact::<PyBytes>().ok()?.as_bytes());
    let mut headers = HeaderMap::new();
    for field in result
        .getattr(intern!(py, "raw_headers"))
        .ok()?
        .cast_exact::<PyList>()
        .ok()?
    {
        let (name, value): (Bound<'_, PyBytes>, Bound<'_, PyBytes>) = field.extract().ok()?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        match name {
            http::header::CONTENT_LENGTH => {
                let announced: usize = value.to_str().ok()?.parse().ok()?;
                if announced != body.len() {
                    return None;
                }
            }
            http::header::TRANSFER_ENCODING => return None,
            name => {
                headers.try_append(name, value).ok()?;
            }
        }
    }
    Some(Answer {
        status,
        headers,
        body,
    })
}
