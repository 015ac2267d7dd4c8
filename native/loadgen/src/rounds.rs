//! Rounds: one request on each connection, and waiting for all answers. Slices are made of them.

use crate::driver::{Driver, Exchange, Next};
use crate::outcome::{Outcome, Outcomes};
use crate::response::Sink;
use crate::users::Users;

/// What happened in one slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SliceTotals {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
}

/// Lets each connection send once a round. One that failed takes no part in the rest of the slice: it would
/// have to be opened again in measured time.
pub(crate) struct Rounds {
    requests: usize,
    next_request: usize,
    /// By connection: it has sent in this round.
    has_sent: Vec<bool>,
    /// By connection: it has failed in this slice.
    has_failed: Vec<bool>,
    pub(crate) slice: SliceTotals,
    pub(crate) outcomes: Outcomes,
    /// Response times since they were last taken. Sorted into histograms outside of measured time.
    pub(crate) latencies_ns: Vec<u64>,
}

impl Rounds {
    pub(crate) fn new(requests: usize, connections: usize) -> Self {
        Self {
            requests,
            next_request: 0,
            has_sent: vec![false; connections],
            has_failed: vec![false; connections],
            slice: SliceTotals::default(),
            outcomes: Outcomes::default(),
            latencies_ns: Vec::with_capacity(4096),
        }
    }

    pub(crate) fn begin_slice(&mut self) {
        self.slice = SliceTotals::default();
        self.has_failed.fill(false);
    }

    pub(crate) fn begin_round(&mut self) {
        self.has_sent.fill(false);
    }

    /// Whether no connection is left for another round.
    pub(crate) fn is_over(&self) -> bool {
        self.has_failed.iter().all(|&failed| failed)
    }
}

impl Sink for Rounds {}

impl Driver for Rounds {
    fn next(&mut self, connection: usize, now_ns: u64, _users: &mut Users<'_>) -> Next {
        let sent = std::mem::replace(&mut self.has_sent[connection], true);
        if sent || self.has_failed[connection] {
            return Next::Rest;
        }
        let request = self.next_request;
        self.next_request = (request + 1) % self.requests;
        Next::Send {
            request,
            due_ns: now_ns,
        }
    }

    fn done(&mut self, exchange: &Exchange) {
        self.outcomes.take(exchange);
        if exchange.outcome == Outcome::Ok {
            self.slice.ok += 1;
            self.latencies_ns.push(exchange.latency_ns);
        } else {
            self.slice.failed += 1;
            self.has_failed[exchange.connection] = true;
        }
    }
}
