//! One request, looked at closely.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod server;

use std::time::Duration;

use fastr_loadgen::{once, OnceResult, Outcome, Request};
use server::{get, nobody, Server, OK};

fn send(server: &Server, request: &Request, keep_body: usize) -> OnceResult {
    once(
        server.addr,
        request,
        Duration::from_secs(30),
        keep_body,
        &mut (),
    )
    .unwrap()
}

#[test]
fn status_headers_and_body_are_kept() {
    let server = Server::answering(
        b"HTTP/1.1 200 OK\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    let result = send(&server, &get("/"), 1_000);
    assert_eq!((result.outcome, result.status), (Outcome::Ok, Some(200)));
    assert_eq!(result.headers[0], ("X-One".to_owned(), b"1".to_vec()));
    assert_eq!(result.body, b"hello");
    assert_eq!(result.detail, "");
    assert!(result.latency_ns > 0);
}

#[test]
fn no_more_of_a_body_is_kept_than_asked_for() {
    let server = Server::start(|peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
        peer.send(&[b'x'; 5_000_000])
    });
    let result = send(&server, &get("/"), 10);
    assert_eq!(result.body, b"xxxxxxxxxx");
    assert_eq!(result.body_bytes, 5_000_000);
}

#[test]
fn what_was_expected_and_what_came_is_said() {
    let server = Server::answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
    let result = send(&server, &get("/"), 10);
    assert_eq!(result.outcome, Outcome::UnexpectedStatus);
    assert_eq!(result.detail, "expected status 200, got 404");
    assert_eq!(result.body, b"no");
}

#[test]
fn a_head_request_gets_a_head() {
    let server = Server::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n");
    let request = Request::new("one", "HEAD / HTTP/1.1\r\n\r\n");
    assert_eq!(send(&server, &request, 10).outcome, Outcome::Ok);
}

#[test]
fn failures_carry_the_reason() {
    let server = Server::answering(b"garbage\r\n\r\n");
    let garbage = send(&server, &get("/"), 10);
    assert_eq!(
        (garbage.outcome, garbage.status),
        (Outcome::ProtocolError, None)
    );
    assert!(
        garbage.detail.contains("no HTTP/1 response"),
        "{}",
        garbage.detail
    );

    let refused = once(nobody(), &get("/"), Duration::from_secs(30), 0, &mut ()).unwrap();
    assert_eq!(refused.outcome, Outcome::ConnectRefused);
    assert!(refused.detail.contains("refused"), "{}", refused.detail);

    let server = Server::start(|peer| peer.wait_for_close());
    let hangs = once(
        server.addr,
        &get("/"),
        Duration::from_millis(20),
        0,
        &mut (),
    )
    .unwrap();
    assert_eq!(hangs.outcome, Outcome::Timeout);
    assert_eq!(hangs.detail, "no whole answer within 20ms");
}

#[test]
fn only_one_request_is_sent() {
    let server = Server::answering(OK);
    send(&server, &get("/"), 10);
    assert_eq!((server.requests(), server.connections()), (1, 1));
}
