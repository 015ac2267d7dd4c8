//! Bodies in both directions: framing, streaming, back-pressure, and the limits on what a client may send.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute alone, not what they share

mod support;

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use bytes::Bytes;
use fastr_engine::{Limits, Received};
use support::{echo, inline, news, receive, respond, room, saying, start, task, Gate, Served};

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[test]
fn bodies_arrive_whole_in_both_framings() {
    let served = Served::new(echo());
    let mut client = served.client();
    for size in [0, 1, 8192, 3_000_000] {
        let body = "x".repeat(size);
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{body}"
        ));
        assert_eq!(client.response().body.len(), "POST / ".len() + size);
    }
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3;a=b\r\nabc\r\n00a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n");
    assert_eq!(client.response().text(), "POST / abc0123456789");
    client.get("/after");
    assert_eq!(client.response().text(), "GET /after ");
}

#[test]
fn a_request_without_a_body_has_one_empty_piece_and_then_no_client_until_it_is_answered() {
    let (tell, told) = news();
    let served = Served::new(task(move |exchange| {
        let tell = tell.clone();
        async move {
            tell.send(receive(&exchange).await).unwrap();
            respond(&exchange, 200, b"ok");
            tell.send(receive(&exchange).await).unwrap();
        }
    }));
    assert_eq!(served.get("/").text(), "ok");
    assert_eq!(
        told.next(),
        Received::Body {
            bytes: Bytes::new(),
            more: false
        }
    );
    assert_eq!(told.next(), Received::Disconnected);
}

#[test]
fn an_unread_body_does_not_become_a_request() {
    let served = Served::new(saying("no thanks"));
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3000);
    for size in [smuggled.len(), smuggled.len() * 100] {
        let mut client = served.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
        ));
        client.try_send(&smuggled);
        assert_eq!(client.response().text(), "no thanks");
        client.finish_sending();
        client.assert_closed();
    }
}

#[test]
fn both_sides_may_stream_at_once() {
    let served = Served::new(task(|exchange| async move {
        start(&exchange, 200, &[]);
        exchange.send(Bytes::from_static(b"ready"), true).unwrap();
        loop {
            let Received::Body { bytes, more } = receive(&exchange).await else {
                return;
            };
            exchange
                .send(bytes.to_ascii_uppercase().into(), more)
                .unwrap();
            if !more {
                return;
            }
        }
    }));
    let mut client = served.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.head();
    assert_eq!(client.chunk().unwrap(), b"ready");
    for piece in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        assert_eq!(client.chunk().unwrap(), piece.to_uppercase().as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk(), None);
    client.get("/");
    assert_eq!(client.response().text(), "ready");
}

#[test]
fn a_client_that_does_not_read_holds_the_application_back() {
    const PIECE: usize = 64 * 1024;
    const PIECES: usize = 2048;
    let (tell, told) = news();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let served = Served::new(task(move |exchange| {
        let (tell, sent) = (tell.clone(), counted.clone());
        async move {
            start(&exchange, 200, &[]);
            let mut waits = 0;
            for number in 1..=PIECES {
                exchange
                    .send(Bytes::from(vec![b'x'; PIECE]), number < PIECES)
                    .unwrap();
                sent.store(number * PIECE, Ordering::Release);
                let mut held = false;
                std::future::poll_fn(|cx| {
                    let polled = exchange.poll_room(cx);
                    if polled.is_pending() && !held {
                        held = true;
                        waits += 1;
                        tell.send(number * PIECE).unwrap();
                    }
                    polled
                })
                .await;
            }
            assert!(waits > 0);
        }
    }));
    let mut client = served.client();
    client.get("/");
    // What waits beyond the limit waits in the kernel, whose buffers are at most some megabytes.
    let mut held = told.next();
    assert!(held < PIECES * PIECE / 2, "{held} bytes were taken");
    let mut read = 0;
    client.head();
    while let Some(chunk) = client.chunk() {
        read += chunk.len();
        while let Some(next) = told.latest() {
            held = next;
        }
        assert!(sent.load(Ordering::Acquire) <= read + PIECES * PIECE / 2);
    }
    assert_eq!(read, PIECES * PIECE);
    assert!(held > 0);
}

#[test]
fn a_request_body_is_read_no_faster_than_the_application_asks() {
    let gate = Gate::default();
    let held = gate.clone();
    let served = Served::new(task(move |exchange| {
        let gate = held.clone();
        async move {
            gate.opened().await;
            let body = support::whole_body(&exchange).await.unwrap();
            respond(&exchange, 200, body.len().to_string().as_bytes());
        }
    }));
    const SIZE: usize = 64 << 20;
    let mut client = served.client();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"
    ));
    client.stream.set_nonblocking(true).unwrap();
    let piece = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while let Ok(length) = std::io::Write::write(&mut client.stream, &piece) {
        sent += length;
        assert!(sent < SIZE, "the server took everything");
    }
    client.stream.set_nonblocking(false).unwrap();
    gate.open();
    client.send(vec![b'x'; SIZE - sent]);
    assert_eq!(client.response().text(), SIZE.to_string());
}

#[test]
fn continue_is_sent_only_when_the_application_asks_for_the_body() {
    let served = Served::new(task(|exchange| async move {
        if exchange.head().uri.path() == "/refused" {
            return respond(&exchange, 403, b"no");
        }
        let body = support::whole_body(&exchange).await.unwrap();
        respond(&exchange, 200, &body);
    }));
    let head = "HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut client = served.client();
    client.send(format!("POST /wanted {head}"));
    assert_eq!(client.response().status, 100);
    client.send("hi");
    assert_eq!(client.response().text(), "hi");
    client.send(format!("POST /refused {head}"));
    assert_eq!(client.response().status, 403);
    client.finish_sending();
    client.assert_closed();
}

#[test]
fn a_client_that_does_not_wait_for_continue_is_served_too() {
    let served = Served::new(echo());
    let mut client = served.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi");
    let mut response = client.response();
    if response.status == 100 {
        response = client.response();
    }
    assert_eq!(response.text(), "POST / hi");
}

#[test]
fn an_announced_body_above_the_limit_is_refused_before_the_application_sees_it() {
    let served = Served::limited(
        inline(|_| panic!("the application was called")),
        limits(|limits| limits.max_body_bytes = 10),
    );
    for sent in [0, 11] {
        let mut client = served.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
        client.send(vec![b'x'; sent]);
        let response = client.response();
        assert_eq!(
            (response.status, response.header("connection")),
            (413, Some("close"))
        );
        client.finish_sending();
        client.assert_closed();
    }
}

#[test]
fn a_client_that_still_sends_gets_to_read_why_it_was_refused() {
    let served = Served::limited(echo(), limits(|limits| limits.max_body_bytes = 10));
    let mut client = served.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n");
    client.send(vec![b'x'; 8_000_000]);
    assert_eq!(client.response().status, 413);
    client.finish_sending();
    client.assert_closed();
}

#[test]
fn a_chunked_body_is_refused_when_it_passes_the_limit() {
    let (tell, told) = news();
    let served = Served::limited(
        task(move |exchange| {
            let tell = tell.clone();
            async move {
                tell.send(support::whole_body(&exchange).await).unwrap();
            }
        }),
        limits(|limits| limits.max_body_bytes = 10),
    );
    let mut client = served.client();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}5\r\n01234\r\n6\r\n012345\r\n"));
    assert_eq!(client.response().status, 413);
    assert_eq!(told.next(), None);
    client.finish_sending();
    client.assert_closed();
    let mut client = served.client();
    client.send(format!("{head}5\r\n01234\r\n5\r\n01234\r\n0\r\n\r\n"));
    assert_eq!(told.next(), Some(b"0123401234".to_vec()));
    assert_eq!(client.response().status, 500);
}

#[test]
fn a_body_that_passes_the_limit_after_the_response_started_breaks_the_response_off() {
    let served = Served::limited(
        task(|exchange| async move {
            start(&exchange, 200, &[]);
            exchange.send(Bytes::from_static(b"first"), true).unwrap();
            while receive(&exchange).await != Received::Disconnected {}
        }),
        limits(|limits| limits.max_body_bytes = 10),
    );
    let mut client = served.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.head();
    assert_eq!(client.chunk().unwrap(), b"first");
    client.try_send("b\r\n01234567890\r\n");
    client.assert_closed();
}

#[test]
fn a_broken_chunk_is_answered_with_400_and_ends_the_application_s_wait() {
    let (tell, told) = news();
    let served = Served::new(task(move |exchange| {
        let tell = tell.clone();
        async move {
            tell.send(support::whole_body(&exchange).await).unwrap();
        }
    }));
    for broken in [
        "x\r\n",
        "-1\r\n",
        "fffffffffffffffff\r\n",
        "2\r\nabc\r\n",
        "1\r\na0\r\n\r\n",
        "1;\n\r\n",
    ] {
        let mut client = served.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(broken);
        assert_eq!(client.response().status, 400, "{broken:?}");
        assert_eq!(told.next(), None);
        client.finish_sending();
        client.assert_closed();
    }
}

#[test]
fn a_head_above_the_limits_is_answered_with_431() {
    let served = Served::limited(
        saying("ok"),
        limits(|limits| {
            limits.max_head_bytes = 0;
            limits.max_headers = 5;
        }),
    );
    let request = |fields: usize, value: usize| {
        let mut client = served.client();
        let fields: String = (1..fields)
            .map(|number| format!("A{number}: {}\r\n", "x".repeat(value)))
            .collect();
        client.try_send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        client.response().status
    };
    assert_eq!(request(5, 1), 200);
    assert_eq!(request(6, 1), 431);
    assert_eq!(request(2, 8000), 200);
    assert_eq!(request(2, 8192), 431);
    assert_eq!(request(2, 1_000_000), 431);
    assert_eq!(served.get(&format!("/{}", "x".repeat(9000))).status, 431);
}

#[test]
fn absurdly_generous_limits_cost_nothing_and_cannot_be_used_to_panic() {
    let served = Served::limited(
        inline(|exchange| {
            respond(
                &exchange,
                200,
                exchange.head().headers.len().to_string().as_bytes(),
            )
        }),
        limits(|limits| {
            limits.max_headers = usize::MAX;
            limits.max_head_bytes = 4 << 20;
            limits.max_body_bytes = u64::MAX;
            limits.write_buffer_bytes = usize::MAX;
        }),
    );
    assert_eq!(served.get("/").text(), "1");
    for fields in [10_000, 30_000] {
        let mut client = served.client();
        let text: String = (0..fields)
            .map(|number| format!("a{number}: b\r\n"))
            .collect();
        client.try_send(format!("GET / HTTP/1.1\r\nHost: a\r\n{text}\r\n"));
        let expected = if fields < 16_384 { 200 } else { 431 };
        assert_eq!(client.response().status, expected);
    }
}

#[test]
fn a_slow_reader_gets_everything() {
    let served = Served::new(task(|exchange| async move {
        start(&exchange, 200, &[]);
        for number in 0..100_u8 {
            exchange
                .send(Bytes::from(vec![number; 100_000]), number < 99)
                .unwrap();
            room(&exchange).await;
        }
    }));
    let mut client = served.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    client.head();
    let mut rest = client.rest();
    client.stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 10_000_000);
    assert!(rest
        .chunks(100_000)
        .enumerate()
        .all(|(number, piece)| piece.iter().all(|byte| *byte == number as u8)));
}
