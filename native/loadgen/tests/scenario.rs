//! Scenarios: mixes of flows, and what users carry from request to request.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod flows;
mod server;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastr_loadgen::{
    run, Arrivals, Control, EarlyEnd, Halt, LoadError, Outcome, Pacing, Plan, Profile, Progress,
    Request, Scenario, Stop, Think,
};
use flows::{capturing, flow, get_with, json, logging_in, playing, scenario};
use server::{get, plan, Asked, Log, Server, OK};

fn targets(log: &Log) -> Vec<String> {
    log.lock().unwrap().iter().map(Asked::target).collect()
}

#[test]
fn a_mix_is_sent_in_exact_proportion_to_its_weights() {
    let (server, log) = Server::listening();
    let requests = ["/a", "/b", "/c", "/never"].map(get).to_vec();
    let mix = scenario(
        0,
        vec![
            flow("a", 5, &[0]),
            flow("b", 3, &[1]),
            flow("c", 1, &[2]),
            flow("never", 0, &[3]),
        ],
    );
    let plan = playing(mix.clone(), requests.clone(), 4, 900);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    let sent: Vec<u64> = result.per_request.iter().map(|one| one.ok).collect();
    assert_eq!(sent, [500, 300, 100, 0]);
    let completed: Vec<u64> = result.flows.iter().map(|one| one.completed).collect();
    assert_eq!(completed, sent);
    let came = targets(&log);
    let count = |path| came.iter().filter(|&target| target == path).count();
    assert_eq!(["/a", "/b", "/c", "/never"].map(count), [500, 300, 100, 0]);

    // Of a single user every nine in a row are such a mix.
    log.lock().unwrap().clear();
    run(&server.target(), &playing(mix, requests, 1, 90), &mut ()).unwrap();
    for nine in targets(&log).windows(9) {
        let count = |path| nine.iter().filter(|&target| target == path).count();
        assert_eq!(["/a", "/b", "/c"].map(count), [5, 3, 1]);
    }
}

#[test]
fn a_flow_ends_at_its_first_failure_and_the_next_one_begins_anew() {
    let log = Log::default();
    let kept = log.clone();
    let server = Server::replying(move |asked, _| {
        let mut log = kept.lock().unwrap();
        log.push(asked.clone());
        let seconds = log.iter().filter(|asked| asked.target() == "/2").count();
        match asked.target().as_str() {
            "/2" if seconds % 2 == 1 => b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_vec(),
            _ => OK.to_vec(),
        }
    });
    let requests = ["/1", "/2", "/3"].map(get).to_vec();
    let flows = scenario(0, vec![flow("three", 1, &[0, 1, 2])]);
    let result = run(&server.target(), &playing(flows, requests, 1, 10), &mut ()).unwrap();
    let expected = ["/1", "/2", "/1", "/2", "/3", "/1", "/2", "/1", "/2", "/3"];
    assert_eq!(targets(&log), expected);
    assert_eq!((result.flows[0].completed, result.flows[0].failed), (2, 2));
    assert_eq!(result.outcomes.of(Outcome::UnexpectedStatus), 2);
}

#[test]
fn pauses_between_steps_are_kept_and_belong_to_no_response_time() {
    const PAUSE: Duration = Duration::from_millis(30);
    let gaps = Arc::new(Mutex::new(Vec::new()));
    let kept = gaps.clone();
    let server = Server::start(move |peer| {
        let mut answered = None;
        while let Some(asked) = peer.ask()? {
            if let (Some(answered), "/2") = (answered, asked.target().as_str()) {
                kept.lock().unwrap().push(Instant::elapsed(&answered));
            }
            answered = Some(Instant::now());
            peer.send(OK)?;
        }
        Ok(())
    });
    let mut paused = flow("two", 1, &[0, 1]);
    // That of the first step is not looked at.
    paused.steps[0].pause = Think::Fixed(Duration::from_secs(3_600));
    paused.steps[1].pause = Think::Fixed(PAUSE);
    let requests = ["/1", "/2"].map(get).to_vec();
    let plan = playing(scenario(0, vec![paused]), requests, 2, 40);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 40);
    let gaps = gaps.lock().unwrap();
    assert!(gaps.len() >= 19 && gaps.iter().all(|&gap| gap >= PAUSE));
    assert_eq!(result.lateness.len(), gaps.len() as u64);
    let pause_ns = PAUSE.as_nanos() as u64;
    for one in &result.per_request {
        assert!(one.response.quantile_ns(0.5) < pause_ns, "{}", one.name);
    }
    assert!(result.duration_ns >= 9 * pause_ns);
}

/// Users who are in a pause almost all the time.
fn pausing(pause: Duration) -> Plan {
    let mut paused = flow("two", 1, &[0, 1]);
    paused.steps[1].pause = Think::Fixed(pause);
    let requests = ["/1", "/2"].map(get).to_vec();
    playing(scenario(0, vec![paused]), requests, 3, 1)
}

#[test]
fn a_run_by_time_does_not_wait_for_pauses_that_end_after_it() {
    let (server, _) = Server::listening();
    let plan = Plan {
        stop: Stop::Duration(Duration::from_millis(200)),
        ..pausing(Duration::from_secs(30))
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert!(result.duration_ns < 15_000_000_000);
    assert_eq!((result.requests, server.requests()), (3, 3));
    assert_eq!((result.flows[0].completed, result.flows[0].failed), (0, 0));
}

/// Wants the result so far when three requests are through.
struct Enough;

impl Control for Enough {
    fn check(&mut self, progress: &Progress) -> ControlFlow<Halt> {
        if progress.requests < 3 {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(Halt::Keep)
    }
}

#[test]
fn a_run_that_is_halted_in_the_pauses_of_its_users_counts_what_was_sent() {
    let (server, _) = Server::listening();
    let plan = Plan {
        stop: Stop::Duration(Duration::from_secs(3_600)),
        ..pausing(Duration::from_secs(1_800))
    };
    let result = run(&server.target(), &plan, &mut Enough).unwrap();
    assert_eq!(result.ended_early, Some(EarlyEnd::Stopped));
    assert_eq!((result.requests, server.requests()), (3, 3));
    assert_eq!(result.outcomes.of(Outcome::Ok), 3);
    assert_eq!((result.flows[0].completed, result.flows[0].failed), (0, 0));
}

/// Flows begin at a rate for some time, and all of them are played to their end.
fn beginning(rate: f64, time: Duration) -> (Pacing, Stop) {
    let rate = Profile::stages(rate, &[(time, rate), (Duration::ZERO, 0.0)]);
    let pacing = Pacing::Open {
        rate,
        arrivals: Arrivals::Even,
        most_queued: None,
    };
    (pacing, Stop::Duration(Duration::from_secs(60)))
}

#[test]
fn the_rate_of_an_open_loop_is_that_of_flows() {
    let server = Server::guarded();
    let (mut scenario, requests) = logging_in();
    scenario.flows = vec![flow("visit", 1, &[0, 1, 1])];
    scenario.flows[0].steps[1].pause = Think::Fixed(Duration::from_millis(20));
    let (pacing, stop) = beginning(100.0, Duration::from_millis(300));
    let plan = Plan {
        pacing,
        stop,
        ..playing(scenario, requests, 8, 1)
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 90, "{:?}", result.outcomes);
    assert_eq!(
        (result.scheduled, result.flows[0].completed),
        (Some(30), 30)
    );
    assert_eq!((result.unsent, result.dropped), (0, 0));
    let used = &result.per_request[1].response;
    assert!(used.quantile_ns(0.5) < 20_000_000);
}

#[test]
fn a_run_by_the_number_of_requests_ends_in_the_middle_of_a_flow() {
    for (connections, requests) in [(1, 1), (1, 7), (3, 100), (8, 5)] {
        let (server, _) = Server::listening();
        let three = scenario(0, vec![flow("three", 1, &[0, 1, 2])]);
        let paths = ["/1", "/2", "/3"].map(get).to_vec();
        let plan = playing(three, paths, connections, requests);
        let result = run(&server.target(), &plan, &mut ()).unwrap();
        assert_eq!(result.requests, requests);
        assert_eq!(result.outcomes.of(Outcome::Ok), requests);
        assert_eq!(server.requests(), requests);
        // Each user may be within a flow at the end, with two of its steps over.
        let least = requests.saturating_sub(2 * connections as u64) / 3;
        assert!((least..=requests / 3).contains(&result.flows[0].completed));
        assert_eq!(result.flows[0].failed, 0);
    }
}

#[test]
fn a_scenario_that_cannot_be_played_is_refused_before_anything_is_opened() {
    let server = Server::answering(OK);
    let refused = |scenario: Scenario, requests: Vec<Request>| {
        let plan = playing(scenario, requests, 1, 1);
        match run(&server.target(), &plan, &mut ()) {
            Err(LoadError::Scenario(reason)) => reason,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was played"),
        }
    };
    let one = || vec![flow("one", 1, &[0])];
    let words = [
        refused(scenario(0, Vec::new()), vec![get("/")]),
        refused(scenario(0, vec![flow("one", 0, &[0])]), vec![get("/")]),
        refused(scenario(0, vec![flow("one", 1, &[])]), vec![get("/")]),
        refused(scenario(0, vec![flow("one", 1, &[1])]), vec![get("/")]),
        refused(scenario(1, one()), vec![get_with("/", "X", 1)]),
        refused(
            scenario(1, one()),
            vec![capturing(get("/"), 1, json("/token"))],
        ),
    ];
    assert!(words.iter().all(|reason| !reason.is_empty()));
    assert_eq!((server.requests(), server.connections()), (0, 0));
    let without = run(&server.target(), &plan(1, 1), &mut ()).unwrap();
    assert_eq!(without.flows.len(), 1);
}
