//! Bodies in both directions: the pump that carries one exchange, and the body type that hyper sees.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::activity::{Activity, Ending, Phase};
use crate::exchange::Output;
use crate::Exchange;

/// Carries request bytes to an exchange and response bytes from it. Lives first in the response future, then in the
/// response body; its drop tells the application that the client is gone.
pub(crate) struct Pump {
    exchange: Arc<Exchange>,
    activity: Arc<Activity>,
    incoming: Option<Incoming>,
    received: u64,
    max_body_bytes: u64,
    /// The response's head is on its way.
    answering: bool,
    /// The bytes before a break-off have had their turn to be written.
    flushed: bool,
}

impl Pump {
    pub(crate) fn new(
        exchange: Arc<Exchange>,
        activity: Arc<Activity>,
        incoming: Option<Incoming>,
        max_body_bytes: u64,
    ) -> Self {
        Self {
            exchange,
            activity,
            incoming,
            received: 0,
            max_body_bytes,
            answering: false,
            flushed: false,
        }
    }

    /// Moves request bytes as far as the application wants them. An error is the answer that ends the request.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Result<(), StatusCode> {
        while self.exchange.wants_body() {
            let Some(incoming) = self.incoming.as_mut() else {
                break;
            };
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Pending => {
                    if self.activity.phase() != Phase::Body && self.exchange.app_waits_for_body() {
                        self.activity.enter(Phase::Body);
                    }
                    return if self.activity.ending() == Ending::BodyTimeout {
                        Err(StatusCode::REQUEST_TIMEOUT)
                    } else {
                        Ok(())
                    };
                }
                Poll::Ready(Some(Ok(frame))) => {
                    self.activity.enter(Phase::Serving);
                    // Trailers are read and dropped: no application interface has a place for them.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    self.received += data.len() as u64;
                    if self.received > self.max_body_bytes {
                        return Err(StatusCode::PAYLOAD_TOO_LARGE);
                    }
                    let last = incoming.is_end_stream();
                    self.push(data, last);
                }
                Poll::Ready(None) => self.push(Bytes::new(), true),
                Poll::Ready(Some(Err(_))) => {
                    self.incoming = None;
                    self.exchange.disconnect();
                    return Err(StatusCode::BAD_REQUEST);
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, data: Bytes, last: bool) {
        if last {
            self.incoming = None;
            self.activity.set_unread(false);
            self.activity.enter(Phase::Serving);
        }
        self.exchange.push_body(data, last);
    }

    fn note_leaving(&self) {
        if self.activity.has_left() {
            self.exchange.client_left();
        }
    }

    /// Waits for the response head while the request body flows.
    pub(crate) fn poll_head(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
    ) -> Result<Response<ResponseBody>, Box<Self>> {
        self.exchange.park_connection(cx.waker());
        self.note_leaving();
        if let Err(status) = self.poll_request(cx) {
            return Ok(refusal(status, self.activity.clone()));
        }
        let Some(head) = self.exchange.take_head() else {
            return Err(self);
        };
        self.activity.enter(Phase::Serving);
        self.answering = true;
        Ok(head.map(|()| ResponseBody::Exchange(self)))
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.exchange.park_connection(cx.waker());
        self.note_leaving();
        if let Err(status) = self.poll_request(cx) {
            return Poll::Ready(Some(Err(io::Error::other(status.to_string()))));
        }
        match self.exchange.take_output() {
            Output::Chunk(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Output::End => Poll::Ready(None),
            Output::Aborted if !self.flushed => {
                // An error makes hyper drop what it has buffered: let it write that first.
                self.flushed = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Output::Aborted => Poll::Ready(Some(Err(io::Error::other(
                "the application broke off its response",
            )))),
            Output::Pending => Poll::Pending,
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if self.answering && self.exchange.waits_for_end() {
            self.exchange.discard_output();
            self.activity.linger(self.exchange.clone());
        } else {
            self.exchange.disconnect();
        }
        self.activity.set_unread(self.incoming.is_some());
        self.activity.end_answer();
    }
}

/// What hyper writes.
pub(crate) enum ResponseBody {
    /// An application's response.
    Exchange(Box<Pump>),
    /// Bytes known beforehand.
    Known {
        bytes: Option<Bytes>,
        /// Held for its drop.
        _idle: IdleGuard,
    },
}

/// Marks the connection idle when a response without a pump is through.
pub(crate) struct IdleGuard(Arc<Activity>);

impl Drop for IdleGuard {
    fn drop(&mut self) {
        self.0.end_answer();
    }
}

/// A complete response.
pub(crate) fn known(bytes: Bytes, activity: Arc<Activity>) -> Response<ResponseBody> {
    let bytes = (!bytes.is_empty()).then_some(bytes);
    Response::new(ResponseBody::Known {
        bytes,
        _idle: IdleGuard(activity),
    })
}

/// The engine's own answer to a request that it does not serve; the connection closes after it.
pub(crate) fn refusal(status: StatusCode, activity: Arc<Activity>) -> Response<ResponseBody> {
    let mut response = known(
        Bytes::from_static(status.canonical_reason().unwrap_or("").as_bytes()),
        activity,
    );
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    response
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Exchange(pump) => pump.poll_response(cx),
            Self::Known { bytes, .. } => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Exchange(pump) => pump.exchange.output_is_drained(),
            Self::Known { bytes, .. } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Exchange(pump) => pump
                .exchange
                .output_bytes()
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Known { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}
