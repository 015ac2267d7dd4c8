//! The face between the send loop and a kind of run.
//!
//! [`crate::pool`] writes, reads and reconnects; a [`Driver`] says what each free connection does next and
//! takes note of what became of it. Stretches, rounds and the single request of a smoke test differ in nothing else.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::outcome::Outcome;
use crate::request::Expect;
use crate::response::{ProtocolFault, Sink};
use crate::users::Users;

/// What a free connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It sends the request of this index, when it is due.
    Send { request: usize, due_ns: u64 },
    /// It has nothing to do in this drive.
    Rest,
}

/// What became of one request.
#[derive(Clone, Debug)]
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

/// The reason behind an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Our time limit.
    After(Duration),
    /// What the system or TLS said.
    Socket(String),
    Protocol(ProtocolFault),
    /// What should have held of the answer.
    Check(String),
}

/// One kind of run.
pub(crate) trait Driver: Sink {
    /// A connection is free. `users` hold the values that its request may need.
    fn next(&mut self, connection: usize, now_ns: u64, users: &mut Users<'_>) -> Next;

    /// A request is over.
    fn done(&mut self, exchange: &Exchange);

    /// A connection was opened.
    fn connected(&mut self, _took_ns: u64) {}

    /// A request that had to wait for its due time is started so much later than that.
    fn woke(&mut self, _late_ns: u64) {}

    /// Whether its requests are part of the progress that is shown.
    fn counts(&self) -> bool {
        true
    }

    /// From when on what is due is not wanted any more, though it was handed out. None: all is.
    fn cut_ns(&self) -> Option<u64> {
        None
    }

    /// Whether what is not over by now is not waited for.
    fn gives_up(&self, _now_ns: u64) -> bool {
        false
    }

    /// Whether a request that was due then, and is not over when the driver gives up, does not count at all.
    fn forgets(&self, due_ns: u64, _is_sent: bool, now_ns: u64) -> bool {
        due_ns > now_ns
    }

    /// Response times of the last second, for those who watch: the median and the 99th percentile.
    fn latest_ns(&self) -> Option<(u64, u64)> {
        None
    }
}

impl Exchange {
    /// What went wrong, for a person; empty when nothing did.
    pub(crate) fn explain(&self, expect: Expect) -> String {
        match (self.outcome, &self.fault) {
            (Outcome::Ok, _) => String::new(),
            (Outcome::UnexpectedStatus, _) => expect.explain(self.status),
            (Outcome::Timeout, Fault::After(limit)) => format!("no whole answer within {limit:?}"),
            (Outcome::ConnectTimeout, Fault::After(limit)) => {
                format!("not connected within {limit:?}")
            }
            (Outcome::Eof, _) => {
                "the server closed the connection before its answer was whole".to_owned()
            }
            (_, fault) => fault.to_string(),
        }
    }
}

impl Fault {
    pub(crate) fn of(error: &io::Error) -> Self {
        Self::Socket(error.to_string())
    }

    /// The name under which failures of the same outcome are told apart. None: they need not be.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::None | Self::After(_) => None,
            Self::Socket(words) | Self::Check(words) => Some(words),
            Self::Protocol(fault) => Some(fault.as_str()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::After(limit) => write!(f, "not within {limit:?}"),
            Self::Socket(words) => f.write_str(words),
            Self::Protocol(fault) => fault.fmt(f),
            Self::Check(words) => write!(f, "this does not hold: {words}"),
        }
    }
}
