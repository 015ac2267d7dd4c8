//! The driver of a stretch of load: hands requests out at the pacer's pace and keeps what comes of them.

use crate::batches::Batches;
use crate::clock::as_ns;
use crate::driver::{Driver, Exchange, Next};
use crate::outcome::{Outcome, Outcomes};
use crate::pacer::Pacer;
use crate::plan::{Abort, Plan, Stop};
use crate::play::Play;
use crate::recorder::Recorder;
use crate::request::Request;
use crate::response::Sink;
use crate::scenario::Scenario;
use crate::series::SeriesRecorder;
use crate::users::Users;

/// After so many refused attempts of each connection, without an answer in between, the server counts as dead.
const ATTEMPTS_PER_CONNECTION: usize = 3;

/// Why a run ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyEnd {
    /// No connection could be made any more.
    Dead,
    /// More requests failed than the plan allows.
    ErrorRate,
    /// Its [`crate::Control`] wanted the result so far.
    Stopped,
}

impl EarlyEnd {
    /// The name in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::ErrorRate => "error_rate",
            Self::Stopped => "stopped",
        }
    }
}

/// What became of one request of the plan.
#[derive(Clone, Debug)]
pub struct RequestResult {
    /// The request's name.
    pub name: String,
    /// Service times of those that went well.
    pub histogram: Recorder,
    /// Response times, as in [`crate::LoadResult::response`].
    pub response: Recorder,
    /// How many went well.
    pub ok: u64,
    /// How many failed.
    pub failed: u64,
    /// What became of them.
    pub outcomes: Outcomes,
}

/// Up to when requests are handed out.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Until(u64),
    Left(u64),
}

impl Limit {
    fn of(stop: Stop, now_ns: u64) -> Self {
        match stop {
            Stop::Duration(duration) => Self::Until(now_ns.saturating_add(as_ns(duration))),
            Stop::Requests(requests) => Self::Left(requests),
            Stop::Precise { max, .. } => Self::Until(now_ns.saturating_add(as_ns(max))),
        }
    }

    /// Whether a request due then may be sent; if so it is taken.
    fn take(&mut self, due_ns: u64) -> bool {
        match self {
            Self::Until(end_ns) => due_ns < *end_ns,
            Self::Left(0) => false,
            Self::Left(left) => {
                *left -= 1;
                true
            }
        }
    }

    fn end_ns(self) -> u64 {
        match self {
            Self::Until(end_ns) => end_ns,
            Self::Left(_) => u64::MAX,
        }
    }
}

/// Keeps every connection busy, at the pacer's pace, as long as the limit lets it.
pub(crate) struct Shaped<'p> {
    pub(crate) pacer: Box<dyn Pacer + 'p>,
    /// Whether latency counts from a schedule.
    is_open: bool,
    limit: Limit,
    pub(crate) started_ns: u64,
    drain_ns: u64,
    abort: Option<Abort>,
    pub(crate) play: Play<'p>,
    /// What is to be known, and how precisely, for the run to end.
    batches: Option<(Batches, f64)>,
    /// It is known so precisely.
    known: Option<f64>,
    pub(crate) per_request: Vec<RequestResult>,
    pub(crate) outcomes: Outcomes,
    pub(crate) connect: Recorder,
    pub(crate) lateness: Recorder,
    pub(crate) series: SeriesRecorder,
    pub(crate) most_queued: u64,
    pub(crate) unsent: u64,
    /// How many requests were due in all. None: there is no schedule, or no end of it.
    pub(crate) scheduled: Option<u64>,
    pub(crate) ended_early: Option<EarlyEnd>,
    /// Failed attempts to connect since the last answer, and how many are too many.
    refused: usize,
    most_refused: usize,
}

impl<'p> Shaped<'p> {
    pub(crate) fn new(plan: &Plan, scenario: &'p Scenario, pacer: Box<dyn Pacer + 'p>) -> Self {
        let of_request = |request: &Request| RequestResult {
            name: request.name.clone(),
            histogram: Recorder::new(),
            response: Recorder::new(),
            ok: 0,
            failed: 0,
            outcomes: Outcomes::default(),
        };
        Self {
            pacer,
            is_open: plan.pacing.is_open(),
            limit: Limit::Left(0),
            started_ns: 0,
            drain_ns: as_ns(plan.drain),
            abort: plan.abort,
            play: Play::new(scenario, plan.connections, plan.seed),
            batches: match plan.stop {
                Stop::Precise {
                    measured, within, ..
                } => Some((Batches::new(measured), within)),
                _ => None,
            },
            known: None,
            per_request: plan.requests.iter().map(of_request).collect(),
            outcomes: Outcomes::default(),
            connect: Recorder::new(),
            lateness: Recorder::new(),
            series: SeriesRecorder::default(),
            most_queued: 0,
            unsent: 0,
            scheduled: None,
            ended_early: None,
            refused: 0,
            most_refused: plan.connections.saturating_mul(ATTEMPTS_PER_CONNECTION),
        }
    }

    /// Nothing has come of the load so far. Users are where they are, and connections that stay took as long as they took.
    pub(crate) fn forget(&mut self, plan: &'p Plan) {
        let pacer = plan.pacing.pacer(plan.connections, plan.seed);
        let fresh = Self::new(plan, self.play.scenario(), pacer);
        let old = std::mem::replace(self, fresh);
        self.play = old.play;
        self.play.forget();
        if plan.keep_alive {
            self.connect = old.connect;
        }
    }

    /// The load starts now.
    pub(crate) fn begin(&mut self, stop: Stop, now_ns: u64) {
        self.limit = Limit::of(stop, now_ns);
        self.started_ns = now_ns;
        self.pacer.begin(now_ns, self.limit.end_ns());
    }

    /// The load is over: what was due and never sent is unfinished too.
    pub(crate) fn end(&mut self, now_ns: u64) {
        self.play.cut_all();
        if !self.is_open || !matches!(self.limit, Limit::Until(_)) {
            return;
        }
        let end_ns = self.limit.end_ns().min(now_ns);
        self.scheduled = self.pacer.scheduled(end_ns);
        while let Some(due_ns) = self.pacer.next_due_ns(0, now_ns) {
            if due_ns >= end_ns {
                break;
            }
            self.unsent += 1;
            self.outcomes.count(Outcome::Unfinished, 0);
            let request = self.play.skip();
            let result = &mut self.per_request[request];
            result.failed += 1;
            result.outcomes.count(Outcome::Unfinished, 0);
            result.response.record(now_ns - due_ns);
        }
        // While all connections hang nobody asks for the next request, so that nobody looks at the queue.
        self.most_queued = self.most_queued.max(self.unsent);
    }

    /// Half the width of the 95 % interval of what was to be known, as a share of it. None: it was not asked for, or
    /// there is too little to tell.
    pub(crate) fn precision(&self) -> Option<f64> {
        self.known.or_else(|| self.batches.as_ref()?.0.precision())
    }

    /// Takes a good answer for what is to be known, and ends the load once it is. The precision is worked out only when
    /// a batch has ended.
    fn learn(&mut self, since_start_ns: u64, exchange: &Exchange) {
        let Some((batches, within)) = &mut self.batches else {
            return;
        };
        if batches.record(since_start_ns, exchange.response_ns) {
            self.known = batches.precision().filter(|known| known <= within);
        }
        if self.known.is_some() {
            self.limit = Limit::Until(exchange.ended_ns.min(self.limit.end_ns()));
        }
    }

    fn is_aborted(&self, now_ns: u64) -> bool {
        self.abort.is_some_and(|abort| {
            now_ns - self.started_ns >= as_ns(abort.grace)
                && self.outcomes.failed() as f64 > abort.error_rate * self.outcomes.total() as f64
        })
    }
}

impl Sink for Shaped<'_> {}

impl Driver for Shaped<'_> {
    fn next(&mut self, connection: usize, now_ns: u64, users: &mut Users<'_>) -> Next {
        if self.ended_early.is_some() {
            return Next::Rest;
        }
        if let Some((request, pause_ns)) = self.play.next_step(connection) {
            let due_ns = now_ns.saturating_add(pause_ns);
            // On a schedule, what has begun goes on while the end is waited for, unless the user takes a break.
            let goes_on = self.is_open && pause_ns == 0 && matches!(self.limit, Limit::Until(_));
            if goes_on || self.limit.take(due_ns) {
                return Next::Send { request, due_ns };
            }
            self.play.cut(connection);
            if !self.is_open {
                return Next::Rest;
            }
        }
        let next_ns = self.pacer.next_due_ns(connection, now_ns);
        if self.is_open {
            let taken = next_ns.is_some_and(|due_ns| due_ns <= now_ns);
            let waiting = self.pacer.queued(now_ns, self.limit.end_ns());
            self.most_queued = self.most_queued.max(waiting + u64::from(taken));
        }
        match next_ns {
            Some(due_ns) if self.limit.take(due_ns) => {
                let request = self.play.begin(connection, users);
                Next::Send { request, due_ns }
            }
            _ => Next::Rest,
        }
    }

    fn done(&mut self, exchange: &Exchange) {
        let is_good = exchange.outcome == Outcome::Ok;
        self.play.over(exchange.connection, is_good);
        self.outcomes.take(exchange);
        let is_unsent = exchange.outcome == Outcome::Unfinished && exchange.latency_ns == 0;
        self.unsent += u64::from(self.is_open && is_unsent);
        let result = &mut self.per_request[exchange.request];
        result.outcomes.take(exchange);
        if is_good {
            result.ok += 1;
            result.histogram.record(exchange.latency_ns);
        } else {
            result.failed += 1;
        }
        if matches!(
            exchange.outcome,
            Outcome::Ok | Outcome::Timeout | Outcome::Unfinished
        ) {
            result.response.record(exchange.response_ns);
        }
        let since_start_ns = exchange.ended_ns.saturating_sub(self.started_ns);
        self.series
            .record(since_start_ns, is_good.then_some(exchange.response_ns));
        if is_good && self.known.is_none() {
            self.learn(since_start_ns, exchange);
        }
        match exchange.outcome.is_connect_failure() {
            true => self.refused += 1,
            false => self.refused = 0,
        }
        if self.refused >= self.most_refused {
            self.ended_early = Some(EarlyEnd::Dead);
        } else if !is_good && self.ended_early.is_none() && self.is_aborted(exchange.ended_ns) {
            self.ended_early = Some(EarlyEnd::ErrorRate);
        }
    }

    fn connected(&mut self, took_ns: u64) {
        self.connect.record(took_ns);
    }

    fn woke(&mut self, late_ns: u64) {
        self.lateness.record(late_ns);
    }

    fn cut_ns(&self) -> Option<u64> {
        self.known.map(|_| self.limit.end_ns())
    }

    fn gives_up(&self, now_ns: u64) -> bool {
        self.ended_early.is_some() || now_ns > self.limit.end_ns().saturating_add(self.drain_ns)
    }

    fn forgets(&self, due_ns: u64, is_sent: bool, now_ns: u64) -> bool {
        if due_ns > now_ns {
            return true;
        }
        // In a closed loop nobody waits: whoever stopped the run ended what was in flight, and a user whose
        // connection was refused would only have tried again.
        let is_stopped = self.ended_early == Some(EarlyEnd::Stopped);
        !self.is_open && (is_stopped || (!is_sent && self.ended_early.is_some()))
    }

    fn latest_ns(&self) -> Option<(u64, u64)> {
        self.series.latest_ns()
    }
}
