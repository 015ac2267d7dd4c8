//! A warm-up inside a run: load of the same kind, which nothing counts.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod flows;
mod server;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastr_loadgen::{
    run, Abort, Arrivals, Control, EarlyEnd, Halt, LoadResult, Outcome, Pacing, Plan, Profile,
    Progress, Scenario, Stop, Target, Think,
};
use flows::{flow, logging_in, playing, scenario};
use server::{get, nobody, plan, Server, OK};

const WARM_UP: Duration = Duration::from_millis(60);

/// Nothing that counts has counted more than these.
fn only(result: &LoadResult, requests: u64) {
    assert_eq!(
        (result.requests, result.outcomes.total()),
        (requests, requests)
    );
    let ok = result.outcomes.of(Outcome::Ok);
    assert_eq!((result.histogram.len(), result.response.len()), (ok, ok));
    assert_eq!(result.bytes_received, ok * OK.len() as u64);
    let bins = result.series.bins.iter();
    assert_eq!(bins.map(|bin| bin.ok + bin.failed).sum::<u64>(), requests);
    let parts = result.per_request.iter();
    assert_eq!(parts.map(|one| one.ok + one.failed).sum::<u64>(), requests);
    assert!(result.lateness.len() <= requests);
}

#[test]
fn a_mix_is_exact_after_a_warm_up_too() {
    let server = Server::answering(OK);
    let mix = vec![flow("a", 5, &[0]), flow("b", 3, &[1]), flow("c", 1, &[2])];
    let requests = ["/a", "/b", "/c"].map(get).to_vec();
    let plan = Plan {
        warm_up: WARM_UP,
        ..playing(scenario(0, mix), requests, 4, 180)
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    only(&result, 180);
    let sent: Vec<u64> = result.per_request.iter().map(|one| one.ok).collect();
    assert_eq!(sent, [100, 60, 20]);
    let flows: Vec<u64> = result.flows.iter().map(|one| one.completed).collect();
    assert_eq!(flows, sent);
    assert!(server.requests() > 180);
    assert_eq!((result.connect.len(), result.reconnects), (4, 0));
}

#[test]
fn users_keep_what_they_hold() {
    let server = Server::guarded();
    let (_, requests) = logging_in();
    let scenario = Scenario {
        start: vec![0],
        ..scenario(1, vec![flow("use", 1, &[1, 1, 1])])
    };
    let plan = Plan {
        warm_up: WARM_UP,
        ..playing(scenario, requests, 3, 100)
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    only(&result, 100);
    assert_eq!(
        result.outcomes.of(Outcome::Ok),
        100,
        "{:?}",
        result.outcomes
    );
}

#[test]
fn a_schedule_begins_anew() {
    let server = Server::answering(OK);
    for arrivals in [Arrivals::Even, Arrivals::Poisson] {
        let plan = Plan {
            pacing: Pacing::Open {
                rate: Profile::constant(500.0),
                arrivals,
                most_queued: None,
            },
            stop: Stop::Duration(Duration::from_millis(200)),
            warm_up: WARM_UP,
            ..plan(3, 1)
        };
        let result = run(&server.target(), &plan, &mut ()).unwrap();
        let cold = Plan {
            warm_up: Duration::ZERO,
            ..plan
        };
        let without = run(&server.target(), &cold, &mut ()).unwrap();
        only(&result, without.requests);
        assert_eq!(result.scheduled, Some(result.requests));
        assert_eq!((result.unsent, result.dropped), (0, 0));
    }
}

#[test]
fn failures_of_a_warm_up_are_not_those_of_the_run() {
    let count = AtomicU64::new(0);
    let server = Server::start(move |peer| {
        while peer.request()? {
            // The first answers of a server that has just been started.
            match count.fetch_add(1, Ordering::SeqCst) < 4 {
                true => peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")?,
                false => peer.send(OK)?,
            }
        }
        Ok(())
    });
    let plan = Plan {
        warm_up: WARM_UP,
        ..plan(2, 50)
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    only(&result, 50);
    assert_eq!(result.outcomes.failed(), 0);
    assert!(result.outcomes.details().is_empty());
    assert!(result.outcomes.unexpected_statuses().is_empty());
}

#[test]
fn connections_of_a_warm_up_are_not_those_of_the_run_where_each_request_has_its_own() {
    let server = Server::answering(OK);
    let plan = Plan {
        keep_alive: false,
        warm_up: WARM_UP,
        ..plan(2, 20)
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    only(&result, 20);
    assert!(server.connections() > 20);
    assert_eq!(result.connect.len(), 20);
}

#[test]
fn a_warm_up_cuts_flows_whose_users_pause_and_the_run_begins_anew() {
    let server = Server::answering(OK);
    let mut paused = flow("two", 1, &[0, 0]);
    paused.steps[1].pause = Think::Fixed(Duration::from_secs(30));
    let plan = Plan {
        warm_up: WARM_UP,
        stop: Stop::Duration(WARM_UP),
        ..playing(scenario(0, vec![paused]), vec![get("/")], 2, 1)
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert!(result.duration_ns < 15_000_000_000);
    only(&result, 2);
    assert_eq!((result.flows[0].completed, result.flows[0].cut), (0, 2));
    assert_eq!(server.requests(), 4);
}

#[test]
fn what_ends_a_warm_up_ends_the_run() {
    let server = Server::answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    let mut failing = plan(2, 1);
    failing.warm_up = Duration::from_secs(3_600);
    failing.abort = Some(Abort {
        error_rate: 0.5,
        grace: Duration::from_millis(50),
    });
    let result = run(&server.target(), &failing, &mut ()).unwrap();
    assert_eq!(result.ended_early, Some(EarlyEnd::ErrorRate));
    // The other user may have been waiting for its answer.
    let outcomes = &result.outcomes;
    let answered = outcomes.of(Outcome::UnexpectedStatus);
    let unfinished = outcomes.of(Outcome::Unfinished);
    assert!(answered > 0 && unfinished <= 1, "{outcomes:?}");
    assert_eq!(answered + unfinished, result.requests);
    assert!((answered..=result.requests).contains(&server.requests()));
}

#[test]
fn a_schedule_without_a_server_adds_up_when_it_ends_in_the_warm_up() {
    let target = Target {
        addr: nobody().into(),
        pids: Vec::new(),
    };
    let plan = Plan {
        pacing: Pacing::Open {
            rate: Profile::constant(200.0),
            arrivals: Arrivals::Even,
            most_queued: None,
        },
        stop: Stop::Duration(Duration::from_secs(3_600)),
        warm_up: Duration::from_secs(3_600),
        ..plan(2, 1)
    };
    let result = run(&target, &plan, &mut ()).unwrap();
    assert_eq!(result.ended_early, Some(EarlyEnd::Dead));
    assert_eq!(result.scheduled, Some(result.requests));
    assert_eq!(result.outcomes.of(Outcome::Unfinished), result.unsent);
}

/// Wants the result so far at the first look.
struct Enough;

impl Control for Enough {
    fn check(&mut self, _progress: &Progress) -> ControlFlow<Halt> {
        ControlFlow::Break(Halt::Keep)
    }
}

#[test]
fn a_run_that_is_halted_in_its_warm_up_has_nothing_to_show() {
    let server = Server::answering(OK);
    let plan = Plan {
        warm_up: Duration::from_secs(3_600),
        ..plan(2, 50)
    };
    let result = run(&server.target(), &plan, &mut Enough).unwrap();
    assert_eq!(result.ended_early, Some(EarlyEnd::Stopped));
    only(&result, 0);
    assert!(server.requests() > 0);
}
