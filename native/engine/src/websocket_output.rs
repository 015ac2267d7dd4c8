//! Frames on their way to the client.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tungstenite::protocol::frame::coding::OpCode;
use tungstenite::protocol::frame::FrameHeader;

/// Payloads below are copied together, so that many small messages are one write.
const COPY_BELOW: usize = 4096;

/// Pieces in one write.
const MAX_SLICES: usize = 16;

/// Bytes to write, in order: the queue, then the tail.
#[derive(Debug, Default)]
pub(crate) struct Output {
    queue: VecDeque<Bytes>,
    /// Small pieces, growing.
    tail: BytesMut,
    queue_bytes: usize,
}

impl Output {
    pub(crate) fn len(&self) -> usize {
        self.queue_bytes + self.tail.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.tail.is_empty()
    }

    /// Adds bytes that are frames already.
    pub(crate) fn push_copy(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Adds a message as one frame.
    pub(crate) fn push_frame(&mut self, opcode: OpCode, payload: Bytes) {
        let header = FrameHeader {
            opcode,
            ..FrameHeader::default()
        };
        let mut writer = (&mut self.tail).writer();
        header
            .format(payload.len() as u64, &mut writer)
            .expect("memory can be written to");
        if payload.len() < COPY_BELOW {
            self.tail.extend_from_slice(&payload);
        } else {
            self.end_tail();
            self.queue_bytes += payload.len();
            self.queue.push_back(payload);
        }
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.queue_bytes += self.tail.len();
            self.queue.push_back(self.tail.split().freeze());
        }
    }

    /// Writes; ready when nothing is left.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            self.end_tail();
            if self.queue.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut used = 0;
            for (slice, piece) in slices.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(piece);
                used += 1;
            }
            let stream = Pin::new(&mut *stream);
            let written = ready!(stream.poll_write_vectored(cx, &slices[..used]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.queue_bytes -= written;
        while let Some(first) = self.queue.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.queue.pop_front();
        }
    }
}
