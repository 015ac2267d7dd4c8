//! What only an attacker or a broken client sends. Nothing of it may panic the engine or be taken for two things.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute alone, not what they share

mod support;

use std::time::Duration;

use fastr_engine::{ConstantRoute, Limits};
use support::panics::{count_panics, panics};
use support::{news, respond, task, whole_body, News, Served};

/// Echoes bodies, and tells the paths that it was called with.
fn telling_paths() -> (Served, News<String>) {
    let (tell, told) = news();
    let served = Served::new(task(move |exchange| {
        tell.send(exchange.head().uri.path().to_owned()).unwrap();
        async move {
            if let Some(body) = whole_body(&exchange).await {
                respond(&exchange, 200, &body);
            }
        }
    }));
    (served, told)
}

const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// What the server answers to a request with another one hidden behind it, and which paths the application saw.
fn answer(request: &str) -> (Vec<u16>, Vec<String>) {
    let (served, told) = telling_paths();
    let mut client = served.client();
    client.send(format!("{request}{NEXT}"));
    let mut statuses = Vec::new();
    while let Some(response) = client.response_unless_closed() {
        statuses.push(response.status);
    }
    drop(served);
    (statuses, std::iter::from_fn(|| told.latest()).collect())
}

fn assert_refused(status: u16, request: &str) {
    assert_eq!(answer(request), (vec![status], vec![]), "{request:?}");
}

#[test]
fn framing_that_two_servers_could_read_differently_is_refused() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length:",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding : chunked",
        "Content-Length : 5",
        "Content-Length\t: 5",
        " Content-Length: 5",
        "X: a\r\n Content-Length: 5",
        "X: a\r\n\tfolded",
        "X: a\rb",
        "X: a\0b",
        "X\r\nY: b",
        ": empty",
        "X(): b",
    ] {
        assert_refused(
            400,
            &format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nhello"),
        );
    }
    assert_refused(
        400,
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
}

#[test]
fn a_coding_that_is_not_understood_is_refused() {
    for fields in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    ] {
        assert_refused(
            501,
            &format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n"),
        );
    }
}

#[test]
fn two_words_about_one_length_are_refused() {
    for fields in [
        "Content-Length: 500\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 500",
        "Transfer-Encoding: Chunked\r\nContent-Length: nonsense",
        "Content-Length: 2\r\nContent-Length: 2",
    ] {
        assert_refused(
            400,
            &format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        );
    }
}

#[test]
fn a_bare_line_feed_ends_no_line() {
    for request in [
        "POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_refused(400, request);
    }
    for chunks in ["2\nhi\n0\n\n", "2\r\nhi\r\n0\r\nT: u\n\r\n"] {
        let (statuses, paths) = answer(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ));
        assert_eq!((statuses, paths), (vec![400], vec!["/".to_owned()]));
    }
}

#[test]
fn an_http_1_1_request_names_exactly_one_host() {
    for fields in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: u@a\r\n",
    ] {
        assert_refused(400, &format!("GET / HTTP/1.1\r\n{fields}\r\n"));
    }
    for host in ["a", "", "a.b:80", "[::1]:8000", "a_b", "xn--a%20"] {
        let (statuses, _) = answer(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(statuses, [200, 200], "{host:?}");
    }
}

#[test]
fn request_lines_that_are_not_http_1_are_refused() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / http/1.1",
        "GET /\u{7f} HTTP/1.1",
        "G@T / HTTP/1.1",
        "GET",
        "GET /",
        "CONNECT a:80 HTTP/1.1",
        "GET a:80 HTTP/1.1",
    ] {
        assert_refused(400, &format!("{line}\r\nHost: a\r\n\r\n"));
    }
}

#[test]
fn targets_in_every_form_reach_the_application_or_are_refused() {
    for (target, path) in [
        ("http://a/b?c", "/b"),
        ("http://a", "/"),
        ("*", "*"),
        ("//a//b", "//a//b"),
        ("/%00%ff", "/%00%ff"),
    ] {
        let (statuses, paths) = answer(&format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((statuses, &*paths[0]), (vec![200, 200], path), "{target}");
    }
}

#[test]
fn the_preface_of_http_2_and_a_tls_hello_are_turned_away() {
    let (served, told) = telling_paths();
    for hello in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut client = served.client();
        client.send(hello);
        client.finish_sending();
        client.rest();
    }
    assert!(told.none_yet());
}

/// A small generator of reproducible noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const SPICE: [&[u8]; 16] = [
            b"\r\n",
            b"\n",
            b"\r",
            b"\0",
            b" ",
            b":",
            b"\xff",
            b"0\r\n\r\n",
            b"chunked",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Length: 3\r\n",
            b"Expect: 100-continue\r\n",
            b"Connection: upgrade\r\nUpgrade: x\r\n",
            b"HTTP/1.0",
            b"ffffffffffffffff\r\n",
            b"%",
        ];
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(12)).min(bytes.len());
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] = self.next() as u8,
                1 => drop(bytes.drain(at..end)),
                2 => drop(bytes.splice(at..at, SPICE[self.below(SPICE.len())].iter().copied())),
                3 => {
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
                _ => bytes.truncate(at),
            }
        }
    }
}

#[test]
fn thousands_of_broken_requests_panic_nothing_and_the_server_still_answers() {
    const SEEDS: [&str; 8] = [
        "GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n",
        "HEAD /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /ping HTTP/1.0\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET http://u@h:1/p HTTP/1.1\r\nHost: h:1\r\nCookie: a=b\r\nCookie: c\r\n\r\n",
        "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
    ];
    const END: &[u8] = b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\n\r\n\r\n";
    count_panics();
    // What they miss is ended by a timeout.
    let tiny = Duration::from_millis(1);
    let limits = Limits {
        max_body_bytes: 40,
        max_headers: 4,
        idle_timeout: tiny,
        header_timeout: tiny,
        body_timeout: tiny,
        ..Limits::default()
    };
    let served = Served::limited(
        task(|exchange| async move {
            let unread = exchange.head().headers.len() % 3 == 0;
            if !unread && whole_body(&exchange).await.is_none() {
                return;
            }
            respond(&exchange, 200, exchange.head().uri.to_string().as_bytes());
        }),
        limits,
    );
    let pong = ConstantRoute::new(200, &[], b"pong".to_vec()).unwrap();
    served.router.add_constant("GET", "/ping", pong).unwrap();
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut statuses = std::collections::BTreeSet::new();
    for round in 0..6000 {
        let mut bytes: Vec<u8> = if round % 8 == 7 {
            (0..noise.below(300)).map(|_| noise.next() as u8).collect()
        } else {
            let mut bytes = SEEDS[noise.below(SEEDS.len())].as_bytes().to_vec();
            noise.mutate(&mut bytes);
            bytes
        };
        let mut client = served.client();
        // Whatever still waits for more bytes gets some that are wrong everywhere.
        bytes.extend_from_slice(END);
        bytes.extend_from_slice(END);
        client.try_send(&bytes);
        let answer = client.rest();
        let line = String::from_utf8_lossy(answer.get(..12).unwrap_or(&answer)).into_owned();
        assert!(
            answer.is_empty() || line.starts_with("HTTP/1."),
            "{line:?} to {:?}",
            bytes.escape_ascii().to_string()
        );
        statuses.insert(line.get(9..).unwrap_or("").to_owned());
    }
    for expected in ["200", "400", "413", "431", "501"] {
        assert!(statuses.contains(expected), "only {statuses:?} came");
    }
    assert_eq!(served.get("/alive").text(), "/alive");
    served.until(|served| served.server.open_connections() == 0);
    assert_eq!(panics(), 0);
}

#[test]
fn requests_in_pieces_of_any_size_mean_the_same() {
    let (served, told) = telling_paths();
    let request = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let mut noise = Noise(7);
    for _ in 0..200 {
        let mut client = served.client();
        client.stream.set_nodelay(true).unwrap();
        let mut rest = &request[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + noise.below(rest.len()));
            client.send(piece);
            rest = after;
        }
        assert_eq!(client.response().text(), "abcde");
        assert_eq!(told.next(), "/x");
    }
}
