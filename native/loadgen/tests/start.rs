//! What users do before the load begins: each does it once, and nothing counts it.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod flows;
mod server;

use std::thread;
use std::time::Duration;

use fastr_loadgen::{
    run, Arrivals, Check, LoadError, LoadResult, Outcome, Pacing, Plan, Profile, Scenario, Source,
    Stop, Target,
};
use flows::{capturing, flow, get_with, json, logging_in, playing, scenario};
use server::{answer, get, nobody, Log, Server, OK};

/// Users who log in once and then only use their token.
fn logged_in(connections: usize, stop: u64) -> Plan {
    let (_, requests) = logging_in();
    let scenario = Scenario {
        start: vec![0],
        ..scenario(1, vec![flow("use", 1, &[1])])
    };
    playing(scenario, requests, connections, stop)
}

fn in_series(result: &LoadResult) -> u64 {
    let bins = result.series.bins.iter();
    bins.map(|bin| bin.ok + bin.failed).sum()
}

#[test]
fn every_user_starts_once_before_the_load_and_nothing_counts_it() {
    let server = Server::guarded();
    let result = run(&server.target(), &logged_in(5, 100), &mut ()).unwrap();
    assert_eq!(server.requests(), 105);
    assert_eq!(server.connections(), 5);
    assert_eq!((result.requests, result.outcomes.total()), (100, 100));
    assert_eq!(
        result.outcomes.of(Outcome::Ok),
        100,
        "{:?}",
        result.outcomes
    );
    assert_eq!(result.bytes_received, 100 * OK.len() as u64);
    assert_eq!((result.histogram.len(), result.response.len()), (100, 100));
    assert_eq!(in_series(&result), 100);
    let seconds: u64 = result
        .series
        .seconds
        .iter()
        .map(|second| second.count)
        .sum();
    assert_eq!(seconds, 100);
    let [login, used] = &result.per_request[..] else {
        panic!("two requests have two results");
    };
    assert_eq!((login.ok, login.failed, login.outcomes.total()), (0, 0, 0));
    assert!(login.histogram.is_empty() && login.response.is_empty());
    assert_eq!(used.ok, 100);
    assert_eq!(
        (result.flows[0].completed, result.flows[0].failed),
        (100, 0)
    );
    let (fewest, most) = result.connection_balance;
    assert!(5 * fewest <= 100 && 5 * most >= 100);
    assert_eq!((result.reconnects, result.ended_early), (0, None));
}

#[test]
fn connections_that_start_requests_have_opened_have_their_connect_times() {
    let server = Server::guarded();
    let result = run(&server.target(), &logged_in(5, 10), &mut ()).unwrap();
    assert_eq!(server.connections(), 5);
    assert_eq!(result.connect.len(), 5);
}

#[test]
fn start_requests_come_in_their_order_and_the_load_waits_for_the_last() {
    let (server, log) = Server::listening();
    let requests = ["/1", "/2", "/load"].map(get).to_vec();
    let scenario = Scenario {
        start: vec![0, 1, 0],
        ..scenario(0, vec![flow("load", 1, &[2])])
    };
    let plan = playing(scenario, requests, 4, 20);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 20);
    let log = log.lock().unwrap();
    let targets: Vec<String> = log.iter().map(server::Asked::target).collect();
    let (before, load) = targets.split_at(12);
    assert!(load.iter().all(|target| target == "/load"));
    let ones = before.iter().filter(|&target| target == "/1").count();
    assert_eq!((ones, before.len() - ones), (8, 4));
    assert_eq!(before[0], "/1");
    assert_eq!(load.len(), 20);
}

#[test]
fn without_keep_alive_users_start_too() {
    let server = Server::replying(|asked, _| match asked.header("x-token") {
        None => answer("X-Token: t\r\n", ""),
        Some(token) => answer("", token),
    });
    let login = capturing(get("/login"), 0, Source::Header("X-Token".to_owned()));
    let used = get_with("/use", "X-Token", 0).checking(Check::Contains(b"t".to_vec()));
    let scenario = Scenario {
        start: vec![0],
        ..scenario(1, vec![flow("use", 1, &[1])])
    };
    let mut plan = playing(scenario, vec![login, used], 3, 30);
    plan.keep_alive = false;
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 30, "{:?}", result.outcomes);
    assert_eq!(server.connections(), 33);
    assert_eq!(result.connect.len(), 30);
}

#[test]
fn the_schedule_begins_after_the_start() {
    let server = Server::start(|peer| {
        while let Some(asked) = peer.ask()? {
            if asked.target() == "/login" {
                thread::sleep(Duration::from_millis(300));
            }
            peer.send(OK)?;
        }
        Ok(())
    });
    let scenario = Scenario {
        start: vec![0],
        ..scenario(0, vec![flow("use", 1, &[1])])
    };
    let plan = Plan {
        pacing: Pacing::Open {
            rate: Profile::constant(100.0),
            arrivals: Arrivals::Even,
            most_queued: None,
        },
        stop: Stop::Duration(Duration::from_millis(300)),
        ..playing(scenario, ["/login", "/use"].map(get).to_vec(), 2, 1)
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!((result.scheduled, result.requests), (Some(30), 30));
    // Were it on the clock, most requests would wait for the start.
    assert!(result.response.quantile_ns(0.5) < 100_000_000);
    assert_eq!(server.requests(), 32);
}

/// Runs a plan that must not begin its load, and returns why.
fn refused(target: &Target, plan: &Plan) -> (String, String) {
    match run(target, plan, &mut ()) {
        Err(LoadError::StartFailed { request, reason }) => (request, reason),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the load began"),
    }
}

#[test]
fn a_start_that_fails_is_the_reason_why_there_is_no_load() {
    let log = Log::default();
    let kept = log.clone();
    let server = Server::start(move |peer| {
        while let Some(asked) = peer.ask()? {
            kept.lock().unwrap().push(asked);
            // Only one of the users is not let in.
            match peer.number {
                2 => peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")?,
                _ => peer.send(&answer("", r#"{"token":"t"}"#))?,
            }
        }
        Ok(())
    });
    let (request, reason) = refused(&server.target(), &logged_in(4, 100));
    assert_eq!(request, "/login");
    assert_eq!(reason, "expected status 200, got 401");
    let log = log.lock().unwrap();
    assert!(log.iter().all(|asked| asked.target() == "/login"));
}

#[test]
fn a_start_fails_for_every_reason_that_a_request_can_fail_for() {
    let no_token = Server::replying(|_, _| answer("", "{}"));
    let (_, reason) = refused(&no_token.target(), &logged_in(2, 10));
    assert!(reason.contains("/token"), "{reason}");

    let mut plan = logged_in(2, 10);
    plan.requests[0].captures.clear();
    plan.requests[0].checks = vec![Check::json("/token", Some("1")).unwrap()];
    let (_, reason) = refused(&no_token.target(), &plan);
    assert!(reason.contains("/token"), "{reason}");

    let hangs = Server::start(|peer| peer.wait_for_close());
    let mut plan = logged_in(2, 10);
    plan.request_timeout = Duration::from_millis(20);
    let (_, reason) = refused(&hangs.target(), &plan);
    assert!(reason.contains("20ms"), "{reason}");

    let closes = Server::start(|peer| peer.request().map(drop));
    let (_, reason) = refused(&closes.target(), &logged_in(2, 10));
    assert!(reason.contains("closed"), "{reason}");

    let target = Target {
        addr: nobody().into(),
        pids: Vec::new(),
    };
    let (_, reason) = refused(&target, &logged_in(2, 10));
    assert!(reason.contains("refused"), "{reason}");
    assert_eq!(no_token.requests(), 4);
}

#[test]
fn a_start_with_several_steps_ends_at_the_one_that_fails() {
    let log = Log::default();
    let kept = log.clone();
    let server = Server::replying(move |asked, _| {
        kept.lock().unwrap().push(asked.clone());
        match asked.target().as_str() {
            "/2" => b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_vec(),
            _ => answer("", r#"{"token":"t"}"#),
        }
    });
    let requests = vec![
        capturing(get("/1"), 0, json("/token")),
        get("/2"),
        get("/3"),
    ];
    let scenario = Scenario {
        start: vec![0, 1, 2],
        ..scenario(1, vec![flow("load", 1, &[2])])
    };
    let (request, _) = refused(&server.target(), &playing(scenario, requests, 1, 5));
    assert_eq!(request, "/2");
    let log = log.lock().unwrap();
    let targets: Vec<String> = log.iter().map(server::Asked::target).collect();
    assert_eq!(targets, ["/1", "/2"]);
}
