//! Middleware whose work on an answer is known beforehand: what it adds depends on a few headers of the request alone.
//!
//! Nothing is written twice: the headers are learned by running the middleware itself, once for each kind of request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use fastr_engine::{Captures, Given, Param, Reading, RequestHead, Source, Value};
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Kinds of requests that are remembered. Clients choose hosts and origins: more are left to the application.
const MOST_KNOWN: usize = 512;

/// What the layers look at in a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    host: Option<HeaderValue>,
    origin: Option<HeaderValue>,
    accepts_gzip: bool,
    has_cookie: bool,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    asked: Asked,
    status: u16,
    media_type: Option<HeaderValue>,
    large: bool,
}

/// The layers of an application, all of them known.
pub(crate) struct Layers {
    cookies: Vec<Param>,
    /// From this many bytes on an answer may be compressed.
    gzip_from: Option<usize>,
    /// `learn(host, origin, accepts_gzip, has_cookie, status, headers, large)`: the headers, or None for what does not get through.
    learn: Py<PyAny>,
    known: Mutex<HashMap<Kind, Option<Arc<HeaderMap>>>>,
}

impl Layers {
    /// From a Python object with these attributes.
    pub(crate) fn new(side: &Bound<'_, PyAny>) -> PyResult<Self> {
        let cookies: Vec<String> = side.getattr("session_cookies")?.extract()?;
        Ok(Self {
            cookies: cookies
                .into_iter()
                .map(|name| Param {
                    source: Source::Cookie(name),
                    reading: Reading::Text,
                })
                .collect(),
            gzip_from: side.getattr("gzip_from")?.extract()?,
            learn: side.getattr("learn")?.unbind(),
            known: Mutex::default(),
        })
    }

    /// What the layers look at, unless one of them has more to do than to add headers to the answer.
    pub(crate) fn ask(&self, head: &RequestHead) -> Option<Asked> {
        if head.method == Method::OPTIONS {
            return None;
        }
        let given = Given {
            path: "",
            captures: &Captures::default(),
            query: "",
            headers: &head.headers,
        };
        let has_none = |cookie: &Param| matches!(cookie.read(&given), Ok(Value::Missing));
        let gzip = |value: &HeaderValue| value.as_bytes().windows(4).any(|part| part == b"gzip");
        self.cookies.iter().all(has_none).then(|| Asked {
            host: head.headers.get(HOST).cloned(),
            origin: head.headers.get(ORIGIN).cloned(),
            accepts_gzip: head.headers.get(ACCEPT_ENCODING).is_some_and(gzip),
            has_cookie: head.headers.contains_key(COOKIE),
        })
    }

    /// The headers of an answer that a route sends with these, once the layers have added theirs. None where the layers
    /// answer themselves, or change the body.
    pub(crate) fn headers(
        &self,
        py: Python<'_>,
        asked: &Asked,
        status: StatusCode,
        headers: &HeaderMap,
        body_bytes: usize,
    ) -> Option<Arc<HeaderMap>> {
        // A handler's own headers may be what a layer looks at.
        if headers.keys().any(|name| name != CONTENT_TYPE) {
            return None;
        }
        let large = self.gzip_from.is_some_and(|from| body_bytes >= from);
        if large && asked.accepts_gzip {
            return None;
        }
        let kind = Kind {
            asked: asked.clone(),
            status: status.as_u16(),
            media_type: headers.get(CONTENT_TYPE).cloned(),
            large,
        };
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&kind) {
            return known.clone();
        }
        if lock().len() >= MOST_KNOWN {
            return None;
        }
        let learned = match self.learn(py, &kind, headers) {
            Ok(learned) => learned.map(Arc::new),
            Err(error) => {
                error.write_unraisable(py, None);
                None
            }
        };
        lock().insert(kind, learned.clone());
        learned
    }

    fn learn(
        &self,
        py: Python<'_>,
        kind: &Kind,
        headers: &HeaderMap,
    ) -> PyResult<Option<HeaderMap>> {
        let bytes = |value: &HeaderValue| PyBytes::new(py, value.as_bytes()).unbind();
        let given: Vec<_> = headers
            .iter()
            .map(|(name, value)| (PyBytes::new(py, name.as_str().as_bytes()), bytes(value)))
            .collect();
        let asked = &kind.asked;
        let learned = self.learn.bind(py).call1((
            asked.host.as_ref().map(bytes),
            asked.origin.as_ref().map(bytes),
            asked.accepts_gzip,
            asked.has_cookie,
            kind.status,
            given,
            kind.large,
        ))?;
        let Some(fields) = learned.extract::<Option<Vec<(Vec<u8>, Vec<u8>)>>>()? else {
            return Ok(None);
        };
        let mut map = HeaderMap::with_capacity(fields.len());
        for (name, value) in fields {
            let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(&name),
                HeaderValue::from_bytes(&value),
            ) else {
                return Ok(None);
            };
            if name != CONTENT_LENGTH {
                map.append(name, value);
            }
        }
        Ok(Some(map))
    }
}
