//! Cookies: each user sends back what the server gave it.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod flows;
mod server;

use std::collections::BTreeSet;
use std::time::Duration;

use fastr_loadgen::{run, Feed, Form, Outcome, Request, Scenario, Template, Think};
use flows::{flow, get_with, playing, post, scenario, slot, text};
use server::{answer, get, Asked, Log, Server, OK};

/// Users who keep cookies.
fn keeping(slots: usize, requests: &[usize]) -> Scenario {
    Scenario {
        cookies: true,
        ..scenario(slots, vec![flow("one", 1, requests)])
    }
}

/// The cookies that came with each request of this path, request by request.
fn cookies_at(log: &Log, target: &str) -> Vec<BTreeSet<String>> {
    let log = log.lock().unwrap();
    let there = log.iter().filter(|asked| asked.target() == target);
    there.map(cookies_of).collect()
}

fn cookies_of(asked: &Asked) -> BTreeSet<String> {
    let cookies = asked.header("cookie").unwrap_or_default();
    let pairs = cookies.split("; ").filter(|pair| !pair.is_empty());
    pairs.map(str::to_owned).collect()
}

fn set<const N: usize>(pairs: [&str; N]) -> BTreeSet<String> {
    pairs.map(str::to_owned).into()
}

/// Sets cookies by path and keeps what was asked.
fn setting(cookies: &'static [(&'static str, &'static [&'static str])]) -> (Server, Log) {
    let log = Log::default();
    let kept = log.clone();
    let server = Server::replying(move |asked, _| {
        kept.lock().unwrap().push(asked.clone());
        let here = cookies.iter().find(|(path, _)| *path == asked.target());
        let fields = here.map_or(&[][..], |(_, cookies)| cookies);
        let lines = fields
            .iter()
            .map(|cookie| format!("Set-Cookie: {cookie}\r\n"));
        answer(&lines.collect::<String>(), "")
    });
    (server, log)
}

#[test]
fn cookies_are_set_replaced_and_deleted_and_go_to_their_paths_alone() {
    let (server, log) = setting(&[
        (
            "/account/login?to=/a/b",
            &[
                "sid=1; Path=/; HttpOnly; Secure; SameSite=Lax",
                "here=x=y",
                "shop=\"2 3\"; path=/shop",
                "gone=4; Path=/; Max-Age=3600",
                "not a cookie",
            ],
        ),
        ("/replace", &["sid=9; Path=/"]),
        ("/delete", &["gone=; Path=/; Max-Age=0", "here=; Max-Age=0"]),
    ]);
    let paths = [
        "/account/login?to=/a/b",
        "/",
        "/account/orders",
        "/shop/cart?x=1",
        "/shopping",
        "/replace",
        "/delete",
        "/after",
    ];
    let requests = paths.map(get).to_vec();
    let plan = playing(keeping(0, &[0, 1, 2, 3, 4, 5, 6, 7]), requests, 1, 9);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 9);
    let sent = paths.map(|path| cookies_at(&log, path).remove(0));
    let expected = [
        set([]),
        set(["sid=1", "gone=4"]),
        set(["sid=1", "gone=4", "here=x=y"]),
        set(["sid=1", "gone=4", "shop=\"2 3\""]),
        set(["sid=1", "gone=4"]),
        set(["sid=1", "gone=4"]),
        set(["sid=9", "gone=4"]),
        set(["sid=9"]),
    ];
    assert_eq!(sent, expected);
    // A deletion is for one path; and what a user holds it holds in its next flow, too.
    let again = &cookies_at(&log, paths[0])[1];
    assert_eq!(*again, set(["sid=9", "here=x=y"]));
    let log = log.lock().unwrap();
    let cart = log.iter().find(|asked| asked.target() == "/shop/cart?x=1");
    let first = cart.unwrap().header("cookie").unwrap();
    assert!(
        first.starts_with("shop="),
        "longer paths come first: {first}"
    );
}

#[test]
fn cookies_are_put_between_the_head_and_the_body_of_any_request() {
    let (server, log) = setting(&[("/login", &["a=1; Path=/", "b=2; Path=/"])]);
    let body = "one\r\n\r\ntwo";
    let fixed = format!(
        "POST /fixed HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let requests = vec![
        get("/login"),
        Request::new("/fixed", fixed),
        post("/template", vec![text(body)]),
        get("/get"),
    ];
    let plan = playing(keeping(0, &[0, 1, 2, 3]), requests, 1, 4);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 4);
    let log = log.lock().unwrap();
    for asked in &log[1..] {
        assert_eq!(cookies_of(asked), set(["a=1", "b=2"]));
        match asked.target().as_str() {
            "/get" => assert_eq!(asked.body, b""),
            _ => assert_eq!(asked.body, body.as_bytes()),
        }
    }
    // Nothing came between two requests that belongs to neither.
    assert_eq!(log.len(), 4);
}

#[test]
fn cookies_that_a_request_brings_itself_are_in_the_same_field() {
    let (server, log) = setting(&[("/login", &["a=1; Path=/"])]);
    let head = "POST /template HTTP/1.1\r\nHost: test\r\nCookie: own=0\r\n";
    let fixed = "GET /fixed HTTP/1.1\r\nHost: test\r\nCookie: own=0\r\n\r\n";
    let requests = vec![
        get("/login"),
        Request::new("/fixed", fixed),
        Request::template("/template", Template::new(vec![text(head)], None)),
    ];
    let plan = playing(keeping(0, &[0, 1, 2]), requests, 1, 3);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 3);
    // RFC 6265, 5.4: there is at most one; servers read the first.
    for path in ["/fixed", "/template"] {
        assert_eq!(cookies_at(&log, path), [set(["own=0", "a=1"])]);
    }
}

#[test]
fn every_user_has_its_own_cookies() {
    let server = Server::replying(|asked, connection| {
        let own = set([&format!("user={connection}")]);
        match (asked.target().as_str(), cookies_of(asked) == own) {
            ("/login", _) => answer(&format!("Set-Cookie: user={connection}\r\n"), ""),
            (_, true) => OK.to_vec(),
            (_, false) => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec(),
        }
    });
    let requests = ["/login", "/use"].map(get).to_vec();
    let plan = playing(keeping(0, &[0, 1]), requests, 8, 400);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(
        result.outcomes.of(Outcome::Ok),
        400,
        "{:?}",
        result.outcomes
    );
    assert_eq!(server.connections(), 8);
}

#[test]
fn a_user_keeps_its_cookies_when_every_request_has_its_own_connection() {
    let server = Server::replying(|asked, _| {
        let user = asked.header("x-user").unwrap();
        let own = set([&format!("user={user}")]);
        match (asked.target().as_str(), cookies_of(asked) == own) {
            ("/login", _) => answer(&format!("Set-Cookie: user={user}\r\n"), ""),
            (_, true) => OK.to_vec(),
            (_, false) => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec(),
        }
    });
    let names: Vec<[String; 1]> = (0..50).map(|name| [format!("u{name}")]).collect();
    let scenario = Scenario {
        feeds: vec![Feed::new(vec![0], &names, false).unwrap()],
        ..keeping(1, &[0, 1])
    };
    let requests = ["/login", "/use"].map(|path| get_with(path, "X-User", 0));
    let mut plan = playing(scenario, requests.to_vec(), 4, 100);
    plan.keep_alive = false;
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(
        result.outcomes.of(Outcome::Ok),
        100,
        "{:?}",
        result.outcomes
    );
    assert_eq!(server.connections(), 100);
}

#[test]
fn a_request_that_is_sent_again_has_its_cookies() {
    let log = Log::default();
    let kept = log.clone();
    // Every connection answers once; the next request on it is read and met by a close.
    let server = Server::start(move |peer| {
        if peer
            .ask()?
            .map(|asked| kept.lock().unwrap().push(asked))
            .is_some()
        {
            peer.send(&answer(&format!("Set-Cookie: n={}\r\n", peer.number), ""))?;
            peer.ask()?;
        }
        Ok(())
    });
    let plan = playing(keeping(0, &[0]), vec![get("/")], 1, 4);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 4, "{:?}", result.outcomes);
    let expected = [set([]), set(["n=0"]), set(["n=1"]), set(["n=2"])];
    assert_eq!(cookies_at(&log, "/"), expected);
}

#[test]
fn cookies_of_an_answer_that_failed_are_kept() {
    let log = Log::default();
    let kept = log.clone();
    let server = Server::replying(move |asked, _| {
        kept.lock().unwrap().push(asked.clone());
        b"HTTP/1.1 500 Oops\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let plan = playing(keeping(0, &[0, 0]), vec![get("/")], 1, 2);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.flows[0].failed, 2);
    assert_eq!(cookies_at(&log, "/"), [set([]), set(["a=1"])]);
}

#[test]
fn a_cookie_is_sent_no_longer_than_it_lives() {
    let (server, log) = setting(&[(
        "/login",
        &["short=1; Path=/; Max-Age=1", "long=2; Path=/; Max-Age=60"],
    )]);
    let mut scenario = keeping(0, &[0, 1, 1]);
    scenario.flows[0].steps[2].pause = Think::Fixed(Duration::from_millis(1_500));
    let requests = ["/login", "/use"].map(get).to_vec();
    let result = run(
        &server.target(),
        &playing(scenario, requests, 1, 3),
        &mut (),
    )
    .unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 3);
    // The first use may come late on a machine that stalls.
    let uses = cookies_at(&log, "/use");
    assert!(uses[0].contains("long=2"));
    assert_eq!(uses[1], set(["long=2"]));
}

#[test]
fn without_cookies_none_are_sent() {
    let (server, log) = setting(&[("/", &["a=1"])]);
    let mut without = keeping(1, &[0, 1]);
    without.cookies = false;
    let requests = vec![get("/"), post("/template", vec![slot(0, Form::Text)])];
    run(&server.target(), &playing(without, requests, 1, 4), &mut ()).unwrap();
    let log = log.lock().unwrap();
    assert!(log.iter().all(|asked| cookies_of(asked).is_empty()));
    assert_eq!(log.len(), 4);
}
