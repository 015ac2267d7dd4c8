//! Answers that are none, or not whole: each is counted under its own outcome and its own name, and none hangs.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod server;

use std::io;
use std::thread;
use std::time::Duration;

use fastr_loadgen::{run, Check, Expect, LoadResult, Outcome, Plan};
use server::{plan, Peer, Server};

const REQUESTS: u64 = 6;

/// Any 2xx or 3xx is good.
fn any_good(connections: usize, requests: u64) -> Plan {
    let mut plan = plan(connections, requests);
    plan.requests[0].expect = Expect::StatusClass;
    plan
}

/// Runs a plan, and sees to it that nothing is counted twice or not at all.
fn play(
    plan: &Plan,
    script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
) -> LoadResult {
    let server = Server::start(script);
    let result = run(&server.target(), plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.total(), result.requests);
    assert_eq!(result.ended_early, None);
    assert_eq!(server.requests(), result.requests);
    let ok = result.outcomes.of(Outcome::Ok);
    assert_eq!(result.histogram.len(), ok);
    let bins = result.series.bins.iter();
    assert_eq!(
        bins.map(|bin| bin.ok + bin.failed).sum::<u64>(),
        result.requests
    );
    let details = result
        .outcomes
        .details()
        .values()
        .flat_map(|names| names.values());
    assert!(details.sum::<u64>() <= result.outcomes.failed());
    result
}

/// Sends this to every request, and then waits for the client to close.
fn answered(wire: impl Into<Vec<u8>>) -> LoadResult {
    let wire = wire.into();
    play(&any_good(2, REQUESTS), move |peer| {
        while peer.request()? {
            peer.send(&wire)?;
        }
        Ok(())
    })
}

/// Sends this to every request and closes.
fn answered_and_closed(wire: impl Into<Vec<u8>>) -> LoadResult {
    let wire = wire.into();
    play(&any_good(2, REQUESTS), move |peer| {
        peer.request()?;
        peer.send(&wire)
    })
}

fn all(result: &LoadResult, outcome: Outcome, wire: &[u8]) {
    let outcomes = &result.outcomes;
    let wire = wire.escape_ascii();
    assert_eq!(
        outcomes.of(outcome),
        result.requests,
        "{wire}: {outcomes:?}"
    );
}

/// Each of these is a protocol error of this name, and of no other.
fn protocol_errors(name: &str, wires: &[&[u8]]) {
    for wire in wires {
        let result = answered(*wire);
        all(&result, Outcome::ProtocolError, wire);
        let details = &result.outcomes.details()[&Outcome::ProtocolError];
        let details: Vec<_> = details
            .iter()
            .map(|(name, &count)| (name.as_str(), count))
            .collect();
        assert_eq!(details, [(name, REQUESTS)], "{}", wire.escape_ascii());
    }
}

#[test]
fn bytes_behind_an_answer_are_surplus() {
    protocol_errors(
        "surplus_bytes",
        &[
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx",
            b"HTTP/1.1 204 No Content\r\n\r\nbody",
            b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nbody",
            b"HTTP/1.1 304 Not Modified\r\n\r\nbody",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ],
    );
}

#[test]
fn lengths_that_are_no_number_or_differ_are_named() {
    for length in [
        "-2",
        "+2",
        "two",
        "2 2",
        "0x2",
        "",
        "2.0",
        "2;",
        "18446744073709551616",
    ] {
        let wire = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nok");
        protocol_errors("bad_content_length", &[wire.as_bytes()]);
    }
    protocol_errors(
        "bad_content_length",
        &[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 3\r\n\r\nok"],
    );
}

#[test]
fn chunks_without_a_size_are_named() {
    for size in ["-1", "xyz", "", " 2", "0x2", "11112222333344445", "2\n"] {
        let wire = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nok\r\n0\r\n\r\n"
        );
        protocol_errors("bad_chunk_size", &[wire.as_bytes()]);
    }
}

#[test]
fn chunks_that_do_not_end_where_they_say_are_named() {
    for chunks in [
        "1\r\nok\r\n0\r\n\r\n",
        "2\r\nok0\r\n\r\n",
        "2\r\nok\n0\r\n\r\n",
        "0\r\n\n",
    ] {
        let wire = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        protocol_errors("bad_chunk_end", &[wire.as_bytes()]);
    }
}

#[test]
fn heads_that_are_none_are_named() {
    protocol_errors(
        "bad_head",
        &[
            b"220 mail.example ESMTP ready\r\n",
            b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
            b"\x15\x03\x03\x00\x02\x02\x28",
            b"<html>\r\n\r\n",
        ],
    );
}

#[test]
fn a_change_of_protocol_that_nobody_asked_for_is_named() {
    protocol_errors(
        "bad_status",
        &[
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
        ],
    );
}

#[test]
fn ten_megabytes_of_head_are_not_read_to_their_end() {
    let one = |peer: &mut Peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\nX: ")?;
        peer.send(&vec![b'x'; 10_000_000])?;
        peer.send(b"\r\nContent-Length: 0\r\n\r\n")
    };
    let result = play(&any_good(2, REQUESTS), one);
    all(&result, Outcome::ProtocolError, b"one field");
    let details = &result.outcomes.details()[&Outcome::ProtocolError];
    assert_eq!(details["head_too_long"], REQUESTS);
    assert!(result.bytes_received < REQUESTS * 1_000_000);

    let many = |peer: &mut Peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\n")?;
        peer.send(&b"X: y\r\n".repeat(2_000_000))?;
        peer.send(b"Content-Length: 0\r\n\r\n")
    };
    let result = play(&any_good(2, REQUESTS), many);
    all(&result, Outcome::ProtocolError, b"many fields");
    assert!(result.bytes_received < REQUESTS * 1_000_000);
}

#[test]
fn interim_answers_are_passed_over() {
    const FINAL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let interims: [Vec<u8>; 5] = [
        b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(),
        b"HTTP/1.1 102 Processing\r\n\r\n".to_vec(),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec(),
        // It has no body whatever it says.
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n".to_vec(),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n".repeat(2_000),
    ];
    for interim in interims {
        let result = answered([&interim, FINAL].concat());
        all(&result, Outcome::Ok, &interim[..interim.len().min(80)]);
        assert_eq!(result.reconnects, 0);
    }
}

#[test]
fn interim_answers_alone_are_an_eof_or_a_timeout() {
    const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    all(&answered_and_closed(INTERIM), Outcome::Eof, INTERIM);
    let mut plan = any_good(2, 4);
    plan.request_timeout = Duration::from_millis(50);
    let without_end = |peer: &mut Peer| {
        peer.request()?;
        loop {
            peer.send(INTERIM)?;
        }
    };
    all(&play(&plan, without_end), Outcome::Timeout, INTERIM);
}

#[test]
fn answers_that_have_no_body_need_no_length() {
    for wire in [
        &b"HTTP/1.1 204 No Content\r\n\r\n"[..],
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: x\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    ] {
        let result = answered(wire);
        all(&result, Outcome::Ok, wire);
        assert_eq!(result.reconnects, 0);
    }
}

#[test]
fn odd_answers_that_are_whole_are_good() {
    for wire in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"[..],
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding:CHUNKED\r\n\r\n000002 ; a=\"b\"\r\nok\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 200 \xff\xfe\r\nX-Latin: \xe9\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let mut plan = any_good(2, REQUESTS);
        plan.requests[0].checks = vec![Check::Contains(b"ok".to_vec()), Check::BodyBytes(2)];
        let result = play(&plan, move |peer| {
            while peer.request()? {
                peer.send(wire)?;
            }
            Ok(())
        });
        all(&result, Outcome::Ok, wire);
        assert_eq!(result.reconnects, 0, "{}", wire.escape_ascii());
    }
}

#[test]
fn a_status_of_its_own_is_unexpected_and_named() {
    let result = answered(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n".as_slice());
    all(&result, Outcome::UnexpectedStatus, b"999");
    assert_eq!(result.outcomes.unexpected_statuses()[&999], REQUESTS);
}

/// Cuts an answer after each of its bytes, a connection for each, and ends the connection there.
fn cut_everywhere(wire: &'static [u8], resets: bool) -> LoadResult {
    play(&any_good(1, wire.len() as u64), move |peer| {
        peer.request()?;
        // The first connection is the one that was opened before the load, and has served nothing either.
        peer.send(&wire[..peer.number as usize % wire.len()])?;
        if resets {
            peer.reset_on_close();
        }
        Ok(())
    })
}

#[test]
fn an_answer_that_is_cut_anywhere_is_an_eof_or_a_reset() {
    for wire in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world"[..],
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    ] {
        all(&cut_everywhere(wire, false), Outcome::Eof, wire);
        all(&cut_everywhere(wire, true), Outcome::Reset, wire);
    }
}

#[test]
fn a_length_that_is_too_long_is_an_eof_or_a_timeout() {
    for length in ["100", "18446744073709551615"] {
        let wire = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nshort");
        let result = answered_and_closed(wire.as_bytes());
        all(&result, Outcome::Eof, wire.as_bytes());

        let mut plan = any_good(2, 4);
        plan.request_timeout = Duration::from_millis(40);
        let result = play(&plan, move |peer| {
            peer.request()?;
            peer.send(wire.as_bytes())?;
            peer.wait_for_close()
        });
        all(&result, Outcome::Timeout, length.as_bytes());
        // Lower bounds of the response times are kept.
        assert_eq!(result.response.len(), 4);
        assert!(result.response.quantile_ns(0.0) >= 40_000_000);
    }
}

#[test]
fn heads_chunks_and_bodies_that_trickle_past_the_timeout_are_timeouts() {
    const BEGINNINGS: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ];
    for beginning in BEGINNINGS {
        let mut plan = any_good(2, 4);
        plan.request_timeout = Duration::from_millis(60);
        let result = play(&plan, move |peer| {
            peer.request()?;
            peer.send(beginning)?;
            loop {
                peer.send(b"x")?;
                thread::sleep(Duration::from_millis(2));
            }
        });
        all(&result, Outcome::Timeout, beginning);
    }
}

#[test]
fn an_answer_that_comes_after_its_timeout_is_nobody_s() {
    let mut plan = any_good(1, 4);
    plan.request_timeout = Duration::from_millis(40);
    plan.requests[0].checks = vec![Check::Contains(b"fresh".to_vec())];
    let server = Server::start(|peer| {
        if peer.number == 0 {
            peer.request()?;
            thread::sleep(Duration::from_millis(400));
            return peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
        }
        while peer.request()? {
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh")?;
        }
        Ok(())
    });
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(
        result.outcomes.of(Outcome::Timeout),
        1,
        "{:?}",
        result.outcomes
    );
    assert_eq!(result.outcomes.of(Outcome::Ok), 3);
}
