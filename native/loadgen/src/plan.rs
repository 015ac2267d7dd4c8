//! What a run is to do: values, checked once before anything is opened.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use fastr_stats::Side;

use crate::error::LoadError;
use crate::pacer::Pacing;
use crate::request::Request;

/// The server under load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub addr: Address,
    /// The roots of its process tree, whose CPU time and memory are read. May be empty: then neither is known.
    pub pids: Vec<i32>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket of this path.
    Unix(PathBuf),
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr)
    }
}

/// When a stretch of load ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No request is sent any more after this time; those in flight are waited for.
    Duration(Duration),
    /// After exactly this many requests, failed ones included.
    Requests(u64),
}

/// One stretch of load on one server.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is sent, in turn.
    pub requests: Vec<Request>,
    /// When it is sent.
    pub pacing: Pacing,
    /// How many connections are open; in a closed loop, how many users there are at most.
    pub connections: usize,
    /// `false`: a new connection for each request. The request bytes should then ask for `Connection: close`.
    pub keep_alive: bool,
    /// When it ends.
    pub stop: Stop,
    /// When too many errors end it before.
    pub abort: Option<Abort>,
    /// How long an answer may take. Kept to within 0.1 s.
    pub request_timeout: Duration,
    /// How long a connection may take to open. Kept to within 0.1 s.
    pub connect_timeout: Duration,
    /// How long the end of a run by time waits for what is due and not over; what is not over then is
    /// [`crate::Outcome::Unfinished`].
    pub drain: Duration,
    /// Seed of everything that is left to chance: arrivals, think times.
    pub seed: u64,
}

/// A share of errors that ends a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Abort {
    /// More than this share of all requests so far, 0 to 1.
    pub error_rate: f64,
    /// Not before this time has passed.
    pub grace: Duration,
}

/// How long to warm a server up: until its throughput is steady, within these bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// The length of a window; throughput is compared window by window.
    pub window: Duration,
    /// How many windows there are at least.
    pub min_windows: usize,
    /// After this time it ends, steady or not.
    pub max: Duration,
}

/// Two servers under load in turn: blocks of short slices until the load time is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairedPlan {
    /// What is sent to A and to B: a reference app may be asked another path.
    pub requests: [Vec<Request>; 2],
    /// How many connections each side has before `max_round` cuts them.
    pub connections: [usize; 2],
    /// The load time of each side, so that both together get twice this. It is shared as the
    /// slices need it: where a round of one server takes longer than a slice, that side gets more.
    pub per_side: Duration,
    /// A slice lasts at least this long (2 ms), in whole rounds.
    pub min_slice: Duration,
    /// Connections are halved until a round takes at most this long (20 ms). Sides that ask for the
    /// same number keep the same number, because the operating point belongs to what is compared.
    pub max_round: Duration,
    /// Which of the cores that the caller may use is shared by the generator and both servers, by turns; None: none is.
    pub core_turn: Option<usize>,
    /// Seed of the coins that choose ABBA or BAAB.
    pub seed: u64,
    /// How many histogram chunks the run is divided into (8).
    pub chunks: usize,
    /// How long an answer may take. Kept to within 0.1 s.
    pub request_timeout: Duration,
    /// How long a connection may take to open. Kept to within 0.1 s.
    pub connect_timeout: Duration,
}

impl Plan {
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        check_requests(&self.requests, None)?;
        check_connections(self.connections, None)?;
        self.pacing.check()?;
        if let Some(Abort { error_rate, .. }) = self.abort {
            if !(0.0..=1.0).contains(&error_rate) {
                return Err(LoadError::OutOfRange {
                    what: "the error rate that ends a run",
                    value: error_rate,
                });
            }
        }
        match self.stop {
            Stop::Duration(duration) => check_time(duration, "the duration")?,
            Stop::Requests(0) => return Err(LoadError::NothingToDo("the number of requests")),
            Stop::Requests(_) => {}
        }
        check_time(self.request_timeout, "the request timeout")?;
        check_time(self.connect_timeout, "the connect timeout")
    }
}

impl WarmUp {
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        check_time(self.window, "the warm-up window")?;
        check_time(self.max, "the longest warm-up")
    }
}

impl PairedPlan {
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        for side in [Side::A, Side::B] {
            check_requests(&self.requests[side as usize], Some(side))?;
            check_connections(self.connections[side as usize], Some(side))?;
        }
        if self.chunks == 0 {
            return Err(LoadError::NothingToDo("the number of chunks"));
        }
        check_time(self.per_side, "the load time of a side")?;
        check_time(self.request_timeout, "the request timeout")?;
        check_time(self.connect_timeout, "the connect timeout")
    }
}

fn check_requests(requests: &[Request], side: Option<Side>) -> Result<(), LoadError> {
    if requests.is_empty() {
        return Err(LoadError::NoRequests(side));
    }
    match requests.iter().find(|request| request.bytes.is_empty()) {
        Some(empty) => Err(LoadError::EmptyRequest(empty.name.clone())),
        None => Ok(()),
    }
}

fn check_connections(connections: usize, side: Option<Side>) -> Result<(), LoadError> {
    match connections {
        0 => Err(LoadError::NoConnections(side)),
        _ => Ok(()),
    }
}

fn check_time(time: Duration, what: &'static str) -> Result<(), LoadError> {
    match time {
        Duration::ZERO => Err(LoadError::NothingToDo(what)),
        _ => Ok(()),
    }
}
