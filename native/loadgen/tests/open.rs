//! Open loops: requests are due by a schedule, whatever the server does.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod server;

use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use fastr_loadgen::{
    run, Abort, Address, Arrivals, Control, EarlyEnd, Halt, Outcome, Pacing, Plan, Profile,
    Progress, Stop, Target, Think,
};
use server::{plan, Server, OK};

const MS: Duration = Duration::from_millis(1);
const MS_NS: u64 = 1_000_000;

/// A plan of a constant rate over some time.
fn at_rate(rate: f64, duration: Duration, connections: usize) -> Plan {
    Plan {
        pacing: Pacing::Open {
            rate: Profile::constant(rate),
            arrivals: Arrivals::Even,
            most_queued: None,
        },
        stop: Stop::Duration(duration),
        ..plan(connections, 1)
    }
}

#[test]
fn every_request_of_the_schedule_is_sent_and_the_server_counts_as_many() {
    let server = Server::answering(OK);
    for rate in [500.0, 2_000.0] {
        let before = server.requests();
        let result = run(&server.target(), &at_rate(rate, 500 * MS, 4), &mut ()).unwrap();
        let scheduled = (rate / 2.0) as u64;
        assert_eq!(result.requests, scheduled);
        assert_eq!(result.outcomes.of(Outcome::Ok), scheduled);
        assert_eq!(server.requests() - before, scheduled);
        assert_eq!((result.unsent, result.dropped), (0, 0));
        assert_eq!(result.response.len(), scheduled);
        let in_series: u64 = result
            .series
            .bins
            .iter()
            .map(|bin| bin.ok + bin.failed)
            .sum();
        assert_eq!(in_series, scheduled);
    }
}

#[test]
fn nothing_is_sent_before_it_is_due() {
    let server = Server::answering(OK);
    let result = run(&server.target(), &at_rate(100.0, 300 * MS, 2), &mut ()).unwrap();
    assert_eq!(result.requests, 30);
    // The last one is due at 290 ms.
    assert!(result.duration_ns >= 290 * MS_NS);
    assert!(result.lateness.len() >= 28);
}

#[test]
fn a_poisson_schedule_is_sent_whole_too() {
    let server = Server::answering(OK);
    let mut plan = at_rate(1_000.0, 500 * MS, 4);
    plan.pacing = Pacing::Open {
        rate: Profile::constant(1_000.0),
        arrivals: Arrivals::Poisson,
        most_queued: None,
    };
    let first = run(&server.target(), &plan, &mut ()).unwrap();
    let again = run(&server.target(), &plan, &mut ()).unwrap();
    // 500 expected; the seed is fixed, and with it the count.
    assert!((400..600).contains(&first.requests), "{}", first.requests);
    assert_eq!(first.requests, again.requests);
    assert_eq!(server.requests(), first.requests + again.requests);
}

#[test]
fn a_stall_shows_in_response_times_as_theory_says_and_is_hidden_from_service_times() {
    // Of T = 2 s the server stalls for S = 0.4 s. Who is due then waits for the rest of it, so that a share of
    // (S - x) / T waits longer than x: the 90th percentile is S - 0.1 T = 0.2 s.
    let server = Server::stalling(600 * MS, 400 * MS);
    let result = run(&server.target(), &at_rate(500.0, 2_000 * MS, 4), &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 1_000);
    assert_eq!((result.unsent, result.dropped), (0, 0));
    let p90 = result.response.quantile_ns(0.9);
    assert!((150..280).contains(&(p90 / MS_NS)), "{p90}");
    // Four connections were busy with one request each, all others waited without being sent.
    let service_p90 = result.histogram.quantile_ns(0.9);
    assert!(service_p90 < 100 * MS_NS, "{service_p90}");
    assert!(
        (150..=200).contains(&result.most_queued),
        "{}",
        result.most_queued
    );
}

#[test]
fn what_is_not_over_after_the_drain_is_unfinished_with_a_lower_bound() {
    let server = Server::start(|peer| peer.wait_for_close());
    let mut plan = at_rate(100.0, 200 * MS, 2);
    plan.drain = 150 * MS;
    let started = Instant::now();
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert!(started.elapsed() < 5_000 * MS);
    assert_eq!(result.requests, 20);
    assert_eq!(result.outcomes.of(Outcome::Unfinished), 20);
    assert_eq!(result.unsent, 18);
    // The last one was due 10 ms before the end.
    assert!(result.response.quantile_ns(0.001) >= 150 * MS_NS);
    assert!(result.response.max_ns() >= 349 * MS_NS);
    assert!(result.histogram.is_empty());
}

#[test]
fn a_queue_with_a_limit_drops_and_counts() {
    let server = Server::stalling(100 * MS, 300 * MS);
    let mut plan = at_rate(200.0, 500 * MS, 1);
    plan.pacing = Pacing::Open {
        rate: Profile::constant(200.0),
        arrivals: Arrivals::Even,
        most_queued: Some(5),
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert!(result.dropped >= 30, "{}", result.dropped);
    assert_eq!(result.requests + result.dropped, 100);
}

#[test]
fn a_rate_that_climbs_sends_the_area_under_it() {
    let server = Server::answering(OK);
    let mut plan = at_rate(1.0, 1_000 * MS, 4);
    plan.pacing = Pacing::Open {
        rate: Profile::stages(0.0, &[(500 * MS, 400.0), (500 * MS, 400.0)]),
        arrivals: Arrivals::Even,
        most_queued: None,
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.requests, 300);
    let first_half: u64 = result.series.bins[..5].iter().map(|bin| bin.ok).sum();
    assert!((95..=105).contains(&first_half), "{first_half}");
}

#[test]
fn users_join_as_their_profile_says() {
    let server = Server::answering(OK);
    let mut plan = plan(4, 1);
    plan.stop = Stop::Duration(400 * MS);
    plan.pacing = Pacing::Closed {
        users: Some(Profile::stages(
            1.0,
            &[(200 * MS, 1.0), (Duration::ZERO, 4.0)],
        )),
        think: Think::Fixed(10 * MS),
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    let in_time = |from: usize, to: usize| -> u64 {
        result.series.bins[from..to].iter().map(|bin| bin.ok).sum()
    };
    let (before, after) = (in_time(0, 2), in_time(2, 4));
    assert!((10..=21).contains(&before), "{before}");
    assert!(after > 2 * before, "{before} and {after}");
}

#[test]
fn too_many_errors_end_a_run_after_its_grace() {
    let server = Server::answering(b"HTTP/1.1 503 Sorry\r\nContent-Length: 0\r\n\r\n");
    let mut plan = at_rate(200.0, 60_000 * MS, 2);
    plan.abort = Some(Abort {
        error_rate: 0.5,
        grace: 200 * MS,
    });
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.ended_early, Some(EarlyEnd::ErrorRate));
    assert!((40..=60).contains(&result.requests), "{}", result.requests);
}

/// Ends a run after a number of requests, and keeps its result.
struct Enough(u64);

impl Control for Enough {
    fn check(&mut self, progress: &Progress) -> ControlFlow<Halt> {
        match progress.requests >= self.0 {
            true => ControlFlow::Break(Halt::Keep),
            false => ControlFlow::Continue(()),
        }
    }
}

#[test]
fn a_run_that_is_halted_keeps_its_result() {
    let server = Server::answering(OK);
    let result = run(
        &server.target(),
        &at_rate(1_000.0, 60_000 * MS, 2),
        &mut Enough(50),
    )
    .unwrap();
    assert_eq!(result.ended_early, Some(EarlyEnd::Stopped));
    assert!(result.outcomes.of(Outcome::Ok) >= 50);
    assert!(result.duration_ns < 10_000 * MS_NS);
}

#[test]
fn a_unix_socket_is_loaded_like_any_other() {
    let path = std::env::temp_dir().join(format!("fastr-loadgen-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).unwrap() > 0 {
            stream.write_all(OK).unwrap();
        }
    });
    let target = Target {
        addr: Address::Unix(path.clone()),
        pids: Vec::new(),
    };
    let result = run(&target, &plan(1, 100), &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 100);
    server.join().unwrap();
    std::fs::remove_file(&path).unwrap();
    let nobody = run(&target, &plan(1, 100), &mut ()).unwrap();
    assert_eq!(nobody.ended_early, Some(EarlyEnd::Dead));
}

#[test]
fn flows_that_have_begun_or_are_due_go_on_while_the_end_is_waited_for() {
    // One connection and 5 ms an answer: a fifth of what is due.
    let server = Server::start(|peer| {
        while peer.request()? {
            thread::sleep(Duration::from_millis(5));
            peer.send(OK)?;
        }
        Ok(())
    });
    let mut plan = at_rate(500.0, Duration::from_millis(200), 1);
    let step = |request| fastr_loadgen::Step {
        request,
        pause: fastr_loadgen::Think::Never,
    };
    plan.scenario = Some(fastr_loadgen::Scenario {
        flows: vec![fastr_loadgen::Flow {
            name: "two".to_owned(),
            weight: 1,
            steps: vec![step(0), step(0)],
        }],
        ..fastr_loadgen::Scenario::default()
    });
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!((result.scheduled, result.requests), (Some(100), 200));
    assert_eq!(result.outcomes.of(Outcome::Ok), server.requests());
    let flow = &result.flows[0];
    assert_eq!((flow.completed, flow.failed, flow.cut), (100, 0, 0));
}

#[test]
fn what_a_bounded_queue_drops_and_what_is_sent_are_all_that_was_due() {
    let server = Server::start(|peer| {
        while peer.request()? {
            thread::sleep(Duration::from_millis(5));
            peer.send(OK)?;
        }
        Ok(())
    });
    let mut plan = at_rate(1_000.0, Duration::from_millis(300), 2);
    if let Pacing::Open { most_queued, .. } = &mut plan.pacing {
        *most_queued = Some(10);
    }
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.scheduled, Some(300));
    assert!(result.dropped > 0);
    assert_eq!(result.requests + result.dropped, 300);
    assert!(result.most_queued <= 11, "{}", result.most_queued);
}
