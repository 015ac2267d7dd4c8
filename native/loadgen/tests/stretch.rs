//! Stretches of load on servers that answer well.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod server;

use std::ops::ControlFlow;
use std::time::Duration;

use fastr_loadgen::{
    run, warm_up, Check, Control, Expect, Halt, LoadError, Outcome, Pacing, Phase, Plan, Progress,
    Request, Stop, Think, WarmUp,
};
use server::{get, plan, Server, OK};

#[test]
fn exactly_the_planned_number_of_requests_is_sent() {
    for (connections, requests) in [(1, 1), (1, 500), (3, 100), (8, 5)] {
        let server = Server::answering(OK);
        let result = run(&server.target(), &plan(connections, requests), &mut ()).unwrap();
        assert_eq!(result.requests, requests);
        assert_eq!(result.outcomes.of(Outcome::Ok), requests);
        assert_eq!(result.histogram.len(), requests);
        assert_eq!(result.bytes_received, requests * OK.len() as u64);
        assert_eq!(server.requests(), requests);
        assert_eq!(server.connections(), connections as u64);
        assert_eq!((result.reconnects, result.ended_early), (0, None));
        assert_eq!(result.connect.len(), connections as u64);
    }
}

#[test]
fn a_stretch_by_time_lasts_at_least_that_long_and_counts_what_the_server_counts() {
    let server = Server::answering(OK);
    let mut plan = plan(4, 1);
    plan.stop = Stop::Duration(Duration::from_millis(200));
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert!(result.duration_ns >= 200_000_000);
    assert_eq!(result.outcomes.of(Outcome::Ok), server.requests());
    let (fewest, most) = result.connection_balance;
    assert!(fewest > 0 && fewest <= most);
    assert!(result.generator.wall_ns >= 200_000_000);
}

#[test]
fn several_requests_are_sent_in_turn_and_told_apart() {
    let server = Server::answering(OK);
    let mut plan = plan(2, 11);
    plan.requests = vec![get("/one"), get("/two")];
    plan.requests[1].expect = Expect::Status(201);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    let [one, two] = &result.per_request[..] else {
        panic!("two requests have two results");
    };
    assert_eq!((one.name.as_str(), one.ok, one.failed), ("/one", 6, 0));
    assert_eq!((two.name.as_str(), two.ok, two.failed), ("/two", 0, 5));
    assert_eq!(result.outcomes.of(Outcome::UnexpectedStatus), 5);
    assert_eq!(result.outcomes.unexpected_statuses()[&200], 5);
    assert_eq!(result.histogram.len(), 6);
}

#[test]
fn answers_in_chunks_and_single_bytes_and_with_interim_heads_are_good() {
    const WIRES: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabcde",
    ];
    for wire in WIRES {
        let server = Server::start(move |peer| {
            while peer.request()? {
                peer.trickle(wire)?;
            }
            Ok(())
        });
        let mut plan = plan(2, 10);
        plan.requests[0].checks = vec![Check::BodyBytes(5)];
        let result = run(&server.target(), &plan, &mut ()).unwrap();
        assert_eq!(
            result.outcomes.of(Outcome::Ok),
            10,
            "{}",
            wire.escape_ascii()
        );
    }
}

#[test]
fn a_server_that_announces_each_close_is_served_by_reconnecting() {
    let server = Server::start(|peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    });
    let result = run(&server.target(), &plan(1, 20), &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 20);
    assert_eq!(result.reconnects, 19);
    assert_eq!(server.connections(), 20);
}

#[test]
fn a_server_that_closes_idle_connections_without_a_word_fails_no_request() {
    let server = Server::start(|peer| {
        peer.request()?;
        peer.send(OK)
    });
    let result = run(&server.target(), &plan(3, 60), &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 60);
    assert_eq!(result.outcomes.failed(), 0);
    assert_eq!(result.reconnects, 57);
}

#[test]
fn close_delimited_answers_are_whole_at_the_end_of_the_stream() {
    let server = Server::start(|peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
        peer.send(&[b'x'; 3_000_000])
    });
    let mut plan = plan(2, 6);
    plan.requests[0].checks = vec![Check::BodyBytes(3_000_000)];
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 6);
}

#[test]
fn answers_to_head_and_without_content_have_no_body() {
    const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    const TO_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    for (wire, method) in [(NO_CONTENT, "GET"), (TO_HEAD, "HEAD")] {
        let server = Server::answering(wire);
        let mut plan = plan(2, 10);
        let request = Request::new("one", format!("{method} / HTTP/1.1\r\n\r\n"));
        plan.requests = vec![request.expecting(Expect::StatusClass)];
        let result = run(&server.target(), &plan, &mut ()).unwrap();
        assert_eq!(result.outcomes.of(Outcome::Ok), 10);
        assert_eq!(server.connections(), 2);
    }
}

#[test]
fn without_keep_alive_every_request_has_its_own_connection_and_connect_time() {
    let server = Server::answering(OK);
    let mut plan = plan(2, 12);
    plan.keep_alive = false;
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 12);
    assert_eq!(server.connections(), 12);
    assert_eq!((result.connect.len(), result.reconnects), (12, 0));
}

#[test]
fn a_request_larger_than_the_socket_buffers_arrives_whole() {
    const LENGTH: usize = 8_000_000;
    let server = Server::start(|peer| {
        while peer.request()? {
            peer.body(LENGTH)?;
            peer.send(OK)?;
        }
        Ok(())
    });
    let mut plan = plan(2, 4);
    let head = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {LENGTH}\r\n\r\n");
    plan.requests = vec![Request::new(
        "large",
        [head.into_bytes(), vec![b'x'; LENGTH]].concat(),
    )];
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 4);
    assert_eq!(server.connections(), 2);
}

#[test]
fn users_who_think_are_waited_for() {
    let server = Server::answering(OK);
    let plan = Plan {
        pacing: Pacing::Closed {
            users: None,
            think: Think::Fixed(Duration::from_millis(1)),
        },
        ..plan(1, 10)
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 10);
    assert!(result.duration_ns >= 9_000_000);
    assert_eq!(result.lateness.len(), 9);
}

#[test]
fn a_warm_up_goes_on_until_it_is_steady_or_its_time_is_over() {
    let server = Server::answering(OK);
    let rule = WarmUp {
        window: Duration::from_millis(20),
        min_windows: 4,
        max: Duration::from_millis(400),
    };
    let result = warm_up(&server.target(), &plan(2, 1), &rule, &mut ()).unwrap();
    assert!(result.windows_rps.iter().all(|&rate| rate > 0.0));
    assert!(result.windows_rps.len() >= 4 || !result.steady);
    assert_eq!(result.requests, server.requests());
    assert_eq!(result.outcomes.of(Outcome::Ok), result.requests);
}

/// Keeps all that it is shown.
#[derive(Default)]
struct Watcher {
    seen: Vec<Progress>,
}

impl Control for Watcher {
    fn check(&mut self, progress: &Progress) -> ControlFlow<Halt> {
        self.seen.push(*progress);
        ControlFlow::Continue(())
    }
}

#[test]
fn the_control_is_shown_a_growing_progress_not_more_often_than_every_50_ms() {
    let server = Server::answering(OK);
    let mut plan = plan(2, 1);
    plan.stop = Stop::Duration(Duration::from_millis(300));
    let mut watcher = Watcher::default();
    run(&server.target(), &plan, &mut watcher).unwrap();
    assert!(!watcher.seen.is_empty());
    for pair in watcher.seen.windows(2) {
        assert!(pair[1].elapsed_ns >= pair[0].elapsed_ns + 50_000_000);
        assert!(pair[1].requests > pair[0].requests);
    }
    let last = watcher.seen.last().unwrap();
    assert_eq!((last.planned_ns, last.errors), (300_000_000, 0));
    assert_eq!((last.phase, last.side), (Phase::Stretch, None));
}

#[test]
fn plans_that_would_measure_nothing_are_refused_by_name() {
    let server = Server::answering(OK);
    let refused = |change: &dyn Fn(&mut fastr_loadgen::Plan)| {
        let mut plan = plan(1, 1);
        change(&mut plan);
        run(&server.target(), &plan, &mut ()).unwrap_err()
    };
    assert!(matches!(
        refused(&|plan| plan.requests.clear()),
        LoadError::NoRequests(None)
    ));
    assert!(matches!(
        refused(&|plan| plan.connections = 0),
        LoadError::NoConnections(None)
    ));
    assert!(matches!(
        refused(&|plan| plan.stop = Stop::Requests(0)),
        LoadError::NothingToDo(_)
    ));
    let empty = Request::new("/empty", "");
    let error = refused(&|plan| plan.requests.push(empty.clone()));
    assert!(error.to_string().contains("/empty"), "{error}");
    assert_eq!(server.requests(), 0);
}
