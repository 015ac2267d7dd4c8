//! One websocket, between the connection that carries its messages and the application that talks over it.
//!
//! It begins as an ordinary exchange: the handshake's request, which the application accepts, or denies with a
//! response. As there, the connection's side runs inside the runtime and the application's anywhere between two turns;
//! they meet in a small mutex that is never held across a wait. Who frames the messages is in `websocket_link`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::Utf8Bytes;

use crate::error::MAX_REASON_BYTES;
use crate::response_headers::response_headers;
use crate::{Exchange, Finish, RequestHead, ResponseError, SocketError};

/// What is said when no code was received: the connection broke (RFC 6455, 7.1.5).
pub(crate) const ABNORMAL: u16 = 1006;

/// Messages that may wait for the application before no more are read, whatever their size.
const MAX_WAITING_MESSAGES: usize = 32;

/// One message, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.as_str().len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// What an application gets when it asks what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketEvent {
    /// A client asks for the websocket. Always the first.
    Connect,
    /// A message has come.
    Message(Message),
    /// It is over. Always the last, and repeated to whoever asks again.
    Disconnect {
        /// The close code: the client's, the application's own, 1005 when a close frame had none, 1006 without one.
        code: u16,
        /// The reason, mostly empty.
        reason: String,
    },
}

/// How far a websocket has come, as its application made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketStage {
    /// Neither accepted nor denied.
    Connecting,
    /// The handshake is being answered with an ordinary response.
    Denying,
    /// Accepted.
    Open,
    /// The application has closed it, before or after accepting, or has completed its denial.
    Closed,
}

/// How an application left its websocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketFinish {
    /// It was closed, by whomever; one that was still open is closed now.
    Closed,
    /// Neither accepted nor denied: the engine answered 500.
    NotAccepted,
    /// The denial broke off.
    Incomplete,
}

/// What the connection can send next.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message(Message),
    Close(u16, String),
}

#[derive(Debug)]
struct State {
    stage: SocketStage,
    connect_told: bool,
    accepted: bool,
    /// Header fields of the acceptance, until the connection takes them.
    acceptance: Option<HeaderMap>,
    inbox: VecDeque<Message>,
    inbox_bytes: usize,
    /// The connection reads no more until the application has taken messages.
    paused: bool,
    outbox: VecDeque<Message>,
    outbox_bytes: usize,
    /// The close frame that the application wants behind its messages.
    closing: Option<(u16, String)>,
    /// How it ended, for the application.
    ended: Option<(u16, String)>,
    /// Nothing can be sent to the client any more.
    disconnected: bool,
    event_waiters: Vec<Waker>,
    room_waiters: Vec<Waker>,
}

/// One websocket.
#[derive(Debug)]
pub struct WebSocket {
    /// The handshake, which carries a denial too. Its parked connection is this socket's.
    exchange: Arc<Exchange>,
    buffer_bytes: usize,
    state: Mutex<State>,
}

impl WebSocket {
    pub(crate) fn new(exchange: Arc<Exchange>, buffer_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            exchange,
            buffer_bytes,
            state: Mutex::new(State {
                stage: SocketStage::Connecting,
                connect_told: false,
                accepted: false,
                acceptance: None,
                inbox: VecDeque::new(),
                inbox_bytes: 0,
                paused: false,
                outbox: VecDeque::new(),
                outbox_bytes: 0,
                closing: None,
                ended: None,
                disconnected: false,
                event_waiters: Vec::new(),
                room_waiters: Vec::new(),
            }),
        })
    }

    /// The handshake's request.
    pub fn head(&self) -> &RequestHead {
        self.exchange.head()
    }

    /// The exchange of the handshake.
    pub fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below can panic while it holds the lock; a poisoned one is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the application's side -------------------------------------------------------------------------------

    /// How far it has come.
    pub fn stage(&self) -> SocketStage {
        self.lock().stage
    }

    /// Whether the client is gone.
    pub fn is_disconnected(&self) -> bool {
        self.lock().disconnected || self.exchange.is_disconnected()
    }

    /// What happened next.
    pub fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        let mut state = self.lock();
        if !state.connect_told {
            state.connect_told = true;
            return Poll::Ready(SocketEvent::Connect);
        }
        if let Some(message) = state.inbox.pop_front() {
            state.inbox_bytes -= message.len();
            if state.paused && self.has_room_for_more(&state) {
                state.paused = false;
                drop(state);
                self.exchange.ring();
            }
            return Poll::Ready(SocketEvent::Message(message));
        }
        if self.poll_ended(&mut state, cx).is_pending() {
            return Poll::Pending;
        }
        let (code, reason) = state.ended.clone().unwrap_or((ABNORMAL, String::new()));
        Poll::Ready(SocketEvent::Disconnect { code, reason })
    }

    /// Ready when [`WebSocket::poll_receive`] would be, without taking anything.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.connect_told || !state.inbox.is_empty() {
            return Poll::Ready(());
        }
        self.poll_ended(&mut state, cx)
    }

    fn poll_ended(&self, state: &mut State, cx: &mut Context<'_>) -> Poll<()> {
        if state.ended.is_some() {
            return Poll::Ready(());
        }
        remember(&mut state.event_waiters, cx);
        if state.stage == SocketStage::Denying {
            // A client that leaves during a response is the exchange's news.
            return self.exchange.poll_readable(cx);
        }
        Poll::Pending
    }

    /// Accepts the handshake. What the engine decides is left out of `headers`.
    pub fn accept<'a>(
        &self,
        subprotocol: Option<&str>,
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), SocketError> {
        let (mut map, _) = response_headers(headers)?;
        for decided in [
            CONNECTION,
            UPGRADE,
            CONTENT_LENGTH,
            SEC_WEBSOCKET_ACCEPT,
            SEC_WEBSOCKET_EXTENSIONS,
        ] {
            map.remove(decided);
        }
        if let Some(name) = subprotocol {
            let value = HeaderValue::from_str(name)
                .map_err(|_| SocketError::Subprotocol(name.to_owned()))?;
            map.try_insert(SEC_WEBSOCKET_PROTOCOL, value)
                .map_err(|_| ResponseError::TooManyHeaders)?;
        }
        let mut state = self.expect(SocketStage::Connecting)?;
        state.stage = SocketStage::Open;
        state.accepted = true;
        state.acceptance = Some(map);
        drop(state);
        self.exchange.ring();
        Ok(())
    }

    /// Sends a message. A wait for [`WebSocket::poll_room`] should follow.
    pub fn send(&self, message: Message) -> Result<(), SocketError> {
        let mut state = self.expect(SocketStage::Open)?;
        state.outbox_bytes += message.len();
        state.outbox.push_back(message);
        drop(state);
        self.exchange.ring();
        Ok(())
    }

    /// Ready when at most [`crate::Limits::write_buffer_bytes`] wait for the client, or when it is gone.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.stage == SocketStage::Denying {
            drop(state);
            return self.exchange.poll_room(cx);
        }
        if state.outbox_bytes <= self.buffer_bytes || state.disconnected {
            return Poll::Ready(());
        }
        remember(&mut state.room_waiters, cx);
        Poll::Pending
    }

    /// Closes it behind the messages that were sent. Before the acceptance, the handshake is denied with 403.
    pub fn close(&self, code: u32, reason: &str) -> Result<(), SocketError> {
        let mut state = self.lock();
        if state.stage == SocketStage::Connecting {
            drop(state);
            let fields: [(&[u8], &[u8]); 2] = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"0"),
            ];
            self.deny(403, fields.into_iter())?;
            return self.deny_body(Bytes::new(), false);
        }
        let allowed = u16::try_from(code)
            .ok()
            .filter(|&code| may_be_sent(code))
            .ok_or(SocketError::CloseCode(code))?;
        if reason.len() > MAX_REASON_BYTES {
            return Err(SocketError::ReasonTooLong);
        }
        Self::check(&state, SocketStage::Open)?;
        let waiters = close_with(&mut state, allowed, reason);
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
        self.exchange.ring();
        Ok(())
    }

    /// Starts to answer the handshake with an ordinary response, which denies it.
    pub fn deny<'a>(
        &self,
        status: u16,
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), SocketError> {
        let mut state = self.expect(SocketStage::Connecting)?;
        self.exchange.start(status, headers)?;
        state.stage = SocketStage::Denying;
        let waiters = std::mem::take(&mut state.event_waiters);
        drop(state);
        // Those who wait ask again, to hear of a client that leaves during the response.
        waiters.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Sends a piece of the denial; `more = false` completes it.
    pub fn deny_body(&self, bytes: Bytes, more: bool) -> Result<(), SocketError> {
        let mut state = self.expect(SocketStage::Denying)?;
        self.exchange.send(bytes, more)?;
        if !more {
            state.stage = SocketStage::Closed;
            state.ended.get_or_insert((ABNORMAL, String::new()));
            let waiters = std::mem::take(&mut state.event_waiters);
            drop(state);
            waiters.into_iter().for_each(Waker::wake);
        }
        Ok(())
    }

    /// The application is done with this websocket, well or not: one that is open is closed with 1000 or, where it
    /// `failed`, with 1011; a handshake without an answer is answered with 500.
    pub fn finish(&self, failed: bool) -> SocketFinish {
        let mut state = self.lock();
        match state.stage {
            SocketStage::Closed => SocketFinish::Closed,
            SocketStage::Open => {
                let waiters = close_with(&mut state, if failed { 1011 } else { 1000 }, "");
                drop(state);
                waiters.into_iter().for_each(Waker::wake);
                self.exchange.ring();
                SocketFinish::Closed
            }
            SocketStage::Connecting | SocketStage::Denying => {
                state.stage = SocketStage::Closed;
                state.ended.get_or_insert((ABNORMAL, String::new()));
                let waiters = std::mem::take(&mut state.event_waiters);
                drop(state);
                waiters.into_iter().for_each(Waker::wake);
                match self.exchange.finish() {
                    Finish::Complete | Finish::Disconnected => SocketFinish::Closed,
                    Finish::NotStarted => SocketFinish::NotAccepted,
                    Finish::Incomplete => SocketFinish::Incomplete,
                }
            }
        }
    }

    /// The state, if the application may do what belongs to this stage.
    fn expect(&self, stage: SocketStage) -> Result<MutexGuard<'_, State>, SocketError> {
        let state = self.lock();
        Self::check(&state, stage)?;
        if stage != SocketStage::Open && self.exchange.is_disconnected() {
            return Err(SocketError::Disconnected);
        }
        Ok(state)
    }

    fn check(state: &State, stage: SocketStage) -> Result<(), SocketError> {
        if state.stage != stage {
            return Err(SocketError::Stage(state.stage));
        }
        if state.disconnected {
            return Err(SocketError::Disconnected);
        }
        Ok(())
    }

    // ---- the connection's side --------------------------------------------------------------------------------

    /// Whether the handshake was accepted, whatever came of it.
    pub(crate) fn was_accepted(&self) -> bool {
        self.lock().accepted
    }

    /// The header fields of the acceptance, once.
    pub(crate) fn take_acceptance(&self) -> Option<HeaderMap> {
        self.lock().acceptance.take()
    }

    /// Whether more messages may be read; if not, the connection is woken when they may.
    pub(crate) fn wants_messages(&self) -> bool {
        let mut state = self.lock();
        state.paused = !self.has_room_for_more(&state);
        !state.paused
    }

    fn has_room_for_more(&self, state: &State) -> bool {
        state.inbox.len() < MAX_WAITING_MESSAGES && state.inbox_bytes <= self.buffer_bytes
    }

    /// A message has come. The application does not hear of it when it has closed.
    pub(crate) fn push(&self, message: Message) {
        let mut state = self.lock();
        if state.ended.is_some() {
            return;
        }
        state.inbox_bytes += message.len();
        state.inbox.push_back(message);
        let waiters = std::mem::take(&mut state.event_waiters);
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// What the application wants to be sent next.
    pub(crate) fn take_outgoing(&self) -> Option<Outgoing> {
        let mut state = self.lock();
        let Some(message) = state.outbox.pop_front() else {
            return state
                .closing
                .take()
                .map(|(code, reason)| Outgoing::Close(code, reason));
        };
        state.outbox_bytes -= message.len();
        let waiters = if state.outbox_bytes <= self.buffer_bytes / 2 {
            std::mem::take(&mut state.room_waiters)
        } else {
            Vec::new()
        };
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
        Some(Outgoing::Message(message))
    }

    /// Nothing can be sent any more, and nothing more will come. What an application was told first stays.
    pub(crate) fn disconnect(&self, code: u16, reason: &str) {
        let mut state = self.lock();
        state.disconnected = true;
        state.ended.get_or_insert_with(|| (code, reason.to_owned()));
        state.acceptance = None;
        state.outbox.clear();
        state.outbox_bytes = 0;
        state.closing = None;
        let mut waiters = std::mem::take(&mut state.event_waiters);
        waiters.append(&mut state.room_waiters);
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// The connection is over.
    pub(crate) fn lose(&self) {
        self.disconnect(ABNORMAL, "");
        self.exchange.disconnect();
    }
}

/// Whether a close frame may have this code: 1014 was registered after the protocol's crate was written.
fn may_be_sent(code: u16) -> bool {
    code == 1014 || CloseCode::from(code).is_allowed()
}

/// Notes the application's wish to close, and tells whoever waits that it is over.
fn close_with(state: &mut State, code: u16, reason: &str) -> Vec<Waker> {
    state.stage = SocketStage::Closed;
    if !state.disconnected {
        state.closing = Some((code, reason.to_owned()));
    }
    state.ended.get_or_insert_with(|| (code, reason.to_owned()));
    // Nobody takes what comes from here on; the connection reads on for the client's close frame.
    std::mem::take(&mut state.event_waiters)
}

fn remember(waiters: &mut Vec<Waker>, cx: &Context<'_>) {
    if !waiters.iter().any(|known| known.will_wake(cx.waker())) {
        waiters.push(cx.waker().clone());
    }
}
