//! Servers that answer badly or not at all: each fault is counted under its own name, and none hangs.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod server;

use std::io;
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use fastr_loadgen::{
    run, Check, Control, EarlyEnd, Expect, Halt, LoadError, Outcome, Plan, Progress, Request, Stop,
    Target,
};
use server::{get, nobody, plan, Peer, Server, OK};

/// Runs ten requests and returns how many of them had the outcome.
fn count(
    outcome: Outcome,
    script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
) -> u64 {
    let server = Server::start(script);
    let result = run(&server.target(), &plan(2, 10), &mut ()).unwrap();
    assert_eq!(result.requests, 10);
    assert_eq!(result.ended_early, None);
    result.outcomes.of(outcome)
}

#[test]
fn an_answer_500_is_an_unexpected_status() {
    let server = Server::answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nOops");
    let result = run(&server.target(), &plan(2, 10), &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::UnexpectedStatus), 10);
    assert_eq!(result.outcomes.unexpected_statuses()[&500], 10);
    assert!(result.histogram.is_empty());
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_body_of_another_length_fails_its_check() {
    let server = Server::answering(OK);
    let mut plan = plan(2, 10);
    plan.requests[0].checks = vec![Check::BodyBytes(3)];
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::CheckFailed), 10);
}

#[test]
fn a_server_that_dies_in_the_middle_of_an_answer_is_an_eof() {
    let eofs = count(Outcome::Eof, |peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    });
    assert_eq!(eofs, 10);
}

#[test]
fn a_server_that_closes_without_any_answer_is_an_eof() {
    assert_eq!(count(Outcome::Eof, |peer| peer.request().map(drop)), 10);
}

#[test]
fn a_request_is_sent_again_only_once() {
    // The first connection answers once; every other closes without a word, the retried request's included.
    let server = Server::start(|peer| {
        peer.request()?;
        match peer.number {
            0 => peer.send(OK),
            _ => Ok(()),
        }
    });
    let result = run(&server.target(), &plan(1, 2), &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 1);
    assert_eq!(result.outcomes.of(Outcome::Eof), 1);
    assert_eq!(result.reconnects, 1);
}

#[test]
fn a_reset_is_a_reset() {
    let resets = count(Outcome::Reset, |peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")?;
        peer.reset_on_close();
        Ok(())
    });
    assert_eq!(resets, 10);
}

#[test]
fn garbage_is_a_protocol_error() {
    const GARBAGE: [&[u8]; 5] = [
        b"220 mail.example ESMTP ready\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nbody",
    ];
    for garbage in GARBAGE {
        let errors = count(Outcome::ProtocolError, move |peer| {
            peer.request()?;
            peer.send(garbage)?;
            peer.wait_for_close()
        });
        assert_eq!(errors, 10, "{}", garbage.escape_ascii());
    }
}

#[test]
fn a_head_without_end_is_a_protocol_error() {
    let errors = count(Outcome::ProtocolError, |peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            peer.send(
                b"X-Filler: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
            )?;
        }
    });
    assert_eq!(errors, 10);
}

#[test]
fn a_server_that_hangs_is_a_timeout_wherever_it_hangs() {
    const BEGINNINGS: [&[u8]; 3] = [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
    ];
    for beginning in BEGINNINGS {
        let server = Server::start(move |peer| {
            peer.request()?;
            peer.send(beginning)?;
            peer.wait_for_close()
        });
        let mut plan = plan(2, 4);
        plan.request_timeout = Duration::from_millis(20);
        let result = run(&server.target(), &plan, &mut ()).unwrap();
        assert_eq!(result.outcomes.of(Outcome::Timeout), 4);
    }
}

#[test]
fn a_request_may_have_a_timeout_of_its_own() {
    let server = Server::start(|peer| {
        while let Some(asked) = peer.ask()? {
            match asked.target().as_str() {
                "/hangs" => peer.wait_for_close()?,
                _ => {
                    thread::sleep(Duration::from_millis(150));
                    peer.send(OK)?;
                }
            }
        }
        Ok(())
    });
    let mut plan = plan(1, 4);
    plan.requests = vec![get("/hangs"), get("/slow")];
    plan.requests[0].timeout = Some(Duration::from_millis(20));
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!((result.per_request[0].ok, result.per_request[1].ok), (0, 2));
    assert_eq!(result.outcomes.of(Outcome::Timeout), 2);

    // It may be the longer one, too.
    plan.request_timeout = Duration::from_millis(20);
    plan.requests[0].timeout = None;
    plan.requests[1].timeout = Some(Duration::from_secs(30));
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!((result.per_request[0].ok, result.per_request[1].ok), (0, 2));
    assert_eq!(result.outcomes.of(Outcome::Timeout), 2);
}

#[test]
fn a_timeout_of_nothing_is_refused_wherever_it_stands() {
    let server = Server::answering(OK);
    let refused = |plan: &Plan| {
        let result = run(&server.target(), plan, &mut ());
        assert!(matches!(result, Err(LoadError::NothingToDo(_))));
    };
    let zero = Duration::ZERO;
    refused(&Plan {
        request_timeout: zero,
        ..plan(1, 1)
    });
    refused(&Plan {
        connect_timeout: zero,
        ..plan(1, 1)
    });
    let mut own = plan(1, 1);
    own.requests[0].timeout = Some(zero);
    refused(&own);
}

#[test]
fn an_answer_without_end_is_a_timeout() {
    let server = Server::start(|peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            peer.send(&[b'x'; 65_536])?;
        }
    });
    let mut plan = plan(2, 2);
    plan.request_timeout = Duration::from_millis(50);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Timeout), 2);
}

#[test]
fn an_answer_without_end_takes_no_turn_from_the_others() {
    let server = Server::start(|peer| {
        if peer.number == 0 && peer.request()? {
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                peer.send(&[b'x'; 65_536])?;
            }
        }
        while peer.request()? {
            peer.send(OK)?;
        }
        Ok(())
    });
    let mut plan = plan(2, 1);
    plan.stop = Stop::Duration(Duration::from_millis(1_500));
    plan.request_timeout = Duration::from_millis(1_500);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(
        result.outcomes.failed(),
        result.outcomes.of(Outcome::Timeout)
    );
    assert_eq!(result.outcomes.of(Outcome::Ok), result.histogram.len());
    let median = result.histogram.quantile_ns(0.5);
    assert!(
        median < 50_000_000,
        "{median} of {}",
        result.histogram.len()
    );
}

#[test]
fn a_server_that_answers_before_it_has_read_the_request_is_understood() {
    const LENGTH: usize = 32_000_000;
    // Whether the request is written whole before the answer is seen is up to chance; either is fine.
    let server = Server::start(|peer| {
        while peer.request()? {
            peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")?;
            peer.body(LENGTH)?;
        }
        Ok(())
    });
    let mut bytes = format!("POST / HTTP/1.1\r\nContent-Length: {LENGTH}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + LENGTH, b'x');
    let request = Request::new("large", bytes).expecting(Expect::Status(413));
    let plan = Plan {
        requests: vec![request],
        ..plan(1, 3)
    };
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 3);
}

#[test]
fn where_nobody_listens_every_attempt_is_refused_and_the_run_ends_early() {
    let target = Target {
        addr: nobody().into(),
        pids: Vec::new(),
    };
    let plan = Plan {
        stop: Stop::Duration(Duration::from_secs(3_600)),
        ..plan(2, 1)
    };
    let result = run(&target, &plan, &mut ()).unwrap();
    assert_eq!(result.ended_early, Some(EarlyEnd::Dead));
    assert!(result.requests > 0);
    assert_eq!(result.outcomes.of(Outcome::ConnectRefused), result.requests);
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_accepts_nothing_is_a_connect_timeout() {
    use fastr_loadgen::once;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: listening again on a listening socket only makes its queue shorter.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let addr: SocketAddr = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
        queued.push(stream);
    }
    let result = once(addr, &get("/"), Duration::from_millis(60), 0, &mut ()).unwrap();
    assert_eq!(result.outcome, Outcome::ConnectTimeout);
    assert!(result.detail.contains("60ms"), "{}", result.detail);
}

/// Ends the run as soon as it is asked.
struct Interrupts;

impl Control for Interrupts {
    fn check(&mut self, _progress: &Progress) -> ControlFlow<Halt> {
        ControlFlow::Break(Halt::Discard)
    }
}

#[test]
fn an_interrupt_ends_a_run_on_a_server_that_hangs() {
    let server = Server::start(|peer| peer.wait_for_close());
    let mut plan = plan(2, 1);
    plan.request_timeout = Duration::from_secs(3_600);
    let error = run(&server.target(), &plan, &mut Interrupts).unwrap_err();
    assert!(matches!(error, LoadError::Interrupted(Halt::Discard)));
}

#[test]
fn an_interrupt_ends_a_run_on_a_server_that_never_stops_sending() {
    let server = Server::start(|peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            peer.send(&[b'x'; 65_536])?;
        }
    });
    let error = run(&server.target(), &plan(1, 1), &mut Interrupts).unwrap_err();
    assert!(matches!(error, LoadError::Interrupted(Halt::Discard)));
}
