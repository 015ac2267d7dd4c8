//! Runs that end when what they measure is known precisely enough.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod certs;
mod flows;
mod server;

use std::thread;
use std::time::Duration;

use certs::Authority;
use fastr_loadgen::{
    run, Arrivals, LoadError, Measured, Outcome, Pacing, Plan, Profile, Stop, Think,
};
use flows::{flow, scenario};
use server::{plan, Server, OK};

const SECOND: Duration = Duration::from_secs(1);
/// Sixteen batches of 100 ms are the fewest that tell anything.
const SHORTEST_NS: u64 = 1_600_000_000;

/// 500 requests a second until a value is known as well as this, or the time is over.
fn until(measured: Measured, within: f64, max: Duration) -> Plan {
    Plan {
        pacing: Pacing::Open {
            rate: Profile::constant(500.0),
            arrivals: Arrivals::Even,
            most_queued: None,
        },
        stop: Stop::Precise {
            measured,
            within,
            max,
        },
        ..plan(4, 1)
    }
}

fn delaying() -> Server {
    Server::start(|peer| {
        while peer.request()? {
            thread::sleep(Duration::from_millis(3));
            peer.send(OK)?;
        }
        Ok(())
    })
}

#[test]
fn an_even_server_is_known_long_before_the_longest_time() {
    let server = delaying();
    for measured in [Measured::Throughput, Measured::Quantile(0.5)] {
        let before = server.requests();
        let plan = until(measured, 0.25, 60 * SECOND);
        let result = run(&server.target(), &plan, &mut ()).unwrap();
        let precision = result.precision.unwrap();
        assert!(precision > 0.0 && precision <= 0.25, "{precision}");
        assert!((SHORTEST_NS..30_000_000_000).contains(&result.duration_ns));
        assert_eq!(result.ended_early, None);
        assert_eq!(result.scheduled, Some(result.requests));
        assert_eq!(result.outcomes.of(Outcome::Ok), server.requests() - before);
        assert_eq!((result.outcomes.failed(), result.unsent), (0, 0));
    }
}

#[test]
fn a_closed_loop_ends_too_when_it_is_known() {
    let server = delaying();
    let plan = Plan {
        pacing: Pacing::closed(),
        ..until(Measured::Throughput, 0.25, 60 * SECOND)
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert!(result.precision.unwrap() <= 0.25);
    assert!((SHORTEST_NS..30_000_000_000).contains(&result.duration_ns));
    assert_eq!(result.outcomes.of(Outcome::Ok), server.requests());
    assert_eq!(result.scheduled, None);
}

#[test]
fn what_does_not_become_known_ends_with_its_time() {
    let server = delaying();
    let impossible = until(Measured::Throughput, 0.0, 2 * SECOND);
    let result = run(&server.target(), &impossible, &mut ()).unwrap();
    assert_eq!((result.scheduled, result.requests), (Some(1_000), 1_000));
    assert!(result.precision.is_some_and(|known| known > 0.0));
    // Fewer than ten samples of each batch lie beyond the quantile.
    let rare = until(Measured::Quantile(0.99), 1.0, 2 * SECOND);
    let result = run(&server.target(), &rare, &mut ()).unwrap();
    assert_eq!((result.requests, result.precision), (1_000, None));
}

#[test]
fn failures_make_nothing_known() {
    let server = Server::answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    let plan = until(Measured::Throughput, 1.0, 2 * SECOND);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::UnexpectedStatus), 1_000);
    assert_eq!(result.precision, None);
}

#[test]
fn the_precision_that_ended_a_run_is_the_one_that_is_reported() {
    // One connection is held until long after the others are known well enough.
    let server = Server::start(|peer| {
        if peer.number == 0 && peer.request()? {
            thread::sleep(4 * SECOND);
            peer.send(OK)?;
        }
        while peer.request()? {
            peer.send(OK)?;
        }
        Ok(())
    });
    let plan = until(Measured::Throughput, 0.3, 60 * SECOND);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert!(result.duration_ns < 30_000_000_000);
    assert_eq!(result.outcomes.failed(), 0);
    let precision = result.precision.unwrap();
    assert!(
        precision <= 0.3,
        "it ended because of 0.3 and reports {precision}"
    );
}

#[test]
fn a_run_that_is_known_waits_for_nobody_s_pause() {
    const PAUSE: Duration = Duration::from_secs(12);
    let server = delaying();
    let mut rare = flow("rare", 1, &[0, 0]);
    rare.steps[1].pause = Think::Fixed(PAUSE);
    let flows = vec![flow("often", 400, &[0]), rare];
    let plan = Plan {
        pacing: Pacing::closed(),
        scenario: Some(scenario(0, flows)),
        ..until(Measured::Throughput, 0.3, 60 * SECOND)
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert!(result.precision.is_some());
    assert!(
        result.duration_ns < 10_000_000_000,
        "{}",
        result.duration_ns
    );
    assert_eq!(result.outcomes.failed(), 0);
}

#[test]
fn a_request_that_was_due_and_waits_to_be_connected_is_not_forgotten_when_a_run_is_known() {
    let authority = Authority::new();
    // Whoever comes after the first four comes again because it was not let in.
    let server = Server::start_tls(authority.usual(), |peer| {
        if peer.number == 0 || peer.number > 3 {
            return peer.send_raw(b"no TLS at all");
        }
        while peer.request()? {
            peer.send(OK)?;
        }
        Ok(())
    });
    let plan = until(Measured::Throughput, 0.4, 60 * SECOND);
    let result = run(&authority.target(server.addr), &plan, &mut ()).unwrap();
    assert!(result.precision.is_some_and(|known| known <= 0.4));
    let outcomes = &result.outcomes;
    assert!(outcomes.of(Outcome::TlsFailed) > 0, "{outcomes:?}");
    assert_eq!(outcomes.of(Outcome::Ok), server.requests());
    assert_eq!(result.scheduled, Some(result.requests), "{outcomes:?}");
}

#[test]
fn without_being_asked_for_there_is_no_precision() {
    let server = Server::answering(OK);
    let result = run(&server.target(), &plan(1, 10), &mut ()).unwrap();
    assert_eq!(result.precision, None);
}

#[test]
fn what_cannot_be_is_refused() {
    let server = Server::answering(OK);
    let refused = |measured, within, max| {
        let plan = until(measured, within, max);
        run(&server.target(), &plan, &mut ()).map(drop).unwrap_err()
    };
    for (measured, within) in [
        (Measured::Throughput, -0.1),
        (Measured::Throughput, 1.1),
        (Measured::Throughput, f64::NAN),
        (Measured::Quantile(1.5), 0.1),
        (Measured::Quantile(f64::NAN), 0.1),
    ] {
        let error = refused(measured, within, SECOND);
        assert!(matches!(error, LoadError::OutOfRange { .. }), "{error}");
    }
    let error = refused(Measured::Throughput, 0.1, Duration::ZERO);
    assert!(matches!(error, LoadError::NothingToDo(_)), "{error}");
    assert_eq!(server.requests(), 0);
}
