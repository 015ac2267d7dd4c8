//! The connection's side of an exchange.

use std::task::Waker;

use bytes::Bytes;
use http::Response;

use super::{wake, Exchange};

/// What the connection can write next.
#[derive(Debug)]
pub(crate) enum Output {
    Chunk(Bytes),
    End,
    Aborted,
    Pending,
}

impl Exchange {
    /// Asks for the first piece of the body before the application does.
    pub(crate) fn prefetch(&self) {
        self.lock().body_wanted = true;
    }

    pub(crate) fn wants_body(&self) -> bool {
        self.lock().body_wanted
    }

    /// Whether the application itself waits for body bytes now.
    pub(crate) fn app_waits_for_body(&self) -> bool {
        let state = self.lock();
        state.body_waiter.is_some() && !state.request_ended
    }

    pub(crate) fn park_connection(&self, waker: &Waker) {
        let mut state = self.lock();
        match &state.connection {
            Some(known) if known.will_wake(waker) => {}
            _ => state.connection = Some(waker.clone()),
        }
    }

    /// Adds a piece of the body.
    pub(crate) fn push_body(&self, bytes: Bytes, last: bool) {
        if bytes.is_empty() && !last {
            return;
        }
        let mut state = self.lock();
        state.gathered += bytes.len();
        state.chunks.push(bytes);
        state.request_ended |= last;
        state.body_wanted = !last && state.gathered <= state.gather;
        let waiter = if state.body_wanted {
            None
        } else {
            state.body_waiter.take()
        };
        drop(state);
        wake(waiter);
    }

    /// The client sends no more. To an application that asks, it is gone; what is sent is still written.
    pub(crate) fn client_left(&self) {
        let mut state = self.lock();
        state.left = true;
        let waiter = state.body_waiter.take();
        drop(state);
        wake(waiter);
    }

    /// The client is gone, or has all of the response.
    pub(crate) fn disconnect(&self) {
        let mut state = self.lock();
        state.connection = None;
        state.disconnected |= !(state.ended && state.out.is_empty());
        state.out.clear();
        state.out_bytes = 0;
        let waiters = [state.body_waiter.take(), state.room_waiter.take()];
        drop(state);
        waiters.into_iter().for_each(wake);
    }

    /// The connection has sent all that this response may carry, though the application may still talk.
    pub(crate) fn discard_output(&self) {
        let mut state = self.lock();
        state.connection = None;
        state.discarding = true;
        state.out.clear();
        state.out_bytes = 0;
        let waiter = state.room_waiter.take();
        drop(state);
        wake(waiter);
    }

    /// Whether all that the response may carry has been taken, though the application is not done with it.
    pub(crate) fn waits_for_end(&self) -> bool {
        let state = self.lock();
        !state.ended && state.out.is_empty() && (state.bodyless || state.remaining == Some(0))
    }

    pub(crate) fn response_ended(&self) -> bool {
        self.lock().ended
    }

    /// The response's head, once its first body message has come.
    pub(crate) fn take_head(&self) -> Option<Response<()>> {
        let mut state = self.lock();
        if state.head_released {
            state.head.take()
        } else {
            None
        }
    }

    /// Whether there is a response's head to send.
    pub(crate) fn is_answered(&self) -> bool {
        self.lock().head_released
    }

    /// The next bytes to write.
    pub(crate) fn take_output(&self) -> Output {
        let mut state = self.lock();
        let Some(bytes) = state.out.pop() else {
            return match (state.aborted, state.ended) {
                (true, _) => Output::Aborted,
                (false, true) => Output::End,
                (false, false) => Output::Pending,
            };
        };
        state.out_bytes -= bytes.len();
        let waiter = if state.out_bytes <= self.write_buffer_bytes / 2 {
            state.room_waiter.take()
        } else {
            None
        };
        drop(state);
        wake(waiter);
        Output::Chunk(bytes)
    }

    /// Whether all bytes of a complete response have been taken.
    pub(crate) fn output_is_drained(&self) -> bool {
        let state = self.lock();
        state.ended && !state.aborted && state.out.is_empty()
    }

    /// Bytes left to write, where that is known.
    pub(crate) fn output_bytes(&self) -> Option<u64> {
        let state = self.lock();
        (state.ended && !state.aborted).then_some(state.out_bytes as u64)
    }
}
