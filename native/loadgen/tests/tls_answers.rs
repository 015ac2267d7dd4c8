//! TLS: bodies of all sizes, and every way in which an encrypted answer can end.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod certs;
mod server;

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use certs::Authority;
use fastr_loadgen::{once, run, Check, Expect, LoadResult, Outcome, Plan, Request};
use rustls::version::{TLS12, TLS13};
use rustls::ServerConfig;
use server::{answer, get, plan, Peer, Server, OK};
use sha2::{Digest, Sha256};

/// Bytes that tell places apart.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at % 251) as u8 ^ (at >> 12) as u8)
        .collect()
}

/// Runs a plan on an encrypted server, once in each version.
fn in_each_version(
    plan: &Plan,
    script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    judge: impl Fn(&LoadResult, &Server),
) {
    let authority = Authority::new();
    let script = Arc::new(script);
    for versions in [&[&TLS12], &[&TLS13]] {
        let config: Arc<ServerConfig> = Arc::new(authority.server(versions));
        let script = script.clone();
        let server = Server::start_tls(config, move |peer| script(peer));
        let result = run(&authority.target(server.addr), plan, &mut ()).unwrap();
        assert_eq!(result.outcomes.total(), result.requests);
        judge(&result, &server);
    }
}

fn all_good(result: &LoadResult, _: &Server) {
    let ok = result.outcomes.of(Outcome::Ok);
    assert_eq!(ok, result.requests, "{:?}", result.outcomes);
}

#[test]
fn megabytes_go_both_ways_whole() {
    const LENGTH: usize = 3_000_000;
    let body = pattern(LENGTH);
    let head = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {LENGTH}\r\n\r\n");
    let mut request = Request::new("large", [head.as_bytes(), &body].concat());
    request.checks = vec![
        Check::BodyBytes(LENGTH as u64),
        Check::Contains(body[LENGTH - 10_000..].to_vec()),
    ];
    let plan = Plan {
        requests: vec![request],
        ..plan(2, 4)
    };
    let echo = move |peer: &mut Peer| {
        while let Some(asked) = peer.ask()? {
            assert!(asked.body == body);
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for chunk in asked.body.chunks(70_001) {
                peer.send(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                peer.send(chunk)?;
                peer.send(b"\r\n")?;
            }
            peer.send(b"0\r\n\r\n")?;
        }
        Ok(())
    };
    in_each_version(&plan, echo, |result, server| {
        all_good(result, server);
        assert_eq!((server.requests(), server.connections()), (4, 2));
    });
}

#[test]
fn answers_whose_length_is_any_multiple_of_the_buffers_are_whole() {
    // What a read finds is told by whether it fills the buffer of 64 KiB; records hold 16 KiB.
    const LENGTHS: [usize; 10] = [
        16_383,
        16_384,
        16_385,
        65_535,
        65_536,
        65_537,
        131_072,
        16 * 65_536 - 1,
        16 * 65_536,
        16 * 65_536 + 1,
    ];
    let body_of = |length: usize| {
        let head = answer("", "x".repeat(length)).len() - length;
        pattern(length - head)
    };
    let mut requests = Vec::new();
    for length in LENGTHS {
        let body = body_of(length);
        // The length's digits take their share.
        let body = &body[..body.len() - (answer("", &body).len() - length)];
        let mut request = get(&format!("/{}", body.len()));
        request.checks = vec![
            Check::BodyBytes(body.len() as u64),
            Check::Sha256(Sha256::digest(body).into()),
        ];
        requests.push(request);
    }
    let plan = Plan {
        requests,
        ..plan(2, 40)
    };
    let send = |peer: &mut Peer| {
        while let Some(asked) = peer.ask()? {
            let length: usize = asked.target()[1..].parse().unwrap();
            peer.send(&answer("", pattern(length)))?;
        }
        Ok(())
    };
    in_each_version(&plan, send, all_good);
    let server = Server::start(send);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    all_good(&result, &server);
}

#[test]
fn an_answer_before_the_request_is_read_is_understood() {
    const LENGTH: usize = 8_000_000;
    let mut bytes = format!("POST / HTTP/1.1\r\nContent-Length: {LENGTH}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + LENGTH, b'x');
    let mut request = Request::new("large", bytes).expecting(Expect::Status(200));
    request.checks = vec![Check::BodyBytes(2_000_000)];
    let plan = Plan {
        requests: vec![request],
        ..plan(1, 2)
    };
    let early = |peer: &mut Peer| {
        while peer.request()? {
            peer.send(&answer("", vec![b'x'; 2_000_000]))?;
            peer.body(LENGTH)?;
        }
        Ok(())
    };
    in_each_version(&plan, early, all_good);
}

#[test]
fn a_body_without_length_ends_with_the_session_or_the_socket() {
    let mut plan = plan(2, 6);
    plan.requests[0].checks = vec![Check::BodyBytes(100_000)];
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    let in_words_and_socket = |peer: &mut Peer| {
        peer.request()?;
        peer.send(HEAD)?;
        peer.send(&[b'x'; 100_000])?;
        peer.close_session()
    };
    let socket_alone = |peer: &mut Peer| {
        peer.request()?;
        peer.send(HEAD)?;
        peer.send(&[b'x'; 100_000])?;
        peer.stream.shutdown(Shutdown::Write)?;
        peer.wait_for_close()
    };
    in_each_version(&plan, in_words_and_socket, all_good);
    in_each_version(&plan, socket_alone, all_good);
}

#[test]
fn a_session_that_is_closed_ends_the_answer_though_the_socket_stays_open() {
    let mut plan = plan(1, 3);
    plan.requests[0].checks = vec![Check::BodyBytes(1_000)];
    plan.request_timeout = Duration::from_secs(2);
    let at_once = |peer: &mut Peer| {
        peer.request()?;
        let wire = [b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 1_000][..]].concat();
        let sealed = [peer.seal(&wire)?, peer.seal_close()?].concat();
        peer.send_raw(&sealed)?;
        peer.wait_for_close()
    };
    in_each_version(&plan, at_once, all_good);
}

#[test]
fn a_session_that_is_closed_behind_its_answer_is_not_used_again() {
    let closes = |peer: &mut Peer| {
        peer.ask()?;
        let sealed = [peer.seal(OK)?, peer.seal_close()?].concat();
        peer.send_raw(&sealed)?;
        peer.wait_for_close()
    };
    for method in ["GET", "POST"] {
        let mut plan = plan(2, 8);
        plan.requests = vec![Request::new(method, format!("{method} / HTTP/1.1\r\n\r\n"))];
        plan.request_timeout = Duration::from_secs(2);
        in_each_version(&plan, closes, |result, server| {
            all_good(result, server);
            assert_eq!((server.requests(), server.connections()), (8, 8));
        });
    }
}

/// A head and a part of the body that it announces, of this length.
fn begun(length: usize) -> Vec<u8> {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    [head, pattern(length).as_slice()].concat()
}

/// What becomes of requests whose answers are only begun, in parts of several lengths, and then end like this. The
/// function is given what was begun, sealed but not sent.
fn half_an_answer(
    end: impl Fn(&mut Peer, Vec<u8>) -> io::Result<()> + Send + Sync + 'static,
    outcome: Outcome,
) {
    let mut plan = plan(1, 3);
    plan.request_timeout = Duration::from_secs(2);
    let end = Arc::new(end);
    for length in [4, 5_000, 20_000] {
        let end = end.clone();
        let half = move |peer: &mut Peer| {
            peer.request()?;
            let sealed = peer.seal(&begun(length))?;
            end(peer, sealed)
        };
        in_each_version(&plan, half, |result, _| {
            let outcomes = &result.outcomes;
            assert_eq!(result.requests, 3);
            assert_eq!(outcomes.of(outcome), 3, "{length} bytes: {outcomes:?}");
        });
    }
}

#[test]
fn half_an_answer_is_an_eof_when_the_socket_ends() {
    half_an_answer(
        |peer, half| {
            peer.send_raw(&half)?;
            peer.close_session()
        },
        Outcome::Eof,
    );
    half_an_answer(
        |peer, half| {
            peer.send_raw(&half)?;
            peer.stream.shutdown(Shutdown::Write)?;
            peer.wait_for_close()
        },
        Outcome::Eof,
    );
}

#[test]
fn half_an_answer_is_an_eof_when_the_session_is_closed_and_the_socket_stays_open() {
    half_an_answer(
        |peer, half| {
            let sealed = [half, peer.seal_close()?].concat();
            peer.send_raw(&sealed)?;
            peer.wait_for_close()
        },
        Outcome::Eof,
    );
}

#[test]
fn half_an_answer_and_a_reset_are_a_reset() {
    half_an_answer(
        |peer, half| {
            peer.send_raw(&half)?;
            peer.reset_on_close();
            Ok(())
        },
        Outcome::Reset,
    );
}

#[test]
fn half_an_answer_and_silence_are_a_timeout() {
    let mut plan = plan(2, 4);
    plan.request_timeout = Duration::from_millis(50);
    let half = |peer: &mut Peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?;
        peer.wait_for_close()
    };
    in_each_version(&plan, half, |result, _| {
        assert_eq!(result.outcomes.of(Outcome::Timeout), 4);
    });
}

/// A whole record that no session of ours has sealed.
const FORGED: [u8; 37] = {
    let mut record = [0x5a; 37];
    record[0] = 0x17;
    record[1] = 3;
    record[2] = 3;
    record[3] = 0;
    record[4] = 32;
    record
};

#[test]
fn a_record_that_cannot_be_decrypted_is_a_failure_of_tls() {
    half_an_answer(
        |peer, half| {
            peer.send_raw(&[&half[..], &FORGED].concat())?;
            peer.wait_for_close()
        },
        Outcome::TlsFailed,
    );
}

#[test]
fn a_server_that_stops_speaking_tls_in_the_middle_is_a_failure_of_tls() {
    half_an_answer(
        |peer, half| {
            peer.send_raw(&half)?;
            peer.send_raw(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")?;
            peer.wait_for_close()
        },
        Outcome::TlsFailed,
    );
}

#[test]
fn keys_may_change_between_answers() {
    let authority = Authority::new();
    let config = Arc::new(authority.server(&[&TLS13]));
    let server = Server::start_tls(config, |peer| {
        while peer.request()? {
            peer.send(OK)?;
            let session = peer.session.as_mut().unwrap();
            session.refresh_traffic_keys().map_err(io::Error::other)?;
        }
        Ok(())
    });
    let result = run(&authority.target(server.addr), &plan(2, 40), &mut ()).unwrap();
    all_good(&result, &server);
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_server_that_closes_idle_connections_fails_no_request_that_may_be_sent_twice() {
    let closes = |peer: &mut Peer| {
        peer.request()?;
        peer.send(OK)?;
        peer.close_session()
    };
    in_each_version(&plan(3, 60), closes, |result, server| {
        all_good(result, server);
        assert_eq!(result.reconnects, 57);
        assert!(server.connections() >= 60);
    });
}

#[test]
fn broken_http_inside_is_still_a_protocol_error() {
    let broken = |peer: &mut Peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more")?;
        peer.wait_for_close()
    };
    in_each_version(&plan(2, 6), broken, |result, _| {
        let outcomes = &result.outcomes;
        assert_eq!(outcomes.of(Outcome::ProtocolError), 6, "{outcomes:?}");
        assert_eq!(
            outcomes.details()[&Outcome::ProtocolError]["surplus_bytes"],
            6
        );
    });
}

#[test]
fn once_keeps_what_came_encrypted() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.usual(), |peer| {
        peer.request()?;
        peer.send(&answer("X-One: 1\r\n", "hello"))
    });
    let target = authority.target(server.addr);
    let timeout = Duration::from_secs(30);
    let result = once(target.addr, &get("/"), timeout, 100, &mut ()).unwrap();
    assert_eq!((result.outcome, result.status), (Outcome::Ok, Some(200)));
    assert_eq!(
        (result.body.as_slice(), result.body_bytes),
        (&b"hello"[..], 5)
    );
    assert_eq!(result.headers[0], ("X-One".to_owned(), b"1".to_vec()));
}
