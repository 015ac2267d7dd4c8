//! Websockets over time: pings, clients and applications that are slow, and every way to end.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute alone, not what they share

mod support;

use std::future::{poll_fn, Future};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastr_engine::{Limits, Message, Reactor, SocketError, SocketEvent, SocketStage, WebSocket};
use support::frames::{close_frame, frame, BINARY, CLOSE, FIN, HANDSHAKE, PING, PONG, TEXT};
use support::sockets::{accept, echoing, event, gone, opened, room, talking, text, Sockets};
use support::{news, Client, Gate, Served};

const TINY: Duration = Duration::from_millis(1);

// ---- pings -----------------------------------------------------------------------------------------------------------

#[test]
fn pings_are_answered_while_the_application_does_nothing() {
    let gate = Gate::default();
    let held = gate.clone();
    let served = Served::new(talking(move |socket| {
        let gate = held.clone();
        async move {
            accept(&socket);
            gate.opened().await;
        }
    }));
    let mut client = opened(&served);
    for number in 0..1000_u32 {
        let ping = frame(FIN | PING, &number.to_be_bytes());
        // One write: what comes in two waits for the server's delayed acknowledgement.
        client.send([ping, frame(FIN | PONG, b"unasked")].concat());
        assert_eq!(client.frame(), (FIN | PONG, number.to_be_bytes().to_vec()));
    }
    gate.open();
    assert_eq!(client.closed_with(), (1000, String::new()));
}

#[test]
fn a_client_that_answers_pings_stays() {
    let (served, _) = echoing(|limits| limits.ping_interval = TINY);
    let mut client = opened(&served);
    for _ in 0..3 {
        let (first, payload) = client.frame();
        assert_eq!(first, FIN | PING);
        client.send_frame(PONG, &payload);
    }
}

#[test]
fn a_client_that_answers_no_ping_is_closed_with_1011() {
    let (served, told) = echoing(|limits| {
        limits.ping_interval = TINY;
        limits.ping_timeout = TINY;
    });
    let mut client = opened(&served);
    assert_eq!(client.frame(), (FIN | PING, vec![]));
    assert_eq!(
        client.closed_with(),
        (1011, "keepalive ping timeout".to_owned())
    );
    assert_eq!(told.next(), gone(1011, "keepalive ping timeout"));
    client.finish_sending();
    client.assert_closed();
}

#[test]
fn without_a_ping_timeout_pings_go_on_and_without_an_interval_there_are_none() {
    let (served, _) = echoing(|limits| {
        limits.ping_interval = TINY;
        limits.ping_timeout = Duration::ZERO;
    });
    let mut client = opened(&served);
    for _ in 0..4 {
        assert_eq!(client.frame().0, FIN | PING);
    }

    let (silent, _) = echoing(|limits| {
        limits.ping_interval = Duration::ZERO;
        limits.idle_timeout = TINY;
        limits.header_timeout = TINY;
    });
    let mut client = opened(&silent);
    // By the time that these have timed out, a ping would have come long ago.
    for _ in 0..3 {
        silent.client().assert_closed();
    }
    client.send_frame(TEXT, b"still here");
    assert_eq!(client.frame(), (FIN | TEXT, b"still here".to_vec()));
}

#[test]
fn a_client_that_was_not_heard_for_a_busy_application_is_not_silent() {
    let gate = Gate::default();
    let held = gate.clone();
    let mut limits = Limits::default();
    (limits.ping_interval, limits.ping_timeout) = (TINY, TINY);
    limits.idle_timeout = TINY;
    let (tell, told) = news();
    let app = talking(move |socket| {
        let (gate, tell) = (held.clone(), tell.clone());
        async move {
            accept(&socket);
            gate.opened().await;
            let mut messages = 0;
            event(&socket).await;
            while let SocketEvent::Message(_) = event(&socket).await {
                messages += 1;
            }
            tell.send(messages).unwrap();
        }
    });
    let served = Served::limited(app, limits);
    let mut client = opened(&served);
    // More than the engine reads ahead, so that the pongs behind stay unread.
    for _ in 0..100 {
        client.send_frame(BINARY, &[1; 1000]);
    }
    client.send(close_frame(1000, ""));
    for _ in 0..5 {
        served.client().assert_closed();
    }
    gate.open();
    loop {
        let (first, payload) = client.frame();
        if first == FIN | CLOSE {
            assert_eq!(payload, 1000_u16.to_be_bytes());
            break;
        }
        assert_eq!(first, FIN | PING);
    }
    assert_eq!(told.next(), 100);
}

// ---- back-pressure ---------------------------------------------------------------------------------------------------

#[test]
fn messages_that_nobody_takes_are_not_read_and_none_is_lost() {
    const MESSAGES: u32 = 2000;
    let gate = Gate::default();
    let held = gate.clone();
    let (tell, told) = news();
    let served = Served::new(talking(move |socket| {
        let (gate, tell) = (held.clone(), tell.clone());
        async move {
            accept(&socket);
            event(&socket).await;
            gate.opened().await;
            let mut next = 0_u32;
            while let SocketEvent::Message(Message::Binary(bytes)) = event(&socket).await {
                assert_eq!(bytes[..4], next.to_be_bytes());
                next += 1;
            }
            tell.send(next).unwrap();
        }
    }));
    let mut client = opened(&served);
    client.stream.set_nonblocking(true).unwrap();
    let mut wire = Vec::new();
    for number in 0..MESSAGES {
        let mut payload = vec![0; 16 * 1024];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        wire.extend(frame(FIN | BINARY, &payload));
    }
    // 32 MiB do not fit into the kernel's buffers: sending stops.
    let mut sent = 0;
    while let Ok(count) = std::io::Write::write(&mut client.stream, &wire[sent..]) {
        sent += count;
        assert!(sent < wire.len(), "the engine read on");
    }
    gate.open();
    client.stream.set_nonblocking(false).unwrap();
    client.send(&wire[sent..]);
    client.send(close_frame(1000, ""));
    assert_eq!(told.next(), MESSAGES);
    assert_eq!(client.closed_with().0, 1000);
}

#[test]
fn a_client_that_does_not_read_makes_the_application_wait_and_its_messages_still_come() {
    let (waits, waiting) = news();
    let (tell, told) = news();
    let served = Served::new(talking(move |socket| {
        let (waits, tell) = (waits.clone(), tell.clone());
        async move {
            accept(&socket);
            event(&socket).await;
            let piece = Bytes::from(vec![9; 1 << 20]);
            let mut sent = 0_u32;
            let mut told_waiting = false;
            let mut stop = std::pin::pin!(event(&socket));
            loop {
                socket.send(Message::Binary(piece.clone())).unwrap();
                sent += 1;
                let mut room = std::pin::pin!(room(&socket));
                let stopped = poll_fn(|cx| {
                    if let std::task::Poll::Ready(event) = stop.as_mut().poll(cx) {
                        assert_eq!(event, SocketEvent::Message(text("stop")));
                        return std::task::Poll::Ready(true);
                    }
                    let room = room.as_mut().poll(cx);
                    if room.is_pending() && !std::mem::replace(&mut told_waiting, true) {
                        waits.send(()).unwrap();
                    }
                    room.map(|()| false)
                })
                .await;
                if stopped {
                    break;
                }
            }
            tell.send(sent).unwrap();
        }
    }));
    let mut client = opened(&served);
    waiting.next();
    client.send_frame(TEXT, b"stop");
    let sent = told.next();
    for _ in 0..sent {
        let (first, payload) = client.frame();
        assert_eq!((first, payload.len()), (FIN | BINARY, 1 << 20));
    }
    assert_eq!(client.closed_with(), (1000, String::new()));
}

#[test]
fn a_client_that_sends_pings_and_reads_no_pongs_is_not_buffered_for() {
    let (served, told) = echoing(|limits| limits.write_timeout = TINY);
    let mut client = opened(&served);
    let pings = frame(FIN | PING, &[0; 125]).repeat(1000);
    // Pongs fill the kernel's buffers, then the engine stops to read and gives up.
    while client.try_send(&pings) {}
    assert_eq!(told.next(), gone(1006, ""));
}

// ---- ends ------------------------------------------------------------------------------------------------------------

#[test]
fn the_application_s_close_comes_behind_its_messages_and_waits_for_the_client_s() {
    let (tell, told) = news();
    let served = Served::new(talking(move |socket| {
        let tell = tell.clone();
        async move {
            accept(&socket);
            event(&socket).await;
            socket.send(text("last")).unwrap();
            socket.close(4001, "go away").unwrap();
            assert_eq!(
                socket.close(4001, ""),
                Err(SocketError::Stage(SocketStage::Closed))
            );
            tell.send(event(&socket).await).unwrap();
        }
    }));
    let mut client = opened(&served);
    assert_eq!(client.frame(), (FIN | TEXT, b"last".to_vec()));
    assert_eq!(client.closed_with(), (4001, "go away".to_owned()));
    assert_eq!(told.next(), gone(4001, "go away"));
    for _ in 0..100 {
        client.send_frame(BINARY, &[0; 10_000]);
    }
    client.send(close_frame(4001, ""));
    client.assert_closed();
}

#[test]
fn a_client_that_does_not_answer_a_close_frame_is_cut_off() {
    let app = || {
        talking(|socket| async move {
            accept(&socket);
        })
    };
    let limits = Limits {
        close_timeout: TINY,
        ..Limits::default()
    };
    let served = Served::limited(app(), limits);
    let mut client = opened(&served);
    assert_eq!(client.closed_with(), (1000, String::new()));
    client.assert_closed();
}

#[test]
fn codes_and_reasons_that_no_close_frame_may_have_are_refused() {
    let (tell, told) = news();
    let served = Served::new(talking(move |socket| {
        let tell = tell.clone();
        async move {
            accept(&socket);
            for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_536 + 1000] {
                assert_eq!(socket.close(code, ""), Err(SocketError::CloseCode(code)));
            }
            let long = "x".repeat(124);
            assert_eq!(socket.close(1000, &long), Err(SocketError::ReasonTooLong));
            socket.close(1014, &long[1..]).unwrap();
            tell.send(()).unwrap();
        }
    }));
    let mut client = opened(&served);
    assert_eq!(client.closed_with(), (1014, "x".repeat(123)));
    told.next();
}

#[test]
fn a_close_frame_without_a_code_is_1005_and_an_end_without_one_1006() {
    let (served, told) = echoing(|_| {});
    let mut client = opened(&served);
    client.send_frame(CLOSE, b"");
    assert_eq!(client.frame(), (FIN | CLOSE, vec![]));
    client.assert_closed();
    assert_eq!(told.next(), gone(1005, ""));

    drop(opened(&served));
    assert_eq!(told.next(), gone(1006, ""));

    let mut client = opened(&served);
    client.send(&frame(FIN | TEXT, b"half")[..5]);
    client.finish_sending();
    assert_eq!(told.next(), gone(1006, ""));
    client.assert_closed();
    served.until(|served| served.server.open_connections() == 0);
}

#[test]
fn sending_after_the_client_has_gone_is_an_error_and_waiting_ends() {
    let (tell, told) = news();
    let served = Served::new(talking(move |socket| {
        let tell = tell.clone();
        async move {
            accept(&socket);
            let piece = Bytes::from(vec![0; 1 << 20]);
            while socket.send(Message::Binary(piece.clone())).is_ok() {
                room(&socket).await;
            }
            assert!(socket.is_disconnected());
            let late = [
                socket.send(text("late")).unwrap_err(),
                socket.close(1000, "").unwrap_err(),
            ];
            tell.send(late).unwrap();
        }
    }));
    drop(opened(&served));
    let gone = SocketError::Disconnected;
    assert_eq!(told.next(), [gone.clone(), gone]);
}

#[test]
fn a_drain_closes_websockets_with_1012_behind_what_was_sent() {
    let (served, told) = echoing(|_| {});
    let mut clients: Vec<Client> = (0..3).map(|_| opened(&served)).collect();
    for client in &mut clients {
        client.send_frame(TEXT, b"hi");
        assert_eq!(client.frame(), (FIN | TEXT, b"hi".to_vec()));
    }
    served.server.drain();
    for client in &mut clients {
        assert_eq!(client.closed_with(), (1012, String::new()));
        assert_eq!(told.next(), gone(1012, ""));
    }
    clients[0].send(close_frame(1012, ""));
    clients[0].assert_closed();
    // Who does not answer is not waited for for long.
    clients[1].assert_closed();
    drop(clients);
    served.until(|served| served.server.open_connections() == 0);
}

#[test]
fn a_websocket_that_is_accepted_during_a_drain_is_closed_at_once() {
    let gate = Gate::default();
    let held = gate.clone();
    let (called, calls) = news();
    let served = Served::new(talking(move |socket| {
        let (gate, called) = (held.clone(), called.clone());
        async move {
            called.send(()).unwrap();
            gate.opened().await;
            accept(&socket);
            event(&socket).await;
            assert_eq!(event(&socket).await, gone(1012, ""));
        }
    }));
    let mut client = served.client();
    client.send(HANDSHAKE);
    calls.next();
    served.server.drain();
    gate.open();
    assert_eq!(client.head().status, 101);
    assert_eq!(client.closed_with().0, 1012);
    client.send(close_frame(1012, ""));
    client.assert_closed();
}

#[test]
fn an_abort_drops_websockets_in_every_state() {
    let (tell, told) = news();
    let served = Served::new(talking(move |socket| {
        let tell = tell.clone();
        async move {
            if socket.head().uri.query() == Some("room=1") {
                accept(&socket);
            }
            event(&socket).await;
            tell.send(None).unwrap();
            tell.send(Some(event(&socket).await)).unwrap();
        }
    }));
    let mut open = opened(&served);
    assert_eq!(told.next(), None);
    let mut connecting = served.client();
    connecting.send(HANDSHAKE.replace("room=1", "room=2"));
    assert_eq!(told.next(), None);
    served.server.abort();
    for client in [&mut open, &mut connecting] {
        client.rest();
        assert!(matches!(
            told.next(),
            Some(SocketEvent::Disconnect {
                code: 1006 | 1012,
                ..
            })
        ));
    }
    served.until(|served| served.server.open_connections() == 0);
}

#[test]
fn a_reactor_that_is_dropped_tells_its_websockets_and_keeps_nothing() {
    let mut reactor = Reactor::new().unwrap();
    let (tell, told) = news();
    let end = reactor.end();
    let app = Arc::new(Sockets(move |socket: Arc<WebSocket>| {
        accept(&socket);
        tell.send(socket).unwrap();
        end.request();
    }));
    let router = Arc::new(fastr_engine::Router::new());
    router.mount("", app).unwrap();
    let listener = fastr_engine::Listener::bind("127.0.0.1", 0).unwrap();
    let address = listener.address().tcp().unwrap();
    let server =
        fastr_engine::Server::start(&reactor, Some(listener), router, Limits::default()).unwrap();
    let mut client = Client::connect(address);
    client.send(HANDSHAKE);
    let socket = loop {
        reactor.turn(None, false);
        if let Some(socket) = told.latest() {
            break socket;
        }
    };
    drop(server);
    drop(reactor);
    client.rest();
    assert!(socket.is_disconnected());
    socket.finish(false);
    assert_eq!(Arc::strong_count(&socket), 1);
    assert_eq!(Arc::strong_count(socket.exchange()), 1);
}
