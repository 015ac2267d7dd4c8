//! One connection: its socket, the request it carries, and how far the answer has come.
//!
//! The state machine alone, without an event loop: [`crate::pool`] tells it when it may write or read, and acts on
//! the [`Step`] that comes back.

use std::io::{self, Read, Write};

use crate::driver::Fault;
use crate::outcome::Outcome;
use crate::response::{Answer, ProtocolFault, ResponseReader, Sink};
use crate::tls::is_tls_error;
use crate::transport::Stream;

/// Full reads in a row before other connections get their turn.
const READS_IN_A_ROW: usize = 16;

/// What the socket is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There is none.
    Closed,
    /// It is being connected.
    Opening,
    /// Connected, nothing in flight.
    Idle,
    /// A request is in flight.
    Busy,
}

/// The request that a connection carries, from the moment the driver hands it out until it is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) request: usize,
    pub(crate) written: usize,
    /// When it should be sent.
    pub(crate) due_ns: u64,
    /// 0 until it is written.
    pub(crate) sent_ns: u64,
    /// It was sent once before, on a connection that the server had closed meanwhile.
    pub(crate) retried: bool,
}

/// One connection of a pool. It stays when its socket is replaced.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Option<Stream>,
    pub(crate) state: State,
    pub(crate) job: Option<Job>,
    pub(crate) reader: ResponseReader,
    /// The bytes of the request, where they were put together for it.
    pub(crate) out: Vec<u8>,
    /// They are in `out`.
    pub(crate) is_rendered: bool,
    /// How many bytes the request has.
    pub(crate) len: usize,
    pub(crate) opened_ns: u64,
    /// Answers on this socket.
    pub(crate) served: u64,
    /// Requests that are over, on all its sockets.
    pub(crate) requests: u64,
    /// It is listed as having more to read.
    pub(crate) is_unread: bool,
    /// The server closed the last socket without failing a request.
    pub(crate) lost: bool,
}

/// What came of writing or reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next event goes on.
    Pending,
    /// There is more to read, but others have to have a turn.
    Unread,
    /// A whole answer. `closes`: the socket can't be used again.
    Answered { answer: Answer, closes: bool },
    /// The socket is of no use any more, and the answer not whole.
    Broken { outcome: Outcome, fault: Fault },
}

/// What came of reading: how many bytes, and what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) bytes: u64,
    pub(crate) step: Step,
}

impl Connection {
    pub(crate) fn new() -> Self {
        Self {
            stream: None,
            state: State::Closed,
            job: None,
            reader: ResponseReader::new(),
            out: Vec::new(),
            is_rendered: false,
            len: 0,
            opened_ns: 0,
            served: 0,
            requests: 0,
            is_unread: false,
            lost: false,
        }
    }

    /// Drops the socket. `lost`: the server had closed it in peace.
    pub(crate) fn close(&mut self, lost: bool) {
        self.stream = None;
        self.state = State::Closed;
        self.served = 0;
        self.lost = lost;
    }

    /// Whether a broken request may have met a socket that the server had closed while it was idle: then nothing is
    /// wrong, and it is sent once more. Only one that may be sent twice is, for the server may have seen it.
    pub(crate) fn may_retry(&self, outcome: Outcome, is_idempotent: bool) -> bool {
        matches!(outcome, Outcome::Eof | Outcome::Reset)
            && is_idempotent
            && self.served > 0
            && !self.reader.has_started()
            && self.job.is_some_and(|job| !job.retried)
    }

    /// Writes what is left of the request.
    pub(crate) fn write(&mut self, fixed: &[u8]) -> Step {
        let (Some(stream), Some(job)) = (self.stream.as_mut(), self.job.as_mut()) else {
            return Step::Pending;
        };
        let request = match self.is_rendered {
            true => &self.out,
            false => fixed,
        };
        self.len = request.len();
        while job.written < request.len() {
            match stream.write(&request[job.written..]) {
                Ok(0) => return broken(Outcome::Reset, Fault::None),
                Ok(written) => job.written += written,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Step::Pending,
                    io::ErrorKind::Interrupted => {}
                    _ => return broken_by(&error),
                },
            }
        }
        match stream.flush() {
            Ok(()) => Step::Pending,
            Err(error) => broken_by(&error),
        }
    }

    /// Reads what is there. `ended`: the event has told that the server closed its side.
    ///
    /// With edge-triggered events a read that does not fill the buffer has emptied the socket, so that it is not
    /// tried again; only the end of the stream would be missed, which is what `ended` is for.
    pub(crate) fn read<K: Sink>(&mut self, buffer: &mut [u8], ended: bool, sink: &mut K) -> Got {
        let mut bytes = 0;
        for _ in 0..READS_IN_A_ROW {
            let Some(stream) = self.stream.as_mut() else {
                return Got {
                    bytes,
                    step: Step::Pending,
                };
            };
            let step = match stream.read(buffer) {
                Ok(0) => self.at_end(sink),
                Ok(read) => {
                    bytes += read as u64;
                    let has_more = read == buffer.len();
                    let ends = ended || stream.has_next();
                    let step = self.take(&buffer[..read], ends, sink);
                    if step == Step::Pending && (has_more || ends) {
                        continue;
                    }
                    step
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => Step::Pending,
                    io::ErrorKind::Interrupted => continue,
                    _ => broken_by(&error),
                },
            };
            return Got { bytes, step };
        }
        Got {
            bytes,
            step: Step::Unread,
        }
    }

    fn take<K: Sink>(&mut self, bytes: &[u8], ended: bool, sink: &mut K) -> Step {
        if self.state != State::Busy {
            // Bytes that answer nothing.
            return broken(
                Outcome::ProtocolError,
                Fault::Protocol(ProtocolFault::Surplus),
            );
        }
        match self.reader.read(bytes, sink) {
            Ok(Some(answer)) => Step::Answered {
                answer,
                closes: answer.closes || ended || self.job.is_none_or(|job| job.written < self.len),
            },
            Ok(None) => Step::Pending,
            Err(fault) => broken(Outcome::ProtocolError, Fault::Protocol(fault)),
        }
    }

    /// The server has closed its side.
    fn at_end<K: Sink>(&mut self, sink: &mut K) -> Step {
        if self.state != State::Busy {
            return broken(Outcome::Eof, Fault::None);
        }
        match self.reader.end(sink) {
            Ok(Some(answer)) => Step::Answered {
                answer,
                closes: true,
            },
            Ok(None) => broken(Outcome::Eof, Fault::None),
            Err(fault) => broken(Outcome::ProtocolError, Fault::Protocol(fault)),
        }
    }
}

fn broken(outcome: Outcome, fault: Fault) -> Step {
    Step::Broken { outcome, fault }
}

fn broken_by(error: &io::Error) -> Step {
    let outcome = match is_tls_error(error) {
        true => Outcome::TlsFailed,
        false => Outcome::Reset,
    };
    broken(outcome, Fault::of(error))
}

/// Why a connection could not be made.
pub(crate) fn connect_outcome(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::ConnectRefused,
        io::ErrorKind::TimedOut => Outcome::ConnectTimeout,
        _ if is_tls_error(error) => Outcome::TlsFailed,
        _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
            Outcome::FdExhausted
        }
        _ => Outcome::ConnectFailed,
    }
}
