//! What users do before the load begins: each sends the scenario's start requests once. Nothing counts them.

use crate::driver::{Driver, Exchange, Next};
use crate::error::LoadError;
use crate::outcome::Outcome;
use crate::recorder::Recorder;
use crate::request::Request;
use crate::response::Sink;
use crate::users::Users;

/// Lets every user send the same requests, one after another.
pub(crate) struct Start<'p> {
    requests: &'p [Request],
    steps: &'p [usize],
    /// By connection: how many are over.
    done: Vec<usize>,
    failed: Option<LoadError>,
    /// How long connections took to open.
    connect: Recorder,
}

impl<'p> Start<'p> {
    pub(crate) fn new(requests: &'p [Request], steps: &'p [usize], connections: usize) -> Self {
        Self {
            requests,
            steps,
            done: vec![0; connections],
            failed: None,
            connect: Recorder::new(),
        }
    }

    /// How long connections took to open, or the first failure.
    pub(crate) fn finish(self) -> Result<Recorder, LoadError> {
        self.failed.map_or(Ok(self.connect), Err)
    }
}

impl Sink for Start<'_> {}

impl Driver for Start<'_> {
    fn next(&mut self, connection: usize, now_ns: u64, _users: &mut Users<'_>) -> Next {
        match self.steps.get(self.done[connection]) {
            Some(&request) if self.failed.is_none() => Next::Send {
                request,
                due_ns: now_ns,
            },
            _ => Next::Rest,
        }
    }

    fn done(&mut self, exchange: &Exchange) {
        if exchange.outcome == Outcome::Ok {
            self.done[exchange.connection] += 1;
        } else if self.failed.is_none() {
            let request = &self.requests[exchange.request];
            self.failed = Some(LoadError::StartFailed {
                request: request.name.clone(),
                reason: exchange.explain(request.expect),
            });
        }
    }

    fn connected(&mut self, took_ns: u64) {
        self.connect.record(took_ns);
    }

    fn counts(&self) -> bool {
        false
    }

    fn gives_up(&self, _now_ns: u64) -> bool {
        self.failed.is_some()
    }
}
