//! What goes over the wire: framing, keep-alive, versions, and routes.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute alone, not what they share

mod support;

use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use fastr_engine::{ConstantRoute, Exchange, Finish, Limits, Listener, ResponseError, Router};
use support::{echo, inline, news, respond, saying, start, task, Gate, Served};

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let served = Served::new(echo());
    let mut client = served.client();
    for number in 0..50 {
        client.get(&format!("/{number}"));
        let response = client.response();
        assert_eq!(response.text(), format!("GET /{number} "));
        assert_eq!(response.header("connection"), None);
    }
    assert_eq!(served.server.open_connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let served = Served::new(echo());
    let mut client = served.client();
    let requests: String = (0..200)
        .map(|number| {
            format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n{number:04}")
        })
        .collect();
    client.send(requests);
    for number in 0..200 {
        assert_eq!(
            client.response().text(),
            format!("POST /{number} {number:04}")
        );
    }
}

#[test]
fn connection_close_is_obeyed_from_either_side() {
    let served = Served::new(inline(|exchange| {
        let headers: &[_] = if exchange.head().uri.path() == "/close" {
            &[("connection", "close")]
        } else {
            &[]
        };
        start(&exchange, 200, headers);
        exchange.send(Bytes::from_static(b"bye"), false).unwrap();
    }));
    let mut client = served.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().header("connection"), Some("close"));
    client.assert_closed();
    let mut client = served.client();
    client.get("/close");
    assert_eq!(client.response().header("connection"), Some("close"));
    client.assert_closed();
}

#[test]
fn http_1_0_is_answered_in_http_1_0_and_closed_unless_it_asks_to_stay() {
    let served = Served::new(saying("old"));
    let mut client = served.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(
        (response.version.as_str(), response.text()),
        ("HTTP/1.0", "old")
    );
    client.assert_closed();

    let mut client = served.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(client.response().header("connection"), Some("keep-alive"));
    }
}

#[test]
fn a_stream_to_http_1_0_ends_with_its_connection() {
    let served = Served::new(task(|exchange| async move {
        start(&exchange, 200, &[]);
        exchange.send(Bytes::from_static(b"one "), true).unwrap();
        tokio::task::yield_now().await;
        exchange.send(Bytes::from_static(b"two"), false).unwrap();
    }));
    let mut client = served.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.text(), "one two");
}

#[test]
fn a_head_request_gets_the_head_alone() {
    let served = Served::new(inline(|exchange| {
        start(&exchange, 200, &[("content-length", "5")]);
        exchange.send(Bytes::from_static(b"hello"), false).unwrap();
    }));
    let mut client = served.client();
    for _ in 0..3 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().header("content-length"), Some("5"));
    }
    client.get("/");
    assert_eq!(client.response().text(), "hello");
}

#[test]
fn statuses_without_content_carry_none_whatever_the_application_sends() {
    for status in [204, 304] {
        for streamed in [false, true] {
            let served = Served::new(task(move |exchange| async move {
                start(&exchange, status, &[("content-length", "4")]);
                exchange
                    .send(Bytes::from_static(b"body"), streamed)
                    .unwrap();
                tokio::task::yield_now().await;
                if streamed {
                    exchange.send(Bytes::new(), false).unwrap();
                }
            }));
            let mut client = served.client();
            for _ in 0..2 {
                client.get("/");
                let response = client.response();
                assert_eq!(response.status, status);
                assert_eq!(response.header("transfer-encoding"), None);
                if status == 204 {
                    assert_eq!(response.header("content-length"), None);
                }
            }
        }
    }
}

#[test]
fn a_response_of_unknown_length_is_chunked() {
    let served = Served::new(task(|exchange| async move {
        start(&exchange, 200, &[]);
        for piece in ["a", "", "bc"] {
            exchange
                .send(Bytes::from_static(piece.as_bytes()), true)
                .unwrap();
            tokio::task::yield_now().await;
        }
        exchange.send(Bytes::new(), false).unwrap();
    }));
    let mut client = served.client();
    for _ in 0..2 {
        client.get("/");
        let response = client.response();
        assert_eq!(response.header("transfer-encoding"), Some("chunked"));
        assert_eq!(response.text(), "abc");
    }
}

#[test]
fn nothing_is_sent_before_the_first_body_message() {
    let served = Served::new(inline(|exchange| {
        start(&exchange, 200, &[("content-length", "1")]);
        assert_eq!(exchange.finish(), Finish::NotStarted);
    }));
    let mut client = served.client();
    for _ in 0..2 {
        client.get("/");
        let response = client.response();
        assert_eq!(
            (response.status, response.text()),
            (500, "Internal Server Error")
        );
    }
}

#[test]
fn an_application_that_never_answers_is_answered_for_even_after_starting_a_204() {
    let served = Served::new(inline(|exchange| {
        if exchange.head().uri.path() == "/started" {
            start(&exchange, 204, &[]);
        }
        assert_eq!(exchange.finish(), Finish::NotStarted);
        assert_eq!(exchange.finish(), Finish::Complete);
    }));
    let mut client = served.client();
    for path in ["/", "/started"] {
        client.get(path);
        let response = client.response();
        assert_eq!(
            (response.status, response.text()),
            (500, "Internal Server Error")
        );
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.head().status, 500);
    }
}

#[test]
fn a_response_that_breaks_off_closes_the_connection_without_its_end() {
    for headers in [&[][..], &[("content-length", "100")]] {
        let (tell, told) = news();
        let served = Served::new(task(move |exchange| {
            let tell = tell.clone();
            async move {
                start(&exchange, 200, headers);
                exchange.send(Bytes::from_static(b"half"), true).unwrap();
                tokio::task::yield_now().await;
                tell.send(exchange.finish()).unwrap();
            }
        }));
        let mut client = served.client();
        client.get("/");
        let rest = String::from_utf8(client.rest()).unwrap();
        assert!(!rest.ends_with("0\r\n\r\n"), "{rest:?} looks complete");
        assert_eq!(told.next(), Finish::Incomplete);
    }
}

/// What an application did wrong, and how it ended.
fn wrong(
    act: impl Fn(&Arc<Exchange>) -> Result<(), ResponseError> + Send + Sync + 'static,
) -> (ResponseError, u16) {
    let (tell, told) = news();
    let served = Served::new(inline(move |exchange| {
        tell.send(act(&exchange).unwrap_err()).unwrap();
        exchange.finish();
    }));
    let mut client = served.client();
    client.get("/");
    let status = client.head().status;
    (told.next(), status)
}

fn starting(status: u16, name: &'static str, value: &'static str) -> (ResponseError, u16) {
    wrong(move |exchange| exchange.start(status, [(name.as_bytes(), value.as_bytes())].into_iter()))
}

#[test]
fn a_response_that_http_does_not_allow_is_refused_and_answered_with_500() {
    assert_eq!(starting(101, "a", "b"), (ResponseError::Status(101), 500));
    assert_eq!(starting(1000, "a", "b"), (ResponseError::Status(1000), 500));
    assert_eq!(
        starting(200, "a b", "c"),
        (ResponseError::HeaderName("a b".into()), 500)
    );
    assert_eq!(
        starting(200, "a", "b\r\nc: d"),
        (ResponseError::HeaderValue("a".into()), 500)
    );
    for length in ["+5", "5, 5", "", "-1", "99999999999999999999"] {
        assert_eq!(
            starting(200, "Content-Length", length),
            (ResponseError::ContentLength(length.into()), 500)
        );
    }
    let many = wrong(|exchange| exchange.start(200, (0..40_000).map(|_| (&b"a"[..], &b"b"[..]))));
    assert_eq!(many, (ResponseError::TooManyHeaders, 500));
    let twice = wrong(|exchange| {
        exchange.start(200, std::iter::empty())?;
        exchange.start(200, std::iter::empty())
    });
    assert_eq!(twice, (ResponseError::StartedTwice, 500));
    assert_eq!(
        wrong(|exchange| exchange.send(Bytes::new(), false)),
        (ResponseError::NotStarted, 500)
    );
}

#[test]
fn a_body_that_contradicts_itself_is_refused() {
    let complete = wrong(|exchange| {
        respond(exchange, 200, b"all");
        exchange.send(Bytes::new(), false)
    });
    assert_eq!(complete, (ResponseError::Complete, 200));
    let sending = |body: &'static [u8], more| {
        wrong(move |exchange| {
            start(exchange, 200, &[("content-length", "3")]);
            exchange.send(Bytes::from_static(body), more)
        })
    };
    assert_eq!(sending(b"four", true), (ResponseError::TooLong, 500));
    assert_eq!(sending(b"hi", false), (ResponseError::TooShort, 500));
}

#[test]
fn the_engine_decides_the_transfer_encoding_and_merges_equal_lengths() {
    let served = Served::new(inline(|exchange| {
        let headers = [
            ("transfer-encoding", "gzip"),
            ("content-length", "2"),
            ("Content-Length", "2"),
            ("x", "\u{e9}"),
        ];
        start(&exchange, 200, &headers);
        exchange.send(Bytes::from_static(b"ok"), false).unwrap();
    }));
    let mut client = served.client();
    client.get("/");
    let head = client.head();
    assert_eq!(head.header("transfer-encoding"), None);
    assert_eq!(
        head.headers
            .iter()
            .filter(|(name, _)| name == "content-length")
            .count(),
        1
    );
    assert!(head.header("date").is_some());
}

#[test]
fn the_next_request_waits_until_the_application_is_done_with_the_one_before() {
    let (tell, told) = news();
    let gate = Gate::default();
    let held = gate.clone();
    let served = Served::new(task(move |exchange| {
        let (tell, gate) = (tell.clone(), held.clone());
        async move {
            tell.send(exchange.head().uri.path().to_owned()).unwrap();
            start(&exchange, 200, &[("content-length", "2")]);
            exchange.send(Bytes::from_static(b"ok"), true).unwrap();
            gate.opened().await;
            assert!(!exchange.is_disconnected());
            exchange.send(Bytes::new(), false).unwrap();
            tell.send("done".to_owned()).unwrap();
        }
    }));
    let mut client = served.client();
    client.get("/first");
    assert_eq!(client.response().text(), "ok");
    client.get("/second");
    assert_eq!(told.next(), "/first");
    // The server reads on: another connection is served meanwhile.
    let mut other = served.client();
    other.get("/other");
    assert_eq!(other.response().text(), "ok");
    assert_eq!(told.next(), "/other");
    assert!(told.none_yet());
    gate.open();
    let mut rest = [told.next(), told.next(), told.next(), told.next()];
    rest.sort();
    assert_eq!(rest, ["/second", "done", "done", "done"]);
    assert_eq!(client.response().text(), "ok");
}

#[test]
fn routes_may_be_added_while_the_server_serves() {
    let router = Arc::new(Router::new());
    let served = Served::routed(router.clone(), Limits::default());
    assert_eq!(served.get("/ping").status, 404);
    router.mount("", saying("root")).unwrap();
    router.mount("/api", saying("api")).unwrap();
    let mut client = served.client();
    let mut answer = |request: &str| {
        client.send(request.replace('!', "HTTP/1.1\r\nHost: a\r\n"));
        client.response()
    };
    assert_eq!(answer("GET /api/items !\r\n").text(), "api");
    assert_eq!(answer("GET /ping !\r\n").text(), "root");
    let headers = [
        (b"x-a".to_vec(), b"1".to_vec()),
        (b"content-length".to_vec(), b"99".to_vec()),
    ];
    let pong = ConstantRoute::new(201, &headers, b"pong".to_vec()).unwrap();
    router.add_constant("GET", "/ping", pong).unwrap();
    for _ in 0..2 {
        let response = answer("GET /ping?a=b !\r\n");
        assert_eq!((response.status, response.text()), (201, "pong"));
        assert_eq!(response.header("x-a"), Some("1"));
        assert_eq!(
            answer("POST /ping !Content-Length: 2\r\n\r\nhi").text(),
            "root"
        );
    }
    // A body that nobody asked for does not become the next request.
    assert_eq!(
        answer("GET /ping !Content-Length: 2\r\n\r\nhi").text(),
        "pong"
    );
    assert_eq!(answer("GET /ping !\r\n").text(), "pong");
    let empty = ConstantRoute::new(204, &[], b"ignored".to_vec()).unwrap();
    router.add_constant("GET", "/empty", empty).unwrap();
    assert_eq!(answer("GET /empty !\r\n").status, 204);
    assert_eq!(answer("GET /api !\r\n").text(), "api");
}

#[test]
fn a_taken_port_is_an_error_with_its_number() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Listener::bind("127.0.0.1", port).unwrap_err();
    // Whatever this system calls it, a second bind of the standard library gets the same.
    let same = TcpListener::bind(("127.0.0.1", port)).unwrap_err();
    assert_eq!(error.raw_os_error(), same.raw_os_error());
    assert!(error.raw_os_error().is_some());
    assert!(
        error.to_string().contains(&format!("127.0.0.1:{port}")),
        "{error}"
    );
    assert_eq!(
        Listener::bind("no host here", 0)
            .unwrap_err()
            .raw_os_error(),
        None
    );
}
