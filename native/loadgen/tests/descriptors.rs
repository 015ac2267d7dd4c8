//! A process that has no file descriptor left. The limit is the process's, so that it is tried in one of its own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod server;

use std::fs::File;
use std::net::SocketAddr;
use std::process::Command;

use fastr_loadgen::{once, run, EarlyEnd, LoadError, Outcome, Plan, Stop, Target};
use server::{get, plan, Server, OK};

/// Where the process of its own finds the server.
const SERVER: &str = "FASTR_TEST_SERVER";

/// Runs a test of this file in a process of its own.
fn apart(test: &str, server: SocketAddr) {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(SERVER, server.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{failed}");
    assert!(said.contains("1 passed"), "{said}");
}

fn target() -> Target {
    let addr: SocketAddr = std::env::var(SERVER).unwrap().parse().unwrap();
    Target {
        addr: addr.into(),
        pids: Vec::new(),
    }
}

/// Takes all file descriptors but so many.
fn leave(descriptors: usize) -> Vec<File> {
    let limit = libc::rlimit {
        rlim_cur: 64,
        rlim_max: 64,
    };
    // SAFETY: the limit is a valid struct.
    assert_eq!(
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) },
        0
    );
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    taken.truncate(taken.len() - descriptors);
    taken
}

/// What the event loop itself needs.
const OF_THE_LOOP: usize = 2;

#[test]
#[ignore = "needs a process of its own, which another test starts"]
fn apart_connections_beyond_the_limit_are_counted() {
    let taken = leave(OF_THE_LOOP + 3);
    let result = run(&target(), &plan(5, 200), &mut ()).unwrap();
    drop(taken);
    let outcomes = &result.outcomes;
    assert_eq!((result.requests, outcomes.total()), (200, 200));
    let exhausted = outcomes.of(Outcome::FdExhausted);
    assert!(exhausted >= 2, "{outcomes:?}");
    assert_eq!(outcomes.of(Outcome::Ok), 200 - exhausted, "{outcomes:?}");
    let details = &outcomes.details()[&Outcome::FdExhausted];
    assert_eq!(details.values().sum::<u64>(), exhausted);
    assert!(
        details.keys().all(|name| name.contains("open files")),
        "{details:?}"
    );
    assert_eq!((result.ended_early, result.connect.len()), (None, 3));
}

#[test]
fn connections_beyond_the_limit_of_descriptors_are_counted_and_the_others_go_on() {
    let server = Server::answering(OK);
    apart(
        "apart_connections_beyond_the_limit_are_counted",
        server.addr,
    );
    assert_eq!(server.connections(), 3);
    assert!((1..=198).contains(&server.requests()));
}

#[test]
#[ignore = "needs a process of its own, which another test starts"]
fn apart_no_connection_at_all() {
    let _taken = leave(OF_THE_LOOP);
    let plan = Plan {
        stop: Stop::Duration(std::time::Duration::from_secs(3_600)),
        ..plan(2, 1)
    };
    let result = run(&target(), &plan, &mut ()).unwrap();
    assert_eq!(result.ended_early, Some(EarlyEnd::Dead));
    assert!(result.requests > 0);
    assert_eq!(result.outcomes.of(Outcome::FdExhausted), result.requests);
    let timeout = std::time::Duration::from_secs(30);
    let one = once(target().addr, &get("/"), timeout, 0, &mut ()).unwrap();
    assert_eq!(one.outcome, Outcome::FdExhausted);
    assert!(one.detail.contains("open files"), "{}", one.detail);
}

#[test]
fn a_run_without_any_descriptor_for_its_connections_ends_early() {
    let server = Server::answering(OK);
    apart("apart_no_connection_at_all", server.addr);
    assert_eq!((server.connections(), server.requests()), (0, 0));
}

#[test]
#[ignore = "needs a process of its own, which another test starts"]
fn apart_no_event_loop() {
    let _taken = leave(OF_THE_LOOP - 1);
    let error = run(&target(), &plan(1, 1), &mut ()).map(drop).unwrap_err();
    assert!(matches!(error, LoadError::System { .. }), "{error}");
    assert!(error.to_string().contains("open files"), "{error}");
}

#[test]
fn a_run_without_descriptors_for_its_event_loop_is_refused() {
    let server = Server::answering(OK);
    apart("apart_no_event_loop", server.addr);
    assert_eq!(server.connections(), 0);
}
