//! One request, looked at closely: what a smoke test sends.

use std::time::Duration;

use crate::clock::Clock;
use crate::control::{Control, Phase, Ticker};
use crate::driver::{Driver, Exchange, Next};
use crate::error::LoadError;
use crate::outcome::Outcome;
use crate::plan::{check_requests, Address};
use crate::pool::Settings;
use crate::reactor::Reactor;
use crate::request::{Expect, Request};
use crate::response::Sink;
use crate::scenario::Scenario;
use crate::users::Users;

/// What came of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceResult {
    /// What became of it.
    pub outcome: Outcome,
    /// The status, when a head came.
    pub status: Option<u16>,
    /// The response headers, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The decoded body, as far as it was to be kept.
    pub body: Vec<u8>,
    /// The length of the whole decoded body.
    pub body_bytes: u64,
    /// From the start of writing to the last byte read.
    pub latency_ns: u64,
    /// What went wrong, for a person; empty when nothing did.
    pub detail: String,
}

/// Sends one request on a connection of its own. `timeout` bounds connecting and answering, each; of the body at most
/// `keep_body` bytes are kept.
pub fn once(
    addr: impl Into<Address>,
    request: &Request,
    timeout: Duration,
    keep_body: usize,
    control: &mut dyn Control,
) -> Result<OnceResult, LoadError> {
    let requests = std::slice::from_ref(request);
    check_requests(requests, None)?;
    Scenario::in_turn(requests).check(requests)?;
    let settings = Settings {
        keep_alive: false,
        request_timeout: timeout,
        connect_timeout: timeout,
    };
    let mut ticker = Ticker::new(control, Phase::Stretch, 0);
    let mut reactor = Reactor::new(addr.into(), requests, settings, Clock::start())?;
    reactor.pool.resize(1);
    let mut single = Single {
        expect: request.expect,
        keep_body,
        sent: false,
        result: OnceResult {
            outcome: Outcome::Timeout,
            status: None,
            headers: Vec::new(),
            body: Vec::new(),
            body_bytes: 0,
            latency_ns: 0,
            detail: String::new(),
        },
    };
    reactor.drive(&mut single, &mut ticker)?;
    Ok(single.result)
}

/// Sends one request and keeps everything.
struct Single {
    expect: Expect,
    keep_body: usize,
    sent: bool,
    result: OnceResult,
}

impl Sink for Single {
    fn wants_heads(&self) -> bool {
        true
    }

    fn head(&mut self, status: u16, headers: &[httparse::Header<'_>]) {
        self.result.status = Some(status);
        self.result.headers = headers
            .iter()
            .map(|header| (header.name.to_owned(), header.value.to_vec()))
            .collect();
    }

    fn body(&mut self, bytes: &[u8]) {
        let room = self.keep_body.saturating_sub(self.result.body.len());
        let kept = &bytes[..bytes.len().min(room)];
        self.result.body.extend_from_slice(kept);
        self.result.body_bytes += bytes.len() as u64;
    }
}

impl Driver for Single {
    fn next(&mut self, _connection: usize, now_ns: u64, _users: &mut Users<'_>) -> Next {
        if std::mem::replace(&mut self.sent, true) {
            return Next::Rest;
        }
        Next::Send {
            request: 0,
            due_ns: now_ns,
        }
    }

    fn done(&mut self, exchange: &Exchange) {
        self.result.outcome = exchange.outcome;
        self.result.latency_ns = exchange.latency_ns;
        self.result.detail = exchange.explain(self.expect);
    }
}
