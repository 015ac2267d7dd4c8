//! Middleware that is understood: what it adds to most answers depends on a few headers of the request alone.
//!
//! Nothing is written twice: the headers are learned by running the middleware itself, once for each kind of request.
//! Where it has work to do it is run for that answer, around the answer alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use fastr_engine::{Captures, Given, Param, Reading, RequestHead, Source, Value};
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::answer::Answer;

/// Kinds of requests that are remembered. Clients choose hosts and origins: more are left to the application.
const MOST_KNOWN: usize = 512;

/// Names and values, as ASGI has them.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What decides about the headers that the layers add.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Looks {
    host: Option<HeaderValue>,
    origin: Option<HeaderValue>,
    accepts_gzip: bool,
    has_cookie: bool,
}

/// What the layers look at in a request.
#[derive(Debug)]
pub(crate) struct Asked {
    looks: Looks,
    has_session: bool,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    looks: Looks,
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
    /// `apply(method, asked, status, headers, body)`: headers and body, or None for what does not get through.
    apply: Py<PyAny>,
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
            apply: side.getattr("apply")?.unbind(),
            known: Mutex::default(),
        })
    }

    /// What the layers look at, unless they answer themselves.
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
        let has_one = |cookie: &Param| !matches!(cookie.read(&given), Ok(Value::Missing));
        let gzip = |value: &HeaderValue| value.as_bytes().windows(4).any(|part| part == b"gzip");
        Some(Asked {
            looks: Looks {
                host: head.headers.get(HOST).cloned(),
                origin: head.headers.get(ORIGIN).cloned(),
                accepts_gzip: head.headers.get(ACCEPT_ENCODING).is_some_and(gzip),
                has_cookie: head.headers.contains_key(COOKIE),
            },
            has_session: self.cookies.iter().any(has_one),
        })
    }

    /// Whether an answer with this head would get through the layers, as far as can be told before there is one.
    pub(crate) fn let_through(
        &self,
        py: Python<'_>,
        asked: &Asked,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> bool {
        self.known_headers(py, &asked.looks, status, headers, 0)
            .is_some()
    }

    /// An answer as it is after the layers. None where they answer themselves, or have to wait for something.
    pub(crate) fn through(
        &self,
        py: Python<'_>,
        head: &RequestHead,
        asked: &Asked,
        answer: Answer,
    ) -> Option<Answer> {
        let size = answer.body.len();
        // A handler's own headers may be what a layer looks at.
        let own_headers = answer.headers.keys().any(|name| name != CONTENT_TYPE);
        let compressed =
            asked.looks.accepts_gzip && self.gzip_from.is_some_and(|from| size >= from);
        if asked.has_session || compressed || own_headers {
            return self.applied(py, head, answer).unwrap_or_else(|error| {
                error.write_unraisable(py, None);
                None
            });
        }
        let headers = self.known_headers(py, &asked.looks, answer.status, &answer.headers, size)?;
        Some(Answer {
            headers: (*headers).clone(),
            ..answer
        })
    }

    fn known_headers(
        &self,
        py: Python<'_>,
        looks: &Looks,
        status: StatusCode,
        headers: &HeaderMap,
        body_bytes: usize,
    ) -> Option<Arc<HeaderMap>> {
        let kind = Kind {
            looks: looks.clone(),
            status: status.as_u16(),
            media_type: headers.get(CONTENT_TYPE).cloned(),
            large: self.gzip_from.is_some_and(|from| body_bytes >= from),
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

    /// Runs the layers around an answer.
    fn applied(
        &self,
        py: Python<'_>,
        head: &RequestHead,
        answer: Answer,
    ) -> PyResult<Option<Answer>> {
        let applied = self.apply.bind(py).call1((
            head.method.as_str(),
            fields(py, &head.headers),
            answer.status.as_u16(),
            fields(py, &answer.headers),
            PyBytes::new(py, &answer.body),
        ))?;
        if applied.is_none() {
            return Ok(None);
        }
        let (headers, body): (Fields, Bound<'_, PyBytes>) = applied.extract()?;
        Ok(header_map(headers).map(|headers| Answer {
            status: answer.status,
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }))
    }

    fn learn(
        &self,
        py: Python<'_>,
        kind: &Kind,
        headers: &HeaderMap,
    ) -> PyResult<Option<HeaderMap>> {
        let bytes = |value: &HeaderValue| PyBytes::new(py, value.as_bytes()).unbind();
        let looks = &kind.looks;
        let learned = self.learn.bind(py).call1((
            looks.host.as_ref().map(bytes),
            looks.origin.as_ref().map(bytes),
            looks.accepts_gzip,
            looks.has_cookie,
            kind.status,
            fields(py, headers),
            kind.large,
        ))?;
        let fields = learned.extract::<Option<Fields>>()?;
        Ok(fields.and_then(header_map))
    }
}

/// Header fields as ASGI has them.
fn fields<'py>(
    py: Python<'py>,
    headers: &HeaderMap,
) -> Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    headers
        .iter()
        .map(|(name, value)| {
            (
                PyBytes::new(py, name.as_str().as_bytes()),
                PyBytes::new(py, value.as_bytes()),
            )
        })
        .collect()
}

/// The same the other way round, without the length, which the engine writes. None for what is no header.
fn header_map(fields: Fields) -> Option<HeaderMap> {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let name = HeaderName::from_bytes(&name).ok()?;
        let value = HeaderValue::from_bytes(&value).ok()?;
        if name != CONTENT_LENGTH {
            map.append(name, value);
        }
    }
    Some(map)
}
