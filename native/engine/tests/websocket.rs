//! Websockets: the handshake, messages of all shapes, and what breaks the protocol.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute alone, not what they share

mod support;

use std::sync::Arc;

use bytes::Bytes;
use fastr_engine::{ConstantRoute, SocketError, SocketEvent, SocketFinish, SocketStage, WebSocket};
use support::frames::{close_frame, frame, BINARY, CLOSE, FIN, HANDSHAKE, PING, PONG, TEXT};
use support::sockets::{accept, echoing, event, gone, opened, room, talking, text, Sockets};
use support::{news, Served};

// ---- handshake -------------------------------------------------------------------------------------------------------

#[test]
fn a_valid_handshake_switches_protocols_with_the_key_s_answer() {
    let (served, _) = echoing(|_| {});
    let response = served.client().open();
    assert_eq!(
        response.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert_eq!(response.header("connection"), Some("Upgrade"));
    for absent in [
        "content-length",
        "transfer-encoding",
        "sec-websocket-protocol",
    ] {
        assert_eq!(response.header(absent), None);
    }
}

#[test]
fn tokens_of_the_handshake_are_found_in_lists_and_in_any_case() {
    let (served, _) = echoing(|_| {});
    for (from, to) in [
        ("Connection: Upgrade", "Connection: keep-alive, UPGRADE"),
        ("Upgrade: websocket", "Upgrade: WebSocket"),
        ("Upgrade: websocket", "Upgrade: h2c, websocket"),
    ] {
        let mut client = served.client();
        client.send(HANDSHAKE.replace(from, to));
        assert_eq!(client.head().status, 101, "{to}");
        client.send_frame(TEXT, b"hi");
        assert_eq!(client.frame(), (FIN | TEXT, b"hi".to_vec()));
    }
}

#[test]
fn a_handshake_that_is_none_is_refused() {
    let (served, _) = echoing(|_| {});
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    for (from, to, status) in [
        (key, "", 400),
        (key, "Sec-WebSocket-Key: short\r\n", 400),
        (key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ!!\r\n", 400),
        (key, &format!("{key}{key}"), 400),
        (version, "", 400),
        (version, &format!("{version}{version}"), 400),
        (version, "Sec-WebSocket-Version: 8\r\n", 426),
        (version, "Sec-WebSocket-Version: 13, 8\r\n", 426),
        (version, &format!("{version}Content-Length: 2\r\n"), 400),
    ] {
        let mut client = served.client();
        client.send(HANDSHAKE.replace(from, to));
        let response = client.response();
        assert_eq!(response.status, status, "{to}");
        assert_eq!(response.header("connection"), Some("close"));
        let wanted = (status == 426).then_some("13");
        assert_eq!(response.header("sec-websocket-version"), wanted);
    }
}

#[test]
fn a_request_that_asks_for_no_websocket_is_an_ordinary_one() {
    let (served, _) = echoing(|_| {});
    for (from, to) in [
        ("Upgrade: websocket\r\n", "Upgrade: h2c\r\n"),
        ("Upgrade: websocket\r\n", ""),
        ("Connection: Upgrade", "Connection: keep-alive"),
        ("GET", "OPTIONS"),
        ("HTTP/1.1", "HTTP/1.0"),
    ] {
        let mut client = served.client();
        client.send(HANDSHAKE.replace(from, to));
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, "plain"), "{to}");
    }
    served
        .router
        .add_constant(
            "GET",
            "/chat",
            ConstantRoute::new(200, &[], b"constant".to_vec()).unwrap(),
        )
        .unwrap();
    let mut client = served.client();
    client.send(HANDSHAKE);
    assert_eq!(client.response().text(), "constant");
}

#[test]
fn an_application_without_websockets_denies_them() {
    let served = Served::new(support::saying("ok"));
    let mut client = served.client();
    client.send(HANDSHAKE);
    let response = client.response();
    assert_eq!((response.status, response.text()), (403, ""));
    client.assert_closed();
}

#[test]
fn an_acceptance_carries_subprotocol_and_headers_but_not_what_the_engine_decides() {
    let served = Served::new(talking(|socket| async move {
        let fields: [(&[u8], &[u8]); 4] = [
            (b"X-One", b"1"),
            (b"set-cookie", b"a=b"),
            (b"sec-websocket-accept", b"forged"),
            (b"sec-websocket-extensions", b"permessage-deflate"),
        ];
        socket.accept(Some("chat"), fields.into_iter()).unwrap();
        event(&socket).await;
    }));
    let response = served.client().open();
    assert_eq!(response.header("sec-websocket-protocol"), Some("chat"));
    assert_eq!(response.header("x-one"), Some("1"));
    assert_eq!(response.header("set-cookie"), Some("a=b"));
    assert_eq!(response.header("sec-websocket-extensions"), None);
    let accepts = |(name, _): &&(String, String)| name == "sec-websocket-accept";
    assert_eq!(response.headers.iter().filter(accepts).count(), 1);
}

#[test]
fn headers_cannot_be_injected() {
    let (tell, told) = news();
    let served = Served::new(talking(move |socket| {
        let tell = tell.clone();
        async move {
            let bad: [(&[u8], &[u8]); 2] = [(b"x", b"a\r\nset-cookie: b"), (b"x\r\ny", b"a")];
            for field in bad {
                let error = socket.accept(None, [field].into_iter()).unwrap_err();
                assert!(matches!(error, SocketError::Response(_)), "{error}");
                let error = socket.deny(400, [field].into_iter()).unwrap_err();
                assert!(matches!(error, SocketError::Response(_)), "{error}");
            }
            let error = socket.accept(Some("a\r\nb: c"), std::iter::empty());
            assert!(matches!(error, Err(SocketError::Subprotocol(_))));
            assert_eq!(socket.stage(), SocketStage::Connecting);
            tell.send(()).unwrap();
            accept(&socket);
        }
    }));
    let response = opened_head(&served);
    told.next();
    assert!(response.header("set-cookie").is_none());
}

fn opened_head(served: &Served) -> support::Response {
    served.client().open()
}

#[test]
fn a_denial_is_an_ordinary_response_of_any_length() {
    let served = Served::new(talking(|socket| async move {
        let fields: [(&[u8], &[u8]); 1] = [(b"x-why", b"because")];
        socket.deny(418, fields.into_iter()).unwrap();
        for _ in 0..64 {
            socket
                .deny_body(Bytes::from(vec![b'x'; 16 * 1024]), true)
                .unwrap();
            room(&socket).await;
        }
        socket.deny_body(Bytes::new(), false).unwrap();
        assert_eq!(event(&socket).await, SocketEvent::Connect);
        assert_eq!(event(&socket).await, gone(1006, ""));
        assert_eq!(
            socket.send(text("late")),
            Err(SocketError::Stage(SocketStage::Closed))
        );
    }));
    let mut client = served.client();
    client.send(HANDSHAKE);
    // Messages that come too early do not harm the answer.
    client.send(frame(FIN | TEXT, b"early"));
    let response = client.response();
    assert_eq!(response.status, 418);
    assert_eq!(response.header("x-why"), Some("because"));
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(response.body.len(), 1 << 20);
    client.finish_sending();
    client.assert_closed();
}

#[test]
fn a_handshake_that_the_application_leaves_unanswered_is_answered_with_500() {
    let (tell, told) = news();
    let served = Served::new(Arc::new(Sockets(move |socket: Arc<WebSocket>| {
        tell.send(socket.finish(true)).unwrap();
    })));
    let mut client = served.client();
    client.send(HANDSHAKE);
    let response = client.response();
    assert_eq!(
        (response.status, response.text()),
        (500, "Internal Server Error")
    );
    assert_eq!(told.next(), SocketFinish::NotAccepted);
    client.assert_closed();
}

#[test]
fn a_denial_that_breaks_off_closes_the_connection() {
    let (tell, told) = news();
    let served = Served::new(Arc::new(Sockets(move |socket: Arc<WebSocket>| {
        socket.deny(400, std::iter::empty()).unwrap();
        socket.deny_body(Bytes::from_static(b"half"), true).unwrap();
        tell.send(socket.finish(true)).unwrap();
    })));
    let mut client = served.client();
    client.send(HANDSHAKE);
    assert_eq!(client.head().status, 400);
    assert_eq!(client.chunk().unwrap(), b"half");
    client.assert_closed();
    assert_eq!(told.next(), SocketFinish::Incomplete);
}

#[test]
fn a_client_that_leaves_before_the_answer_is_noticed() {
    let (tell, told) = news();
    let (called, calls) = news();
    let served = Served::new(talking(move |socket| {
        let (tell, called) = (tell.clone(), called.clone());
        async move {
            assert_eq!(event(&socket).await, SocketEvent::Connect);
            called.send(()).unwrap();
            tell.send(event(&socket).await).unwrap();
            let accepted = socket.accept(None, std::iter::empty());
            assert_eq!(accepted, Err(SocketError::Disconnected));
        }
    }));
    let mut client = served.client();
    client.send(HANDSHAKE);
    calls.next();
    drop(client);
    assert_eq!(told.next(), gone(1006, ""));
    served.until(|served| served.server.open_connections() == 0);
}

// ---- messages --------------------------------------------------------------------------------------------------------

#[test]
fn messages_of_every_length_format_come_back_whole() {
    let (served, told) = echoing(|_| {});
    let mut client = opened(&served);
    for length in [0, 1, 125, 126, 4095, 4096, 65_535, 65_536, 1 << 20] {
        let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        client.send_frame(BINARY, &payload);
        assert!(client.frame() == (FIN | BINARY, payload), "{length}");
    }
    client.send_frame(TEXT, "h\u{e9}llo \u{1f600}".as_bytes());
    assert_eq!(
        client.frame(),
        (FIN | TEXT, "h\u{e9}llo \u{1f600}".as_bytes().to_vec())
    );
    client.send(close_frame(1000, "bye"));
    assert_eq!(client.closed_with(), (1000, "bye".to_owned()));
    client.assert_closed();
    assert_eq!(told.next(), gone(1000, "bye"));
}

#[test]
fn messages_behind_the_handshake_in_one_write_are_not_lost() {
    let (served, told) = echoing(|_| {});
    let mut client = served.client();
    let mut bytes = HANDSHAKE.as_bytes().to_vec();
    for number in 0..100 {
        bytes.extend(frame(FIN | TEXT, number.to_string().as_bytes()));
    }
    bytes.extend(close_frame(3000, ""));
    client.send(bytes);
    assert_eq!(client.head().status, 101);
    let mut received = 0;
    let code = loop {
        let (first, payload) = client.frame();
        if first == FIN | CLOSE {
            break payload;
        }
        assert_eq!(payload, received.to_string().as_bytes());
        received += 1;
    };
    // The client's close frame may overtake echoes, not messages.
    assert_eq!(code, 3000_u16.to_be_bytes());
    client.assert_closed();
    assert_eq!(told.next(), gone(3000, ""));
}

#[test]
fn fragments_are_put_together_and_control_frames_may_come_between() {
    let (served, _) = echoing(|_| {});
    let mut client = opened(&served);
    let euro = "\u{20ac}".as_bytes();
    client.send(frame(TEXT, &euro[..1]));
    client.send(frame(FIN | PING, b"between"));
    client.send(frame(0, &euro[1..2]));
    client.send(frame(0, b""));
    client.send(frame(FIN, &euro[2..]));
    assert_eq!(client.frame(), (FIN | PONG, b"between".to_vec()));
    assert_eq!(client.frame(), (FIN | TEXT, euro.to_vec()));
}

#[test]
fn a_frame_that_comes_byte_by_byte_is_a_frame() {
    let (served, _) = echoing(|_| {});
    let mut client = opened(&served);
    client.stream.set_nodelay(true).unwrap();
    for byte in frame(FIN | TEXT, b"slowly") {
        client.send([byte]);
    }
    assert_eq!(client.frame(), (FIN | TEXT, b"slowly".to_vec()));
}

#[test]
fn a_message_as_large_as_the_limit_passes_and_a_larger_one_closes_with_1009() {
    let (served, told) = echoing(|limits| limits.max_message_bytes = 1000);
    let mut client = opened(&served);
    client.send_frame(BINARY, &[7; 1000]);
    assert_eq!(client.frame(), (FIN | BINARY, vec![7; 1000]));
    client.send_frame(BINARY, &[7; 1001]);
    assert_eq!(client.closed_with().0, 1009);
    client.finish_sending();
    client.assert_closed();
    assert!(matches!(
        told.next(),
        SocketEvent::Disconnect { code: 1009, .. }
    ));

    let mut client = opened(&served);
    client.send(frame(TEXT, &[b'a'; 600]));
    client.send(frame(FIN, &[b'a'; 600]));
    assert_eq!(client.closed_with().0, 1009);
    told.next();

    // The announced length is enough.
    let mut client = opened(&served);
    client.send([FIN | BINARY, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]);
    assert_eq!(client.closed_with().0, 1009);
    told.next();
}

#[test]
fn what_breaks_the_protocol_closes_with_its_code() {
    let (served, told) = echoing(|_| {});
    let unmasked = vec![FIN | TEXT, 2, b'h', b'i'];
    for (what, bytes, code) in [
        ("unmasked", unmasked, 1002),
        ("reserved bit", frame(FIN | 0x40 | TEXT, b"a"), 1002),
        ("unknown opcode", frame(FIN | 0x3, b"a"), 1002),
        ("unknown control opcode", frame(FIN | 0xb, b"a"), 1002),
        ("continuation of nothing", frame(FIN, b"a"), 1002),
        (
            "message inside a message",
            [frame(TEXT, b"a"), frame(FIN | TEXT, b"b")].concat(),
            1002,
        ),
        ("fragmented ping", frame(PING, b""), 1002),
        ("long ping", frame(FIN | PING, &[0; 126]), 1002),
        ("close of one byte", frame(FIN | CLOSE, &[3]), 1002),
        ("close code 1005", close_frame(1005, ""), 1002),
        ("close code 999", close_frame(999, ""), 1002),
        ("no UTF-8", frame(FIN | TEXT, b"\xff"), 1007),
        ("half a character", frame(FIN | TEXT, b"\xe2\x82"), 1007),
        ("no UTF-8 in a fragment", frame(TEXT, b"\xc3\x28"), 1007),
        (
            "no UTF-8 in a close reason",
            frame(FIN | CLOSE, b"\x03\xe8\xff"),
            1007,
        ),
    ] {
        let mut client = opened(&served);
        client.send(bytes);
        assert_eq!(client.closed_with().0, code, "{what}");
        client.finish_sending();
        client.assert_closed();
        let told = told.next();
        let SocketEvent::Disconnect { code: told, .. } = told else {
            panic!("{told:?}");
        };
        assert_eq!(told, code, "{what}");
    }
    served.until(|served| served.server.open_connections() == 0);
}
