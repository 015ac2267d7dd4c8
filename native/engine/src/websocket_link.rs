//! The connection's side of a websocket: frames in both directions, keep-alive and the closing handshake.
//!
//! tungstenite reads the frames and keeps the protocol's state; what it answers by itself (pongs, close frames) goes
//! into the same buffer as the application's messages, whose large payloads are written from where they are.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::{Message as Protocol, Role, WebSocketConfig, WebSocketContext};

use crate::activity::{Activity, Ending, Phase};
use crate::error::MAX_REASON_BYTES;
use crate::websocket::{Message, Outgoing};
use crate::websocket_output::Output;
use crate::{Limits, WebSocket};

/// Read at once; a message grows by so much.
const READ_BYTES: usize = 16 * 1024;

/// Output below which the next message is taken from the application.
const OUTPUT_BYTES: usize = 64 * 1024;

/// Pings that a client may send while it reads none of the pongs.
const MAX_WAITING_PONGS: usize = 64;

/// Close codes (RFC 6455, 7.4.1).
const PROTOCOL_ERROR: u16 = 1002;
/// A close frame without a code, as it is told to applications.
const NO_CODE: u16 = 1005;
const NOT_TEXT: u16 = 1007;
const TOO_BIG: u16 = 1009;
const FAILED: u16 = 1011;
/// The server restarts, or goes.
const GOING: u16 = 1012;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Messages flow.
    Open,
    /// Our close frame is out or on its way, and what comes is thrown away until the client's.
    Closing,
    /// What is left is written, then the connection ends.
    Ending,
}

/// What came from the client.
enum Heard {
    Something,
    Nothing,
    /// The connection broke.
    End,
}

/// Speaks the protocol on one connection. A future in all but name: [`Link::poll`] is ready when it is over.
pub(crate) struct Link<S> {
    stream: S,
    protocol: WebSocketContext,
    output: Output,
    socket: Arc<WebSocket>,
    activity: Arc<Activity>,
    waits_for_pongs: bool,
    stage: Stage,
    /// The application has more than enough to do, and the client was not heard.
    deaf: bool,
    waiting_pongs: usize,
}

/// What the protocol reads from and writes to: the socket, and the output.
struct Ends<'a, 'b, S> {
    stream: &'a mut S,
    output: &'a mut Output,
    cx: &'a mut Context<'b>,
    activity: &'a Activity,
}

impl<S: AsyncRead + Unpin> Read for Ends<'_, '_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.stream).poll_read(self.cx, &mut buffer) {
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) => {
                if self.activity.phase() == Phase::Pinged {
                    // In the middle of a long message a client cannot answer, but it is there.
                    self.activity.enter(Phase::Pinged);
                }
                Ok(buffer.filled().len())
            }
        }
    }
}

impl<S> Write for Ends<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.push_copy(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// `early` is what the client sent behind its handshake.
    pub(crate) fn new(
        stream: S,
        early: &Bytes,
        socket: Arc<WebSocket>,
        activity: Arc<Activity>,
        limits: &Limits,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(limits.max_message_bytes))
            .max_frame_size(Some(limits.max_message_bytes));
        activity.enter(Phase::Open);
        Self {
            stream,
            protocol: WebSocketContext::from_partially_read(
                early.to_vec(),
                Role::Server,
                Some(config),
            ),
            output: Output::default(),
            socket,
            activity,
            waits_for_pongs: !limits.ping_timeout.is_zero(),
            stage: Stage::Open,
            deaf: false,
            waiting_pongs: 0,
        }
    }

    /// Carries messages until the connection is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.exchange().park_connection(cx.waker());
        loop {
            self.take_from_application(cx, OUTPUT_BYTES);
            if self.stage == Stage::Open && self.activity.ending() != Ending::None {
                self.drain(cx);
            }
            let had_output = !self.output.is_empty();
            let written = match self.output.poll_write(&mut self.stream, cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => true,
                Poll::Pending => false,
            };
            if written {
                self.waiting_pongs = 0;
            }
            if self.stage == Stage::Ending {
                if !written {
                    return Poll::Pending;
                }
                let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
                return Poll::Ready(());
            }
            match self.hear(cx) {
                Heard::End => return Poll::Ready(()),
                Heard::Something => continue,
                Heard::Nothing => {}
            }
            if self.activity.take_nudge() {
                self.keep_alive(cx);
            }
            // There is room again for what the application sent meanwhile.
            let more = had_output || !self.output.is_empty() || self.stage == Stage::Ending;
            // What cannot be written yet wakes this task when it can.
            if !(written && more) {
                return Poll::Pending;
            }
        }
    }

    /// Frames what the application sends, as long as the output is shorter than `limit`.
    fn take_from_application(&mut self, cx: &mut Context<'_>, limit: usize) {
        while self.stage == Stage::Open && self.output.len() < limit {
            match self.socket.take_outgoing() {
                None => break,
                Some(Outgoing::Message(Message::Text(text))) => {
                    self.output
                        .push_frame(OpCode::Data(Data::Text), text.into());
                }
                Some(Outgoing::Message(Message::Binary(bytes))) => {
                    self.output.push_frame(OpCode::Data(Data::Binary), bytes);
                }
                Some(Outgoing::Close(code, reason)) => {
                    self.send_close(cx, code, &reason);
                    self.activity.enter(Phase::Parting);
                    self.stage = Stage::Closing;
                }
            }
        }
    }

    /// The server goes: so do its websockets, behind what was sent already.
    fn drain(&mut self, cx: &mut Context<'_>) {
        self.take_from_application(cx, usize::MAX);
        if self.stage == Stage::Open {
            self.socket.disconnect(GOING, "");
            self.send_close(cx, GOING, "");
            self.stage = Stage::Closing;
        }
        self.activity.enter(Phase::Closing);
    }

    fn send_close(&mut self, cx: &mut Context<'_>, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        let (protocol, mut ends) = self.split(cx);
        // Writing to the output does not fail, and a protocol that has ended already sends nothing.
        let _ = protocol.close(&mut ends, Some(frame));
    }

    fn split<'a, 'b>(
        &'a mut self,
        cx: &'a mut Context<'b>,
    ) -> (&'a mut WebSocketContext, Ends<'a, 'b, S>) {
        let ends = Ends {
            stream: &mut self.stream,
            output: &mut self.output,
            activity: &self.activity,
            cx,
        };
        (&mut self.protocol, ends)
    }

    /// Whether somebody takes what the client sends.
    fn may_hear(&self) -> bool {
        self.stage == Stage::Closing
            || (self.waiting_pongs < MAX_WAITING_PONGS && self.socket.wants_messages())
    }

    /// Reads at most one message.
    fn hear(&mut self, cx: &mut Context<'_>) -> Heard {
        if !self.may_hear() {
            self.deaf = true;
            return Heard::Nothing;
        }
        if std::mem::take(&mut self.deaf) {
            self.forgive_silence();
        }
        let (protocol, mut ends) = self.split(cx);
        match protocol.read(&mut ends) {
            Ok(Protocol::Text(text)) => self.heard(Message::Text(text)),
            Ok(Protocol::Binary(bytes)) => self.heard(Message::Binary(bytes)),
            Ok(Protocol::Ping(_)) => {
                let _ = protocol.flush(&mut ends);
                self.waiting_pongs += 1;
            }
            Ok(Protocol::Pong(_)) => {
                if self.activity.phase() == Phase::Pinged {
                    self.activity.enter(Phase::Open);
                }
            }
            Ok(Protocol::Close(frame)) => {
                let _ = protocol.flush(&mut ends);
                let (code, reason) = frame.as_ref().map_or((NO_CODE, ""), |frame| {
                    (frame.code.into(), frame.reason.as_str())
                });
                self.socket.disconnect(code, reason);
                self.stage = Stage::Ending;
            }
            Ok(Protocol::Frame(_)) => {}
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Heard::Nothing;
            }
            Err(Error::Io(_) | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                return Heard::End;
            }
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => self.stage = Stage::Ending,
            Err(Error::Capacity(_)) => self.fail(cx, TOO_BIG, "message too big"),
            Err(Error::Utf8(_)) => self.fail(cx, NOT_TEXT, "invalid UTF-8"),
            Err(error) => self.fail(cx, PROTOCOL_ERROR, &error.to_string()),
        }
        Heard::Something
    }

    fn heard(&mut self, message: Message) {
        if self.stage == Stage::Open {
            self.socket.push(message);
        }
    }

    /// Ends it because of what the client did or did not do.
    fn fail(&mut self, cx: &mut Context<'_>, code: u16, reason: &str) {
        let mut end = reason.len().min(MAX_REASON_BYTES);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = &reason[..end];
        self.socket.disconnect(code, reason);
        self.send_close(cx, code, reason);
        // It may still be sending, and a reset would overtake the close frame.
        self.activity.set_unread(true);
        self.stage = Stage::Ending;
    }

    /// A client that could not be heard, or could not hear, has not been silent.
    fn forgive_silence(&self) {
        if self.activity.phase() == Phase::Pinged {
            self.activity.enter(Phase::Pinged);
        }
    }

    /// The time between two pings, or that of a pong, is over.
    fn keep_alive(&mut self, cx: &mut Context<'_>) {
        match self.activity.phase() {
            Phase::Open => {
                let (protocol, mut ends) = self.split(cx);
                let _ = protocol.write(&mut ends, Protocol::Ping(Bytes::new()));
                self.activity.enter(if self.waits_for_pongs {
                    Phase::Pinged
                } else {
                    Phase::Open
                });
            }
            Phase::Pinged if self.deaf || !self.output.is_empty() => self.forgive_silence(),
            Phase::Pinged => self.fail(cx, FAILED, "keepalive ping timeout"),
            _ => {}
        }
    }
}

impl<S> Drop for Link<S> {
    fn drop(&mut self) {
        self.socket.lose();
    }
}
