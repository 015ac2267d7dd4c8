//! The face between the send loop and a kind of run.
//!
//! [`crate::pool`] writes, reads and reconnects; a [`Driver`] says what each free connection does next and
//! takes note of what became of it. Stretches, rounds and the single request of a smoke test differ in nothing else.

use std::fmt;
use std::io;

use crate::outcome::Outcome;
use crate::response::{ProtocolFault, Sink};

/// What a free connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It sends the request of this index, when it is due.
    Send { request: usize, due_ns: u64 },
    /// It has nothing to do in this drive.
    Rest,
}

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) connection: usize,
    pub(crate) request: usize,
    pub(crate) outcome: Outcome,
    /// 0 when there is no whole answer.
    pub(crate) status: u16,
    /// Service time: from the start of writing to the last byte read, 0 when nothing was written.
    pub(crate) latency_ns: u64,
    /// Response time: from when it was due.
    pub(crate) response_ns: u64,
    /// When it was over.
    pub(crate) ended_ns: u64,
    pub(crate) fault: Fault,
}

/// The reason behind an outcome, for those who look at a single request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    System {
        kind: io::ErrorKind,
        code: Option<i32>,
    },
    Protocol(ProtocolFault),
}

/// One kind of run.
pub(crate) trait Driver: Sink {
    /// A connection is free.
    fn next(&mut self, connection: usize, now_ns: u64) -> Next;

    /// A request is over.
    fn done(&mut self, exchange: &Exchange);

    /// A connection was opened.
    fn connected(&mut self, _took_ns: u64) {}

    /// A request that had to wait for its due time is started so much later than that.
    fn woke(&mut self, _late_ns: u64) {}

    /// Whether what is not over by now is not waited for.
    fn gives_up(&self, _now_ns: u64) -> bool {
        false
    }

    /// Whether a request due then, which was not sent before the driver gave up, does not count at all.
    fn forgets(&self, due_ns: u64, now_ns: u64) -> bool {
        due_ns > now_ns
    }
}

impl Fault {
    pub(crate) fn of(error: &io::Error) -> Self {
        Self::System {
            kind: error.kind(),
            code: error.raw_os_error(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::System {
                code: Some(code), ..
            } => io::Error::from_raw_os_error(*code).fmt(f),
            Self::System { kind, .. } => kind.fmt(f),
            Self::Protocol(fault) => fault.fmt(f),
        }
    }
}
