//! The opening handshake of a websocket (RFC 6455, 4.2): from a request to the protocol's switch, or to a denial.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{HeaderName, SEC_WEBSOCKET_ACCEPT};
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use tungstenite::handshake::derive_accept_key;

use crate::activity::Activity;
use crate::body::{known, refusal, Pump, ResponseBody};
use crate::WebSocket;

/// The only version of the protocol.
const VERSION: &str = "13";

/// Whether a request asks for a websocket at all. Others that name an upgrade are ordinary requests.
pub(crate) fn asks_for_websocket(parts: &Parts) -> bool {
    // hyper leaves the means to upgrade with requests of HTTP/1.1 that have the header.
    parts.method == Method::GET
        && parts.extensions.get::<OnUpgrade>().is_some()
        && has_token(&parts.headers, &UPGRADE, "websocket")
        && has_token(&parts.headers, &CONNECTION, "upgrade")
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value
            .as_bytes()
            .split(|&byte| byte == b',')
            .any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values
        .next()
        .is_none()
        .then(|| first.as_bytes().trim_ascii())
}

/// 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    key.len() == 24
        && key.ends_with(b"==")
        && key[..22]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
}

/// What a valid request for a websocket is accepted with: the answer to its key.
pub(crate) fn accept_key(parts: &Parts, has_body: bool) -> Result<String, StatusCode> {
    let version = only(&parts.headers, &SEC_WEBSOCKET_VERSION).ok_or(StatusCode::BAD_REQUEST)?;
    if version != VERSION.as_bytes() {
        return Err(StatusCode::UPGRADE_REQUIRED);
    }
    only(&parts.headers, &SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key) && !has_body)
        .map(derive_accept_key)
        .ok_or(StatusCode::BAD_REQUEST)
}

/// The answer to a handshake that is none.
pub(crate) fn handshake_refusal(
    status: StatusCode,
    activity: Arc<Activity>,
) -> Response<ResponseBody> {
    let mut response = refusal(status, activity);
    if status == StatusCode::UPGRADE_REQUIRED {
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    }
    response
}

/// A websocket whose connection still speaks HTTP, with what hyper will hand the connection over through. Whoever
/// drops it ends the websocket.
#[derive(Debug)]
pub(crate) struct Upgrade {
    socket: Arc<WebSocket>,
    connection: OnUpgrade,
}

impl Upgrade {
    pub(crate) fn new(socket: Arc<WebSocket>, connection: OnUpgrade) -> Self {
        Self { socket, connection }
    }

    pub(crate) fn socket(&self) -> &Arc<WebSocket> {
        &self.socket
    }

    /// The connection, if hyper, which is done with it, left it whole.
    pub(crate) fn connection(&mut self) -> Option<hyper::upgrade::Upgraded> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match Pin::new(&mut self.connection).poll(&mut cx) {
            Poll::Ready(upgraded) => upgraded.ok(),
            Poll::Pending => None,
        }
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        self.socket.lose();
    }
}

/// The response to a handshake, once the application has decided.
pub(crate) struct Handshake {
    socket: Arc<WebSocket>,
    activity: Arc<Activity>,
    accept_key: String,
    called: bool,
    answered: bool,
}

impl Handshake {
    pub(crate) fn new(
        socket: Arc<WebSocket>,
        activity: Arc<Activity>,
        accept_key: String,
    ) -> Box<Self> {
        Box::new(Self {
            socket,
            activity,
            accept_key,
            called: false,
            answered: false,
        })
    }

    /// The application is called from a poll, when the connection can already be woken, and once the request before
    /// is done.
    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody>, Infallible>> {
        if !self.called {
            if self.activity.poll_alone(cx).is_pending() {
                return Poll::Pending;
            }
            self.called = true;
            self.socket.exchange().park_connection(cx.waker());
            let app = &self.socket.head().mount.app;
            app.websocket(self.socket.clone());
        }
        let exchange = self.socket.exchange();
        exchange.park_connection(cx.waker());
        if let Some(headers) = self.socket.take_acceptance() {
            self.answered = true;
            return Poll::Ready(Ok(self.acceptance(headers)));
        }
        if !exchange.is_answered() {
            return Poll::Pending;
        }
        self.answered = true;
        let pump = Pump::new(exchange.clone(), self.activity.clone(), None, 0);
        let Ok(mut response) = Box::new(pump).poll_head(cx) else {
            // Nobody else takes the head that is there.
            return Poll::Pending;
        };
        // What the client sends after a handshake, accepted or not, is no HTTP.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
        Poll::Ready(Ok(response))
    }

    fn acceptance(&self, headers: HeaderMap) -> Response<ResponseBody> {
        let mut response = known(Bytes::new(), self.activity.clone());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(value) = HeaderValue::from_str(&self.accept_key) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, value);
        }
        response
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        if !self.answered {
            // The client has left, or the application panicked.
            self.socket.lose();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for wrong in [
            &b""[..],
            b"dGhlIHNhbXBsZSBub25jZQ=",
            b"dGhlIHNhbXBsZSBub25jZQAA",
            b"dGhlIHNhbXBsZSBub25j\r\n==",
            b"dGhlIHNhbXBsZSBub25jZSBub25jZQ==",
        ] {
            assert!(!is_key(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn the_answer_to_a_key_is_the_one_of_rfc_6455() {
        assert_eq!(
            derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn tokens_are_found_in_lists_of_any_case() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_static("keep-alive, UpGrade"));
        assert!(has_token(&headers, &CONNECTION, "upgrade"));
        assert!(!has_token(&headers, &CONNECTION, "grade"));
        headers.append(CONNECTION, HeaderValue::from_static("close"));
        assert!(has_token(&headers, &CONNECTION, "close"));
        assert_eq!(only(&headers, &CONNECTION), None);
    }
}
