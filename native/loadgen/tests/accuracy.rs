//! Whether what a run says about times, rates and counts is true. Bounds of times are wide where the machine may be slow,
//! and tight where nothing but an error can cross them.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod server;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fastr_loadgen::{
    run, Arrivals, LoadResult, Outcome, Outcomes, Pacing, Plan, Profile, Recorder, Stop,
};
use server::{get, plan, Server, OK};

const MS: Duration = Duration::from_millis(1);
const MS_NS: u64 = 1_000_000;
/// A histogram keeps three digits.
const DIGITS: f64 = 0.998;

fn open(rate: Profile, arrivals: Arrivals, duration: Duration, connections: usize) -> Plan {
    Plan {
        pacing: Pacing::Open {
            rate,
            arrivals,
            most_queued: None,
        },
        stop: Stop::Duration(duration),
        ..plan(connections, 1)
    }
}

fn at_rate(rate: f64, duration: Duration, connections: usize) -> Plan {
    open(
        Profile::constant(rate),
        Arrivals::Even,
        duration,
        connections,
    )
}

/// How many times are this long or longer.
fn at_least(recorder: &Recorder, ns: u64) -> u64 {
    recorder.count_between(ns, recorder.max_ns().max(ns))
}

/// Everything that counts requests has counted the same number.
fn agree(result: &LoadResult, server: &Server) {
    let ok = result.outcomes.of(Outcome::Ok);
    assert_eq!(ok, result.requests, "{:?}", result.outcomes);
    assert_eq!(ok, server.requests());
    assert_eq!((result.histogram.len(), result.response.len()), (ok, ok));
    assert_eq!(result.bytes_received, ok * OK.len() as u64);
    let bins = result.series.bins.iter();
    assert_eq!(bins.map(|bin| bin.ok + bin.failed).sum::<u64>(), ok);
    let seconds = result.series.seconds.iter();
    assert_eq!(seconds.map(|second| second.count).sum::<u64>(), ok);
    let requests = result.per_request.iter();
    assert_eq!(requests.map(|one| one.ok).sum::<u64>(), ok);
    assert_eq!(
        (result.unsent, result.dropped, result.ended_early),
        (0, 0, None)
    );
}

#[test]
fn service_times_are_those_that_the_server_took_and_a_little_more() {
    for (delay_ms, requests) in [(0, 300), (1, 200), (5, 100), (20, 40)] {
        let delay = delay_ms * MS;
        let took = Arc::new(Mutex::new(Vec::new()));
        let kept = took.clone();
        let server = Server::start(move |peer| {
            while peer.request()? {
                let asked = Instant::now();
                if !delay.is_zero() {
                    thread::sleep(delay);
                }
                kept.lock().unwrap().push(asked.elapsed().as_nanos() as u64);
                peer.send(OK)?;
            }
            Ok(())
        });
        let result = run(&server.target(), &plan(2, requests), &mut ()).unwrap();
        agree(&result, &server);
        let mut took = took.lock().unwrap();
        took.sort_unstable();
        let delay_ns = delay.as_nanos() as f64;
        let below = (delay_ns * DIGITS) as u64;
        if below > 0 {
            assert_eq!(result.histogram.count_between(0, below), 0);
        }
        // No request can be seen to take less than it took the server, so that no quantile can be smaller either.
        for percent in [1, 10, 25, 50, 75, 90, 99, 100] {
            let rank = (took.len() * percent).div_ceil(100);
            let least = took[rank - 1] as f64 * DIGITS;
            let seen = result.histogram.quantile_ns(percent as f64 / 100.0);
            assert!(seen as f64 >= least, "{percent} %: {seen} < {least}");
        }
        let median = took[took.len() / 2];
        let seen = result.histogram.quantile_ns(0.5);
        assert!(seen < median + 10 * MS_NS, "{seen} is far above {median}");
    }
}

#[test]
fn one_answer_in_ten_that_comes_later_is_between_the_quantiles_where_it_belongs() {
    const LATER: Duration = Duration::from_millis(20);
    const REQUESTS: u64 = 400;
    let count = AtomicU64::new(0);
    let server = Server::start(move |peer| {
        while peer.request()? {
            if count.fetch_add(1, Ordering::SeqCst) % 10 == 9 {
                thread::sleep(LATER);
            }
            peer.send(OK)?;
        }
        Ok(())
    });
    let result = run(&server.target(), &plan(2, REQUESTS), &mut ()).unwrap();
    agree(&result, &server);
    let later_ns = LATER.as_nanos() as u64;
    let times = &result.histogram;
    assert!(times.quantile_ns(0.5) < later_ns / 2);
    assert!(times.quantile_ns(0.85) < later_ns);
    assert!(times.quantile_ns(0.95) >= later_ns);
    let late = at_least(times, (later_ns as f64 * DIGITS) as u64);
    assert!(
        (REQUESTS / 10..REQUESTS / 10 + REQUESTS / 20).contains(&late),
        "{late}"
    );
}

#[test]
fn a_stall_of_a_tenth_of_the_run_has_the_tail_that_theory_predicts() {
    const RATE: f64 = 500.0;
    let (time, stall) = (3_000 * MS, 300 * MS);
    let server = Server::stalling(1_000 * MS, stall);
    let result = run(&server.target(), &at_rate(RATE, time, 4), &mut ()).unwrap();
    agree(&result, &server);
    assert_eq!(result.scheduled, Some(1_500));
    // Who is due in the stall waits for the rest of it: a share of (S - x) / T waits longer than x, whatever else
    // happens, so that the 95th percentile is S / 2.
    for x in [0, 50, 100, 150, 200, 250] {
        let waited = at_least(&result.response, x * MS_NS);
        let due = (RATE * (0.3 - x as f64 / 1e3)) as u64;
        assert!(waited >= due - 2, "{waited} of {due} waited for {x} ms");
    }
    let p95 = result.response.quantile_ns(0.95) / MS_NS;
    assert!((148..250).contains(&p95), "{p95} ms");
    assert!(result.response.quantile_ns(0.5) < 50 * MS_NS);
    // All but one request of each connection waited without being sent.
    assert!(result.histogram.quantile_ns(0.95) < 75 * MS_NS);
    assert!(at_least(&result.histogram, 150 * MS_NS) <= 12);
    assert!(
        (140..250).contains(&result.most_queued),
        "{}",
        result.most_queued
    );
}

#[test]
fn a_rate_is_kept_to_the_request() {
    for (rate, time, connections) in [(1_000, 2_000 * MS, 8), (10_000, 1_000 * MS, 16)] {
        let server = Server::answering(OK);
        let plan = at_rate(rate as f64, time, connections);
        let result = run(&server.target(), &plan, &mut ()).unwrap();
        let scheduled = rate * time.as_millis() as u64 / 1_000;
        assert_eq!(result.scheduled, Some(scheduled));
        assert_eq!(result.requests, scheduled);
        agree(&result, &server);
        // Nothing is ahead of its schedule, from bin to bin, and the last is not sent before it is due.
        let mut over = 0;
        for (bin, place) in result.series.bins.iter().zip(1..) {
            over += bin.ok;
            assert!(over <= place * rate / 10, "{over} after {place} bins");
        }
        let last_due_ns = (scheduled - 1) * 1_000_000_000 / rate;
        assert!(result.duration_ns >= last_due_ns);
        assert!(result.lateness.len() <= scheduled);
    }
}

#[test]
fn a_schedule_does_not_drift() {
    const RATE: u64 = 1_000;
    let server = Server::answering(OK);
    let result = run(
        &server.target(),
        &at_rate(RATE as f64, 2_000 * MS, 8),
        &mut (),
    )
    .unwrap();
    agree(&result, &server);
    // Were each request only a hair later than the one before, the last would be as late as all hairs together.
    let in_time =
        |bins: usize| -> u64 { result.series.bins[..bins].iter().map(|bin| bin.ok).sum() };
    for bins in [5, 10, 15, 20] {
        let due = bins as u64 * RATE / 10;
        let done = in_time(bins.min(result.series.bins.len()));
        assert!(done <= due && done + RATE / 5 >= due, "{done} of {due}");
    }
    for second in &result.series.seconds[..2] {
        assert!(second.p50_ns < 50 * MS_NS);
    }
    assert!(result.lateness.quantile_ns(0.5) < 20 * MS_NS);
    assert!(result.duration_ns < 4_000 * MS_NS);
}

#[test]
fn no_response_time_is_shorter_than_its_service_time() {
    let server = Server::start(|peer| {
        while peer.request()? {
            thread::sleep(2 * MS);
            peer.send(OK)?;
        }
        Ok(())
    });
    // More than one connection can carry, so that requests wait.
    let result = run(&server.target(), &at_rate(600.0, 500 * MS, 1), &mut ()).unwrap();
    agree(&result, &server);
    for percent in 0..=100 {
        let q = f64::from(percent) / 100.0;
        assert!(result.response.quantile_ns(q) >= result.histogram.quantile_ns(q));
    }
    assert!(result.response.quantile_ns(0.5) > 2 * result.histogram.quantile_ns(0.5));
    assert!(result.most_queued > 10);
}

#[test]
fn poisson_arrivals_are_as_many_as_chance_lets_them_be() {
    const RATE: f64 = 2_000.0;
    let mut counts = Vec::new();
    for seed in 1..=5 {
        let server = Server::answering(OK);
        let profile = Profile::constant(RATE);
        let mut plan = open(profile, Arrivals::Poisson, 500 * MS, 8);
        plan.seed = seed;
        let result = run(&server.target(), &plan, &mut ()).unwrap();
        agree(&result, &server);
        assert_eq!(result.scheduled, Some(result.requests));
        let expected = RATE / 2.0;
        let sigmas = (result.requests as f64 - expected) / expected.sqrt();
        assert!(
            sigmas.abs() < 5.0,
            "seed {seed}: {} requests",
            result.requests
        );
        counts.push(result.requests);
    }
    counts.dedup();
    assert!(counts.len() > 1);
}

#[test]
fn poisson_arrivals_follow_a_rate_that_climbs() {
    let server = Server::answering(OK);
    let profile = Profile::stages(0.0, &[(1_000 * MS, 2_000.0)]);
    let plan = open(profile, Arrivals::Poisson, 1_000 * MS, 8);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    agree(&result, &server);
    let sigmas = (result.requests as f64 - 1_000.0) / 1_000.0_f64.sqrt();
    assert!(sigmas.abs() < 5.0, "{}", result.requests);
    // A quarter is due in the first half; what is due later cannot be over by then.
    let first_half: u64 = result.series.bins[..5].iter().map(|bin| bin.ok).sum();
    assert!(
        (first_half as f64 - 250.0) / 250.0_f64.sqrt() < 5.0,
        "{first_half}"
    );
}

#[test]
fn what_is_said_of_the_parts_adds_up_to_what_is_said_of_the_whole() {
    let count = AtomicU64::new(0);
    let server = Server::start(move |peer| {
        while peer.request()? {
            match count.fetch_add(1, Ordering::SeqCst) % 7 {
                6 => peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")?,
                _ => peer.send(OK)?,
            }
        }
        Ok(())
    });
    let mut plan = plan(3, 700);
    plan.requests = ["/1", "/2", "/3"].map(get).to_vec();
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    let (mut service, mut response) = (Recorder::new(), Recorder::new());
    let mut outcomes = Outcomes::default();
    for one in result.per_request.iter().rev() {
        service.merge(&one.histogram);
        response.merge(&one.response);
        outcomes.merge(&one.outcomes);
        assert_eq!(one.histogram.len(), one.ok);
        assert_eq!(
            (one.outcomes.of(Outcome::Ok), one.outcomes.failed()),
            (one.ok, one.failed)
        );
    }
    assert_eq!(service.to_v2_text(), result.histogram.to_v2_text());
    assert_eq!(response.to_v2_text(), result.response.to_v2_text());
    assert_eq!(outcomes, result.outcomes);
    assert_eq!(outcomes.of(Outcome::UnexpectedStatus), 100);

    // Two runs together hold each time of both.
    let again = run(&server.target(), &plan, &mut ()).unwrap();
    let mut both = result.histogram.clone();
    both.merge(&again.histogram);
    let mut buckets = std::collections::BTreeMap::new();
    for recorder in [&result.histogram, &again.histogram] {
        for (value, count) in recorder.to_sparse().buckets {
            *buckets.entry(value).or_insert(0) += count;
        }
    }
    assert_eq!(
        both.to_sparse().buckets,
        buckets.into_iter().collect::<Vec<_>>()
    );
    let longest = result.histogram.max_ns().max(again.histogram.max_ns());
    assert_eq!((both.len(), both.max_ns()), (1_200, longest));
}
