//! One request and its response, between the connection that carries them and the application that answers.
//!
//! The connection's side (`wire`) runs inside the runtime; the application's side may run anywhere between two turns. They
//! meet in a small mutex that is never held across a wait. What the application does reaches the connection at the
//! start of the next turn, through [`TurnEnd`], so that answering costs no system call of its own.

mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, Version};
use hyper::ext::ReasonPhrase;

use crate::events::Observed;
use crate::pieces::Pieces;
use crate::response_headers::response_headers;
use crate::{Address, Mount, ResponseError, RouteMetrics, TurnEnd};

pub(crate) use wire::Output;

/// Everything of a request but its body.
#[derive(Debug)]
pub struct RequestHead {
    /// The method as sent.
    pub method: Method,
    /// The request target as sent: path still percent-encoded.
    pub uri: Uri,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// Header fields, names in lower case.
    pub headers: HeaderMap,
    /// The client's address, as a trusted proxy gives it or as it connected.
    pub peer: Address,
    /// Whether the client spoke TLS, to a trusted proxy.
    pub secure: bool,
    /// The address that the client connected to.
    pub local: Address,
    /// The mount that the request was routed to.
    pub mount: Arc<Mount>,
}

/// What an application gets when it asks for more of the request.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A piece of the body, possibly empty.
    Body {
        /// The bytes.
        bytes: Bytes,
        /// Whether more pieces follow.
        more: bool,
    },
    /// The client went away, or the response is complete.
    Disconnected,
}

/// How an application left its exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The response was complete.
    Complete,
    /// The client had gone before.
    Disconnected,
    /// Nothing was sent: the engine answered 500.
    NotStarted,
    /// The response broke off: the engine closed the connection.
    Incomplete,
}

#[derive(Debug, Default)]
struct State {
    chunks: Pieces,
    request_ended: bool,
    body_wanted: bool,
    body_waiter: Option<Waker>,
    /// Up to this many body bytes are gathered before anybody is told of them.
    gather: usize,
    gathered: usize,

    head: Option<Response<()>>,
    status: Option<StatusCode>,
    observed: Option<Box<Observed>>,
    started: bool,
    /// The first body message has come: from here on the head may be sent.
    head_released: bool,
    bodyless: bool,
    remaining: Option<u64>,
    out: Pieces,
    out_bytes: usize,
    ended: bool,
    aborted: bool,
    room_waiter: Option<Waker>,
    /// The connection takes no more bytes (HEAD, 304, content-length reached), though the client is still there.
    discarding: bool,
    /// The client sends no more. It may still read.
    left: bool,
    disconnected: bool,

    connection: Option<Waker>,
    /// Already in the turn's list of connections to wake.
    queued: bool,
}

impl State {
    /// The whole response, of which nothing has been sent.
    fn complete(&mut self, status: StatusCode, headers: HeaderMap, body: Bytes) {
        self.head = Some(head_of(status, None, headers));
        self.status = Some(status);
        self.started = true;
        self.head_released = true;
        self.ended = true;
        if !(body.is_empty() || self.bodyless || self.disconnected) {
            self.out_bytes += body.len();
            self.out.push(body);
        }
    }
}

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    head: RequestHead,
    turn: TurnEnd,
    write_buffer_bytes: usize,
    state: Mutex<State>,
}

impl Exchange {
    pub(crate) fn new(head: RequestHead, turn: TurnEnd, write_buffer_bytes: usize) -> Arc<Self> {
        let state = State {
            bodyless: head.method == Method::HEAD,
            observed: Observed::for_log(),
            ..State::default()
        };
        Arc::new(Self {
            head,
            turn,
            write_buffer_bytes,
            state: Mutex::new(state),
        })
    }

    /// The request's head.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below can panic while it holds the lock; a poisoned one is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the request for a route when its response is complete.
    pub fn count_for(&self, route: Arc<RouteMetrics>) {
        Observed::count_for(&mut self.lock().observed, route);
    }

    /// Releases the state of a response that is complete, and tells those who wait for that.
    fn ended(&self, mut state: MutexGuard<'_, State>) {
        let waiter = state.body_waiter.take();
        let status = state.status.filter(|_| !state.disconnected);
        let observed = state.observed.take();
        drop(state);
        wake(waiter);
        if let Some(observed) = observed {
            observed.end(&self.head, status, &self.turn);
        }
    }

    fn notify_connection(self: &Arc<Self>, state: &mut State) {
        if state.connection.is_some() && !state.queued {
            state.queued = true;
            self.turn.wake_connection_of(self.clone());
        }
    }

    /// Has the connection woken with the next turn, for what is not in this exchange.
    pub(crate) fn ring(self: &Arc<Self>) {
        self.notify_connection(&mut self.lock());
    }

    /// Called by the turn, inside the runtime.
    pub(crate) fn wake_connection(&self) {
        let waker = {
            let mut state = self.lock();
            state.queued = false;
            state.connection.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next piece of the request, or the client's going away.
    pub fn poll_receive(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<Received> {
        let mut state = self.lock();
        if let Some(bytes) = state.chunks.pop() {
            state.body_wanted = state.chunks.is_empty() && !state.request_ended;
            let more = !(state.request_ended && state.chunks.is_empty());
            self.notify_connection(&mut state);
            return Poll::Ready(Received::Body { bytes, more });
        }
        if state.left || state.disconnected || state.ended {
            return Poll::Ready(Received::Disconnected);
        }
        state.body_waiter = Some(cx.waker().clone());
        state.body_wanted = !state.request_ended;
        self.notify_connection(&mut state);
        Poll::Pending
    }

    /// Ready when [`Exchange::poll_receive`] would be, without taking anything.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.chunks.is_empty() || state.left || state.disconnected || state.ended {
            return Poll::Ready(());
        }
        state.body_waiter = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready when the whole body has arrived, more than `limit` bytes of it, or the client is gone. Nothing is taken: an
    /// application that reads afterwards gets all of it.
    pub fn poll_gathered(self: &Arc<Self>, limit: usize, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.request_ended || state.disconnected || state.ended || state.gathered > limit {
            return Poll::Ready(());
        }
        state.gather = limit;
        state.body_waiter = Some(cx.waker().clone());
        state.body_wanted = true;
        self.notify_connection(&mut state);
        Poll::Pending
    }

    /// The whole body, if it has arrived and nobody has taken any of it.
    pub fn gathered_body(&self) -> Option<Bytes> {
        let mut state = self.lock();
        let untouched = state.gathered == state.chunks.bytes();
        if !state.request_ended || !untouched {
            return None;
        }
        state.chunks.joined()
    }

    /// Whether the request's last piece has arrived, taken or not.
    pub fn request_has_ended(&self) -> bool {
        self.lock().request_ended
    }

    /// Whether the client is gone, for all that can be told: it has closed its side.
    pub fn is_disconnected(&self) -> bool {
        let state = self.lock();
        state.left || state.disconnected
    }

    /// Whether nothing that is sent from here on goes anywhere.
    pub fn is_cut_off(&self) -> bool {
        self.lock().disconnected
    }

    /// Starts the response. Nothing is sent before the first [`Exchange::send`], so that an application that fails in
    /// between is still answered with 500.
    pub fn start<'a>(
        &self,
        status: u16,
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), ResponseError> {
        self.start_saying(status, None, headers)
    }

    /// Starts the response with the text that follows the status on the wire; none is the standard one, which a status may
    /// not have.
    pub fn start_saying<'a>(
        &self,
        status: u16,
        reason: Option<&[u8]>,
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), ResponseError> {
        let reason =
            match reason {
                Some(text) => Some(ReasonPhrase::try_from(text).map_err(|_| {
                    ResponseError::Reason(String::from_utf8_lossy(text).into_owned())
                })?),
                None => None,
            };
        let code = StatusCode::from_u16(status)
            .ok()
            .filter(|code| code.as_u16() >= 200)
            .ok_or(ResponseError::Status(status))?;
        let (mut map, length) = response_headers(headers)?;
        let mut state = self.lock();
        if state.started {
            return Err(ResponseError::StartedTwice);
        }
        state.started = true;
        state.bodyless |= code == StatusCode::NO_CONTENT || code == StatusCode::NOT_MODIFIED;
        if code == StatusCode::NO_CONTENT {
            map.remove(CONTENT_LENGTH);
        }
        state.remaining = if state.bodyless { None } else { length };
        state.head = Some(head_of(code, reason, map));
        state.status = Some(code);
        Ok(())
    }

    /// Sends a whole response. After a disconnect, or when one was begun already, nothing happens.
    pub fn answer(self: &Arc<Self>, status: StatusCode, mut headers: HeaderMap, body: Bytes) {
        let mut state = self.lock();
        if state.started || state.ended {
            return;
        }
        state.bodyless |= status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        if self.head.method == Method::HEAD {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        state.complete(status, headers, body);
        self.notify_connection(&mut state);
        self.ended(state);
    }

    /// Sends body bytes; `more = false` completes the response. After a disconnect the bytes go nowhere.
    pub fn send(self: &Arc<Self>, bytes: Bytes, more: bool) -> Result<(), ResponseError> {
        let mut state = self.lock();
        if !state.started {
            return Err(ResponseError::NotStarted);
        }
        if state.ended {
            return Err(ResponseError::Complete);
        }
        if let Some(remaining) = state.remaining {
            let left = remaining
                .checked_sub(bytes.len() as u64)
                .ok_or(ResponseError::TooLong)?;
            if !more && left != 0 {
                return Err(ResponseError::TooShort);
            }
            state.remaining = Some(left);
        }
        state.head_released = true;
        state.ended = !more;
        if !(bytes.is_empty() || state.bodyless || state.disconnected || state.discarding) {
            state.out_bytes += bytes.len();
            state.out.push(bytes);
        }
        self.notify_connection(&mut state);
        if !more {
            self.ended(state);
        }
        Ok(())
    }

    /// How many bytes of the body may still be sent, where the head says how long it is.
    pub fn length_left(&self) -> Option<u64> {
        self.lock().remaining
    }

    /// Ready when at most [`crate::Limits::write_buffer_bytes`] wait for the client, or when the client is gone.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.out_bytes <= self.write_buffer_bytes || state.disconnected {
            return Poll::Ready(());
        }
        state.room_waiter = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The application is done with this exchange, well or not.
    pub fn finish(self: &Arc<Self>) -> Finish {
        let mut state = self.lock();
        if state.ended {
            return Finish::Complete;
        }
        let finish = if state.disconnected {
            Finish::Disconnected
        } else if !state.head_released {
            const TEXT: &[u8] = b"Internal Server Error";
            let mut headers = HeaderMap::with_capacity(2);
            headers.insert(
                http::header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            headers.insert(CONTENT_LENGTH, HeaderValue::from(TEXT.len()));
            // What was started and never sent may have been a 204.
            state.bodyless = self.head.method == Method::HEAD;
            state.complete(
                StatusCode::INTERNAL_SERVER_ERROR,
                headers,
                Bytes::from_static(TEXT),
            );
            Finish::NotStarted
        } else {
            state.aborted = true;
            Finish::Incomplete
        };
        state.ended = true;
        self.notify_connection(&mut state);
        // An application that stops because its client has left does as it should, whatever was sent.
        let left = state.left;
        self.ended(state);
        if left {
            return Finish::Disconnected;
        }
        finish
    }
}

/// A response's head. Without a phrase of its own, a status that has no standard one has an empty one.
fn head_of(status: StatusCode, reason: Option<ReasonPhrase>, headers: HeaderMap) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = headers;
    let unnamed = || {
        status
            .canonical_reason()
            .is_none()
            .then(|| ReasonPhrase::from_static(b""))
    };
    if let Some(reason) = reason.or_else(unnamed) {
        head.extensions_mut().insert(reason);
    }
    head
}

fn wake(waiter: Option<Waker>) {
    if let Some(waiter) = waiter {
        waiter.wake();
    }
}
