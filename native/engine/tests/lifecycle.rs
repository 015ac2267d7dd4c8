//! How connections end: timeouts, clients that leave, drain, abort, limits on their number, and panics.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute alone, not what they share

mod support;

use std::future::poll_fn;
use std::net::TcpStream;
use std::sync::mpsc::Sender;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastr_engine::{Exchange, Finish, Limits, Received};
use support::{
    echo, inline, news, receive, respond, room, saying, start, task, Client, Gate, News, Served,
};

const TINY: Duration = Duration::from_millis(1);

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// Tells what each exchange received until its client was gone, and how it finished.
async fn watch(exchange: Arc<Exchange>, tell: Sender<(usize, Finish)>) {
    let mut length = 0;
    while let Received::Body { bytes, .. } = receive(&exchange).await {
        length += bytes.len();
    }
    let _ = tell.send((length, exchange.finish()));
}

fn watched(
    first: impl Fn(&Arc<Exchange>) + Send + Sync + 'static,
) -> (Served, News<(usize, Finish)>, News<()>) {
    let (tell, told) = news();
    let (called, calls) = news();
    let served = Served::new(task(move |exchange| {
        first(&exchange);
        called.send(()).unwrap();
        watch(exchange, tell.clone())
    }));
    (served, told, calls)
}

#[test]
fn an_idle_connection_is_closed() {
    let served = Served::limited(saying("ok"), limits(|limits| limits.idle_timeout = TINY));
    served.client().assert_closed();
    let mut client = served.client();
    client.get("/");
    assert_eq!(client.response().text(), "ok");
    client.assert_closed();
}

#[test]
fn a_head_that_does_not_end_is_closed_and_trickling_does_not_help() {
    let served = Served::limited(saying("ok"), limits(|limits| limits.header_timeout = TINY));
    let mut client = served.client();
    client.send("GET / HTTP/1.1\r\nHost:");
    client.assert_closed();
    let mut client = served.client();
    client.send("GET / HTTP/1.1\r\n");
    client
        .stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let started = Instant::now();
    while client.try_send("A: b\r\n") && !client.is_closed() {
        assert!(started.elapsed() < support::PATIENCE);
    }
}

#[test]
fn a_body_that_does_not_come_is_answered_with_408() {
    let (tell, told) = news();
    let served = Served::limited(
        task(move |exchange| watch(exchange, tell.clone())),
        limits(|limits| limits.body_timeout = TINY),
    );
    let mut client = served.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhi");
    let response = client.response();
    assert_eq!(
        (response.status, response.header("connection")),
        (408, Some("close"))
    );
    assert_eq!(told.next(), (2, Finish::Disconnected));
    client.finish_sending();
    client.assert_closed();
}

#[test]
fn a_body_that_does_not_come_after_the_response_started_breaks_it_off() {
    let (tell, told) = news();
    let served = Served::limited(
        task(move |exchange| {
            start(&exchange, 200, &[]);
            exchange.send(Bytes::from_static(b"first"), true).unwrap();
            watch(exchange, tell.clone())
        }),
        limits(|limits| limits.body_timeout = TINY),
    );
    let mut client = served.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    client.head();
    assert_eq!(client.chunk().unwrap(), b"first");
    client.assert_closed();
    assert_eq!(told.next(), (0, Finish::Disconnected));
}

#[test]
fn an_application_that_takes_its_time_is_not_the_client_s_fault() {
    let gate = Gate::default();
    let held = gate.clone();
    let served = Served::limited(
        task(move |exchange| {
            let gate = held.clone();
            async move {
                gate.opened().await;
                let body = support::whole_body(&exchange).await.unwrap();
                respond(&exchange, 200, &body);
            }
        }),
        limits(|limits| {
            limits.idle_timeout = TINY;
            limits.header_timeout = TINY;
            limits.body_timeout = TINY;
            limits.write_timeout = TINY;
        }),
    );
    let mut slow = served.client();
    slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    // By the time that this many idle connections have timed out, the slow one would have long ago.
    for _ in 0..3 {
        served.client().assert_closed();
    }
    gate.open();
    assert_eq!(slow.response().text(), "body");
}

#[test]
fn a_client_that_stops_reading_is_closed_after_the_write_timeout() {
    let (tell, told) = news();
    let served = Served::limited(
        task(move |exchange| {
            let tell = tell.clone();
            async move {
                start(&exchange, 200, &[]);
                while !exchange.is_disconnected() {
                    exchange
                        .send(Bytes::from(vec![b'x'; 1 << 20]), true)
                        .unwrap();
                    room(&exchange).await;
                }
                tell.send(exchange.finish()).unwrap();
            }
        }),
        limits(|limits| limits.write_timeout = TINY),
    );
    let mut client = served.client();
    client.get("/");
    assert_eq!(told.next(), Finish::Disconnected);
    assert!(!client.rest().is_empty());
}

#[test]
fn an_idle_timeout_does_not_cut_a_response_that_is_still_on_its_way() {
    const SIZE: usize = 32 << 20;
    let served = Served::limited(
        inline(|exchange| respond(&exchange, 200, &vec![b'x'; SIZE])),
        limits(|limits| limits.idle_timeout = TINY),
    );
    let mut slow = served.client();
    slow.get("/");
    slow.head();
    for _ in 0..3 {
        served.client().assert_closed();
    }
    assert_eq!(slow.rest().len(), SIZE);
}

#[test]
fn a_client_that_leaves_while_it_sends_its_body_is_noticed() {
    let (served, told, calls) = watched(|_| {});
    for framing in [
        "Content-Length: 10\r\n\r\nhi",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
    ] {
        let mut client = served.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
        calls.next();
        drop(client);
        assert_eq!(told.next(), (2, Finish::Disconnected));
    }
}

#[test]
fn a_client_that_leaves_while_the_application_works_is_noticed() {
    let (served, told, calls) = watched(|_| {});
    for method in ["GET", "HEAD", "POST"] {
        let mut client = served.client();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        calls.next();
        drop(client);
        assert_eq!(told.next(), (0, Finish::Disconnected), "{method}");
    }
}

#[test]
fn a_client_that_leaves_during_the_response_is_noticed() {
    let (served, told, calls) = watched(|exchange| {
        start(exchange, 200, &[]);
        exchange.send(Bytes::from_static(b"first"), true).unwrap();
    });
    let mut client = served.client();
    client.get("/");
    client.head();
    calls.next();
    drop(client);
    assert_eq!(told.next(), (0, Finish::Disconnected));
}

#[test]
fn a_client_that_leaves_after_the_head_of_an_endless_response_to_head_is_noticed() {
    let (served, told, calls) = watched(|exchange| {
        start(exchange, 200, &[]);
        exchange.send(Bytes::from_static(b"first"), true).unwrap();
    });
    let mut client = served.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status, 200);
    calls.next();
    assert!(told.none_yet());
    drop(client);
    assert_eq!(told.next(), (0, Finish::Disconnected));
}

#[test]
fn a_client_that_leaves_while_the_application_waits_for_room_is_noticed() {
    let (tell, told) = news();
    let (waits, waiting) = news();
    let served = Served::new(task(move |exchange| {
        let (tell, waits) = (tell.clone(), waits.clone());
        async move {
            start(&exchange, 200, &[]);
            let piece = Bytes::from(vec![b'x'; 1 << 20]);
            let mut told = false;
            while !exchange.is_disconnected() {
                exchange.send(piece.clone(), true).unwrap();
                poll_fn(|cx| {
                    let room = exchange.poll_room(cx);
                    if room.is_pending() && !std::mem::replace(&mut told, true) {
                        waits.send(()).unwrap();
                    }
                    room
                })
                .await;
            }
            exchange.send(piece, true).unwrap();
            tell.send(exchange.finish()).unwrap();
        }
    }));
    let mut client = served.client();
    client.get("/");
    waiting.next();
    client.head();
    drop(client);
    assert_eq!(told.next(), Finish::Disconnected);
}

#[test]
fn an_application_learns_of_nothing_before_its_request_is_whole() {
    let served = Served::new(inline(|_| panic!("the application was called")));
    let mut client = served.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    client.finish_sending();
    client.rest();
}

#[test]
fn drain_closes_what_is_idle_finishes_what_is_not_and_refuses_what_is_new() {
    let gate = Gate::default();
    let held = gate.clone();
    let (called, calls) = news();
    let served = Served::new(task(move |exchange| {
        let (gate, called) = (held.clone(), called.clone());
        async move {
            called.send(()).unwrap();
            start(&exchange, 200, &[]);
            exchange.send(Bytes::from_static(b"first "), true).unwrap();
            gate.opened().await;
            exchange.send(Bytes::from_static(b"last"), false).unwrap();
        }
    }));
    let mut fresh = served.client();
    let mut busy = served.client();
    busy.get("/");
    calls.next();
    let mut half = served.client();
    half.send("GET / HTTP/1.1\r\nHost: a\r\n");
    // An answered request shows that what was sent before it has been read.
    let mut other = served.client();
    other.get("/");
    calls.next();
    served.server.drain();
    fresh.assert_closed();
    assert!(TcpStream::connect(served.address).is_err());
    gate.open();
    for client in [&mut busy, &mut other] {
        assert_eq!(client.response().text(), "first last");
        client.assert_closed();
    }
    drop(half);
    served.until(|served| served.server.open_connections() == 0);
}

#[test]
fn a_head_that_was_arriving_when_the_drain_began_is_still_answered() {
    let served = Served::new(saying("ok"));
    let mut half = served.client();
    half.send("GET / HTTP/1.1\r\n");
    served.get("/");
    served.until(|served| served.server.open_connections() == 1);
    served.server.drain();
    half.send("Host: a\r\n\r\n");
    // The server may have seen the first half only now; then the connection counted as fresh.
    if let Some(response) = half.response_unless_closed() {
        assert_eq!(
            (response.text(), response.header("connection")),
            ("ok", Some("close"))
        );
        half.assert_closed();
    }
}

#[test]
fn abort_closes_every_connection_whatever_it_does() {
    let (served, told, calls) = watched(|exchange| {
        start(exchange, 200, &[]);
        exchange.send(Bytes::from_static(b"first"), true).unwrap();
    });
    let mut idle = served.client();
    let mut clients: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = served.client();
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
            calls.next();
            client.head();
            assert_eq!(client.chunk().unwrap(), b"first");
            client
        })
        .collect();
    served.server.abort();
    idle.assert_closed();
    for client in &mut clients {
        client.assert_closed();
        assert_eq!(told.next(), (0, Finish::Disconnected));
    }
    served.until(|served| served.server.open_connections() == 0);
}

#[test]
fn connections_above_the_limit_wait_until_others_close() {
    let served = Served::limited(echo(), limits(|limits| limits.max_connections = 2));
    let mut first = [served.client(), served.client()];
    for client in &mut first {
        client.get("/first");
        assert_eq!(client.response().text(), "GET /first ");
    }
    let mut more: Vec<Client> = (0..5).map(|_| served.client()).collect();
    for client in &mut more {
        client.get("/more");
    }
    for client in &mut first {
        client.get("/again");
        assert_eq!(client.response().text(), "GET /again ");
    }
    assert_eq!(served.server.open_connections(), 2);
    drop(first);
    for mut client in more {
        assert_eq!(client.response().text(), "GET /more ");
        assert!(served.server.open_connections() <= 2);
    }
}

#[test]
fn a_panic_in_an_application_ends_its_connection_and_no_other() {
    let served = Served::new(inline(|exchange| {
        assert_ne!(exchange.head().uri.path(), "/panic");
        respond(&exchange, 200, b"alive");
    }));
    let mut bystander = served.client();
    bystander.get("/");
    assert_eq!(bystander.response().text(), "alive");
    for _ in 0..3 {
        let mut client = served.client();
        client.get("/panic");
        client.assert_closed();
    }
    bystander.get("/");
    assert_eq!(bystander.response().text(), "alive");
    served.until(|served| served.server.open_connections() == 1);
}

#[test]
fn a_client_that_sends_no_more_still_gets_its_answer() {
    let (called, calls) = news();
    let gate = Gate::default();
    let held = gate.clone();
    let served = Served::new(task(move |exchange| {
        let (gate, called) = (held.clone(), called.clone());
        async move {
            support::whole_body(&exchange).await;
            called.send(()).unwrap();
            gate.opened().await;
            respond(&exchange, 200, b"late");
        }
    }));
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let mut client = served.client();
        client.send(request);
        client.finish_sending();
        calls.next();
        gate.open();
        assert_eq!(client.response().text(), "late");
        client.assert_closed();
    }
}

#[test]
fn an_application_hears_that_its_client_sends_no_more_and_what_it_sent_arrives() {
    let (served, told, calls) = watched(|exchange| {
        start(exchange, 200, &[]);
        exchange.send(Bytes::from_static(b"first"), true).unwrap();
    });
    let mut client = served.client();
    client.get("/");
    client.head();
    calls.next();
    client.finish_sending();
    assert_eq!(told.next(), (0, Finish::Disconnected));
    assert!(client.rest().windows(5).any(|part| part == b"first"));
}
