//! What a run is to do: values, checked once before anything is opened.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use fastr_stats::Side;

use crate::error::LoadError;
use crate::pacer::Pacing;
use crate::request::Request;
use crate::scenario::Scenario;
use crate::tls::Tls;

/// The server under load.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub addr: Address,
    /// The roots of its process tree, whose CPU time and memory are read. May be empty: then neither is known.
    pub pids: Vec<i32>,
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket of this path.
    Unix(PathBuf),
    /// TCP, encrypted.
    Tls(SocketAddr, Tls),
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr)
    }
}

/// When a stretch of load ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// No request is sent any more after this time; those in flight are waited for.
    Duration(Duration),
    /// After exactly this many requests, failed ones included. A flow may be cut short by it.
    Requests(u64),
    /// When a value is known precisely enough, or the time is over.
    Precise {
        /// Which value.
        measured: Measured,
        /// Half the width of its 95 % interval, as a share of the value.
        within: f64,
        /// The longest time.
        max: Duration,
    },
}

/// A value whose precision can end a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measured {
    /// Good answers a second.
    Throughput,
    /// A quantile of the response times, 0 to 1.
    Quantile(f64),
}

/// One stretch of load on one server.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is sent.
    pub requests: Vec<Request>,
    /// Who sends which of them; None: they are sent in turn.
    pub scenario: Option<Scenario>,
    /// When it is sent; in an open loop, when flows begin.
    pub pacing: Pacing,
    /// How many connections are open; in a closed loop, how many users there are at most.
    pub connections: usize,
    /// `false`: a new connection for each request. The request bytes should then ask for `Connection: close`.
    pub keep_alive: bool,
    /// Load of the same kind before, which nothing counts.
    pub warm_up: Duration,
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
#[derive(Clone, Debug)]
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
    /// A closed loop on connections that stay open, without a warm-up. Answering, connecting and the end may each take
    /// as long as `timeout`.
    pub fn closed(
        requests: Vec<Request>,
        connections: usize,
        stop: Stop,
        timeout: Duration,
    ) -> Self {
        Self {
            requests,
            scenario: None,
            pacing: Pacing::closed(),
            connections,
            keep_alive: true,
            warm_up: Duration::ZERO,
            stop,
            abort: None,
            request_timeout: timeout,
            connect_timeout: timeout,
            drain: timeout,
            seed: 0,
        }
    }

    /// Who sends what.
    pub(crate) fn scenario(&self) -> Cow<'_, Scenario> {
        match &self.scenario {
            Some(scenario) => Cow::Borrowed(scenario),
            None => Cow::Owned(Scenario::in_turn(&self.requests)),
        }
    }

    pub(crate) fn check(&self) -> Result<(), LoadError> {
        check_requests(&self.requests, None)?;
        self.scenario().check(&self.requests)?;
        check_connections(self.connections, None)?;
        self.pacing.check()?;
        if let Some(Abort { error_rate, .. }) = self.abort {
            check_share(error_rate, "the error rate that ends a run")?;
        }
        match self.stop {
            Stop::Duration(duration) => check_time(duration, "the duration")?,
            Stop::Requests(0) => return Err(LoadError::NothingToDo("the number of requests")),
            Stop::Requests(_) => {}
            Stop::Precise {
                measured,
                within,
                max,
            } => {
                check_time(max, "the longest duration")?;
                check_share(within, "the wanted precision")?;
                if let Measured::Quantile(q) = measured {
                    check_share(q, "the quantile to be known")?;
                }
            }
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
            let requests = &self.requests[side as usize];
            check_requests(requests, Some(side))?;
            Scenario::in_turn(requests).check(requests)?;
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

pub(crate) fn check_requests(requests: &[Request], side: Option<Side>) -> Result<(), LoadError> {
    if requests.is_empty() {
        return Err(LoadError::NoRequests(side));
    }
    if requests
        .iter()
        .any(|request| request.timeout == Some(Duration::ZERO))
    {
        return Err(LoadError::NothingToDo("the timeout of a request"));
    }
    match requests
        .iter()
        .find(|request| request.first_bytes().is_empty())
    {
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

fn check_share(value: f64, what: &'static str) -> Result<(), LoadError> {
    match (0.0..=1.0).contains(&value) {
        true => Ok(()),
        false => Err(LoadError::OutOfRange { what, value }),
    }
}

fn check_time(time: Duration, what: &'static str) -> Result<(), LoadError> {
    match time {
        Duration::ZERO => Err(LoadError::NothingToDo(what)),
        _ => Ok(()),
    }
}
