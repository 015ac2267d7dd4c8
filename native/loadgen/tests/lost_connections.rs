//! Connections that end under a run: what is sent again and what is not, and servers that go away in the middle.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod server;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastr_loadgen::{
    run, Arrivals, EarlyEnd, LoadResult, Outcome, Pacing, Plan, Profile, Request, Stop, Target,
};
use server::{plan, Server, OK};

/// Every connection answers once; the next request on it is read, and met by a close or a reset.
fn forgetful(resets: bool) -> Server {
    Server::start(move |peer| {
        if peer.ask()?.is_none() {
            return Ok(());
        }
        peer.send(OK)?;
        peer.ask()?;
        if resets {
            peer.reset_on_close();
        }
        Ok(())
    })
}

fn of_method(method: &str) -> Plan {
    let bytes = format!("{method} / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\none");
    Plan {
        requests: vec![Request::new(method, bytes)],
        ..plan(1, 6)
    }
}

#[test]
fn what_may_change_something_is_never_sent_twice() {
    for method in ["POST", "PATCH", "post", "X-OTHER"] {
        for (resets, lost) in [(false, Outcome::Eof), (true, Outcome::Reset)] {
            let server = forgetful(resets);
            let result = run(&server.target(), &of_method(method), &mut ()).unwrap();
            let outcomes = &result.outcomes;
            assert_eq!(result.requests, 6);
            assert_eq!(outcomes.of(Outcome::Ok), 3, "{method}: {outcomes:?}");
            assert_eq!(outcomes.of(lost), 3, "{method}: {outcomes:?}");
            assert_eq!(server.requests(), 6, "{method}");
        }
    }
}

#[test]
fn what_changes_nothing_is_sent_again_once_and_counted_once() {
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        for resets in [false, true] {
            let server = forgetful(resets);
            let result = run(&server.target(), &of_method(method), &mut ()).unwrap();
            let outcomes = &result.outcomes;
            assert_eq!(result.requests, 6);
            assert_eq!(outcomes.of(Outcome::Ok), 6, "{method}: {outcomes:?}");
            assert_eq!((result.histogram.len(), result.reconnects), (6, 5));
            // All but the first met the close of the connection before.
            assert_eq!(server.requests(), 11, "{method}");
            assert_eq!(server.connections(), 6, "{method}");
        }
    }
}

#[test]
fn what_was_partly_answered_is_not_sent_again() {
    let server = Server::start(|peer| {
        peer.request()?;
        peer.send(OK)?;
        peer.request()?;
        peer.send(b"H")
    });
    let result = run(&server.target(), &plan(1, 6), &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 3);
    assert_eq!(result.outcomes.of(Outcome::Eof), 3, "{:?}", result.outcomes);
    assert_eq!(server.requests(), 6);
}

#[test]
fn a_request_that_is_cut_off_while_it_is_written_is_lost_once() {
    const LENGTH: usize = 8_000_000;
    let server = Server::start(|peer| {
        peer.request()?;
        peer.body(100_000)?;
        peer.reset_on_close();
        Ok(())
    });
    let head = format!("POST / HTTP/1.1\r\nContent-Length: {LENGTH}\r\n\r\n");
    let plan = Plan {
        requests: vec![Request::new(
            "large",
            [head.into_bytes(), vec![b'x'; LENGTH]].concat(),
        )],
        ..plan(2, 6)
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(
        result.outcomes.of(Outcome::Reset),
        6,
        "{:?}",
        result.outcomes
    );
    assert_eq!(server.requests(), 6);
    let details = &result.outcomes.details()[&Outcome::Reset];
    assert_eq!(details.values().sum::<u64>(), 6);
}

#[test]
fn connections_that_are_reset_as_soon_as_they_are_made_fail_their_requests() {
    let server = Server::start(|peer| {
        peer.reset_on_close();
        Ok(())
    });
    let result = run(&server.target(), &plan(2, 10), &mut ()).unwrap();
    // Whether the connection counts as made is up to whether its reset is seen first.
    let lost = [Outcome::Reset, Outcome::Eof, Outcome::ConnectFailed];
    let lost: u64 = lost.map(|outcome| result.outcomes.of(outcome)).iter().sum();
    assert_eq!(lost, result.requests, "{:?}", result.outcomes);
    assert!(result.requests > 0);
}

/// Serves one connection, answers so many requests, and then there is neither a listener nor a connection.
fn mortal(answers: u64) -> (SocketAddr, JoinHandle<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let life = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let mut answered = 0;
        while answered < answers && stream.read(&mut buffer).unwrap() > 0 {
            stream.write_all(OK).unwrap();
            answered += 1;
        }
        drop(listener);
        answered
    });
    (addr, life)
}

fn target(addr: SocketAddr) -> Target {
    Target {
        addr: addr.into(),
        pids: Vec::new(),
    }
}

/// Nothing is left out, and nothing is counted that was not.
fn adds_up(result: &LoadResult, answered: u64) {
    let outcomes = &result.outcomes;
    assert_eq!(result.ended_early, Some(EarlyEnd::Dead));
    assert_eq!(outcomes.of(Outcome::Ok), answered, "{outcomes:?}");
    assert!(outcomes.of(Outcome::ConnectRefused) > 0, "{outcomes:?}");
    assert_eq!(outcomes.total(), result.requests);
    let flows = &result.flows[0];
    assert_eq!(flows.completed, answered);
}

#[test]
fn a_server_that_goes_away_in_the_middle_ends_the_run_early() {
    let (addr, life) = mortal(50);
    let result = run(&target(addr), &plan(1, 1_000), &mut ()).unwrap();
    assert_eq!(life.join().unwrap(), 50);
    adds_up(&result, 50);
    let refused = result.outcomes.of(Outcome::ConnectRefused);
    assert_eq!(result.requests, 50 + refused);
}

#[test]
fn the_rest_of_a_schedule_is_unfinished_when_its_server_goes_away() {
    let (addr, life) = mortal(20);
    let plan = Plan {
        pacing: Pacing::Open {
            rate: Profile::constant(400.0),
            arrivals: Arrivals::Even,
            most_queued: None,
        },
        stop: Stop::Duration(Duration::from_secs(3_600)),
        ..plan(1, 1)
    };
    let result = run(&target(addr), &plan, &mut ()).unwrap();
    assert_eq!(life.join().unwrap(), 20);
    adds_up(&result, 20);
    assert_eq!(result.scheduled, Some(result.requests));
    let unfinished = result.outcomes.of(Outcome::Unfinished);
    assert_eq!(unfinished, result.unsent);
    assert_eq!(result.dropped, 0);
}
