//! Checks of answers: each kind, how they are named when they fail, and how often one looks.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod flows;
mod server;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastr_loadgen::{
    once, pattern, run, run_paired, Check, Expect, Form, LoadError, LoadResult, Outcome, Request,
    Source, Template,
};
use flows::{capturing, flow, get_with, json, playing, post, scenario, text};
use server::{answer, get, paired_plan, plan, Server};
use sha2::{Digest, Sha256};

const BODY: &str = r#"{"items":[{"id":7,"name":"apple"}],"a/b":null,"price":1.5}"#;

fn header(name: &str, value: Option<&str>) -> Check {
    Check::Header {
        name: name.to_owned(),
        value: value.map(|value| value.as_bytes().to_vec()),
    }
}

/// Six answers of this body are held against these checks.
fn checked(checks: Vec<Check>) -> LoadResult {
    let server = Server::replying(|_, _| answer("X-Kind: Fruit\r\n", BODY));
    let mut plan = plan(2, 6);
    plan.requests[0].checks = checks;
    run(&server.target(), &plan, &mut ()).unwrap()
}

/// Each detail of failed checks, and how often it came.
fn details(result: &LoadResult) -> BTreeMap<String, u64> {
    let details = result.outcomes.details();
    details
        .get(&Outcome::CheckFailed)
        .cloned()
        .unwrap_or_default()
}

#[test]
fn a_good_answer_passes_all_checks_at_once() {
    let result = checked(vec![
        Check::Contains(b"apple".to_vec()),
        Check::Matches(pattern(r#""id":\d,"#).unwrap()),
        Check::json("/items/0/id", Some("7.0")).unwrap(),
        Check::json("/items/0", Some(r#"{"name":"apple","id":7}"#)).unwrap(),
        Check::json("/a~1b", Some("null")).unwrap(),
        Check::json("/price", None).unwrap(),
        header("x-kind", None),
        header("X-KIND", Some("Fruit")),
        Check::Sha256(Sha256::digest(BODY).into()),
        Check::BodyBytes(BODY.len() as u64),
    ]);
    assert_eq!(result.outcomes.of(Outcome::Ok), 6, "{:?}", result.outcomes);
    assert!(result.outcomes.details().is_empty());
}

#[test]
fn each_check_that_fails_is_counted_under_its_own_name() {
    let failing = [
        (Check::Contains(b"pear".to_vec()), "pear"),
        (Check::Matches(pattern("^pe+r$").unwrap()), "^pe+r$"),
        (
            Check::json("/items/0/id", Some("8")).unwrap(),
            "/items/0/id",
        ),
        (Check::json("/items/0/id", Some("\"7\"")).unwrap(), "\"7\""),
        (Check::json("/items/1", None).unwrap(), "/items/1"),
        (Check::json("/a~1b", Some("0")).unwrap(), "/a~1b"),
        (header("X-Other", None), "X-Other"),
        (header("X-Kind", Some("fruit")), "\"fruit\""),
        (Check::Sha256(Sha256::digest("").into()), "SHA-256"),
        (Check::BodyBytes(BODY.len() as u64 + 1), "bytes"),
    ];
    let mut names = Vec::new();
    for (check, word) in failing {
        // Those around it hold.
        let result = checked(vec![
            header("X-Kind", None),
            check,
            Check::Contains(b"apple".to_vec()),
        ]);
        assert_eq!(result.outcomes.of(Outcome::CheckFailed), 6, "{word}");
        let details = details(&result);
        let [(name, 6)] = details
            .iter()
            .map(|(name, &count)| (name, count))
            .collect::<Vec<_>>()[..]
        else {
            panic!("one detail for {word}: {details:?}");
        };
        assert!(name.contains(word), "{name}");
        assert_eq!(result.per_request[0].outcomes, result.outcomes);
        assert!(result.histogram.is_empty());
        names.push(name.clone());
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 10);
}

#[test]
fn the_first_check_that_fails_is_the_one_that_is_named() {
    let result = checked(vec![Check::BodyBytes(1), Check::Contains(b"pear".to_vec())]);
    assert_eq!(details(&result).len(), 1);
    assert!(details(&result).keys().all(|name| name.contains("bytes")));
}

#[test]
fn an_unexpected_status_is_no_failed_check() {
    let server = Server::answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let mut plan = plan(1, 3);
    plan.requests[0].checks = vec![Check::BodyBytes(1)];
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::UnexpectedStatus), 3);
    assert_eq!(result.outcomes.unexpected_statuses()[&404], 3);
}

#[test]
fn checks_that_look_now_and_then_look_at_every_so_manieth_answer() {
    for (every, connections, failed) in [(0, 1, 10), (1, 3, 10), (3, 1, 4), (3, 4, 4), (100, 2, 1)]
    {
        let server = Server::replying(|_, _| answer("", BODY));
        let mut plan = plan(connections, 10);
        plan.requests[0].checks = vec![Check::Contains(b"pear".to_vec())];
        plan.requests[0].look_every = every;
        let result = run(&server.target(), &plan, &mut ()).unwrap();
        assert_eq!(result.outcomes.of(Outcome::CheckFailed), failed, "{every}");
        assert_eq!(result.outcomes.of(Outcome::Ok), 10 - failed);
    }
}

#[test]
fn an_answer_to_a_request_that_was_sent_twice_is_one_answer() {
    // Every connection answers once; the next request on it is read and met by a close.
    let server = Server::start(|peer| {
        peer.request()?;
        peer.send(&answer("", BODY))?;
        peer.request().map(drop)
    });
    let mut plan = plan(1, 7);
    plan.requests[0].checks = vec![Check::Contains(b"pear".to_vec())];
    plan.requests[0].look_every = 2;
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.requests, 7);
    assert_eq!(result.outcomes.of(Outcome::CheckFailed), 4);
}

#[test]
fn captures_are_made_of_answers_that_are_not_looked_at_too() {
    let server = Server::replying(|asked, _| match asked.header("x-token") {
        None => answer("", r#"{"token":"t"}"#),
        Some(token) => answer("", format!("it is {token}")),
    });
    let mut login = capturing(get("/login"), 0, json("/token"));
    login.checks = vec![Check::Contains(b"token".to_vec())];
    login.look_every = 1_000;
    let used = get_with("/use", "X-Token", 0).checking(Check::Contains(b"it is t".to_vec()));
    let flows = scenario(1, vec![flow("one", 1, &[0, 1])]);
    let plan = playing(flows, vec![login, used], 2, 20);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 20, "{:?}", result.outcomes);
}

#[test]
fn what_is_not_there_to_capture_fails_the_request_and_its_flow() {
    let sources = [
        (json("/items/0/price"), "/items/0/price"),
        (Source::Header("X-Token".to_owned()), "X-Token"),
        (Source::Regex(pattern("token=(.)").unwrap()), "token=(.)"),
        // The pattern matches, its group takes no part.
        (
            Source::Regex(pattern("apple|(pear)").unwrap()),
            "apple|(pear)",
        ),
    ];
    for (source, word) in sources {
        let server = Server::replying(|_, _| answer("", BODY));
        let requests = vec![capturing(get("/first"), 0, source), get("/never")];
        let flows = scenario(1, vec![flow("one", 1, &[0, 1])]);
        let result = run(&server.target(), &playing(flows, requests, 2, 6), &mut ()).unwrap();
        assert_eq!(result.outcomes.of(Outcome::CheckFailed), 6, "{word}");
        assert_eq!((result.flows[0].completed, result.flows[0].failed), (0, 6));
        let details = details(&result);
        assert_eq!(details.values().sum::<u64>(), 6);
        assert!(
            details.keys().all(|name| name.contains(word)),
            "{details:?}"
        );
        assert_eq!(result.per_request[1].ok, 0);
    }
}

#[test]
fn a_body_that_is_too_long_to_be_looked_at_says_so_and_is_counted_all_the_same() {
    const LIMIT: usize = 16 << 20;
    let of_length = |length: usize, check: Check| {
        let body = [vec![b'x'; length - 3], b"end".to_vec()].concat();
        let server = Server::start(move |peer| {
            while peer.request()? {
                peer.send(&answer("", &body))?;
            }
            Ok(())
        });
        let mut plan = plan(1, 2);
        plan.requests[0].checks = vec![check];
        run(&server.target(), &plan, &mut ()).unwrap()
    };
    let ends = || Check::Contains(b"end".to_vec());
    let longest = of_length(LIMIT, ends());
    assert_eq!(longest.outcomes.of(Outcome::Ok), 2);
    let longer = of_length(LIMIT + 1, ends());
    assert_eq!(longer.outcomes.of(Outcome::CheckFailed), 2);
    let details = details(&longer);
    assert!(
        details.keys().all(|name| name.contains(&LIMIT.to_string())),
        "{details:?}"
    );
    let counted = of_length(LIMIT + 1, Check::BodyBytes(LIMIT as u64 + 1));
    assert_eq!(counted.outcomes.of(Outcome::Ok), 2);
}

#[test]
fn a_body_that_comes_in_any_pieces_is_looked_at_as_a_whole() {
    let server = Server::start(|peer| {
        while peer.request()? {
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for byte in BODY.bytes() {
                peer.trickle(&[b'1', b'\r', b'\n', byte, b'\r', b'\n'])?;
            }
            peer.send(b"0\r\n\r\n")?;
        }
        Ok(())
    });
    let mut plan = plan(2, 6);
    plan.requests[0].checks = vec![
        Check::Contains(BODY.as_bytes().to_vec()),
        Check::Sha256(Sha256::digest(BODY).into()),
        Check::BodyBytes(BODY.len() as u64),
    ];
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 6, "{:?}", result.outcomes);
}

#[test]
fn paired_runs_judge_checks_too() {
    let a = Server::replying(|_, _| answer("", "good"));
    let answers = AtomicU64::new(0);
    let b = Server::replying(
        move |_, _| match answers.fetch_add(1, Ordering::SeqCst) % 50 {
            49 => answer("", "evil"),
            _ => answer("", "good"),
        },
    );
    let request = post("/", vec![text("no slots")]).checking(Check::Contains(b"good".to_vec()));
    let plan = paired_plan([vec![request.clone()], vec![request]]);
    let result = run_paired(&[a.target(), b.target()], &plan, &mut ()).unwrap();
    assert_eq!(result.sides[0].outcomes.failed(), 0);
    let outcomes = &result.sides[1].outcomes;
    assert!(outcomes.failed() > 0 && outcomes.of(Outcome::Ok) > 0);
    assert_eq!(outcomes.of(Outcome::CheckFailed), outcomes.failed());
    let details = &outcomes.details()[&Outcome::CheckFailed];
    assert_eq!(details.values().sum::<u64>(), outcomes.failed());
    assert!(details.keys().all(|name| name.contains("good")));
    assert!(result.discarded_blocks > 0);
}

#[test]
fn once_judges_checks_and_says_what_does_not_hold() {
    let server = Server::replying(|asked, _| answer("", &asked.body));
    let send = |request: &Request| {
        let timeout = Duration::from_secs(30);
        once(server.addr, request, timeout, 3, &mut ()).unwrap()
    };
    let request = post("/", vec![text("echo")]);
    let good = send(&request.clone().checking(Check::Contains(b"echo".to_vec())));
    assert_eq!(
        (good.outcome, good.body.as_slice()),
        (Outcome::Ok, &b"ech"[..])
    );
    let bad = send(&request.clone().checking(Check::Contains(b"pear".to_vec())));
    assert_eq!((bad.outcome, bad.status), (Outcome::CheckFailed, Some(200)));
    assert!(bad.detail.contains("pear"), "{}", bad.detail);
    let unexpected = send(&request.expecting(Expect::Status(201)));
    assert_eq!(unexpected.outcome, Outcome::UnexpectedStatus);
}

#[test]
fn where_nobody_holds_values_requests_that_need_them_are_refused() {
    let server = Server::replying(|_, _| answer("", BODY));
    let head = vec![
        text("GET / HTTP/1.1\r\nAuthorization: Basic "),
        fastr_loadgen::Part::Base64(vec![flows::slot(0, Form::Text)]),
        text("\r\n"),
    ];
    let needy = [
        get_with("/", "X-Token", 0),
        Request::template("/", Template::new(head, None)),
        capturing(get("/"), 0, json("/items")),
    ];
    for request in needy {
        let timeout = Duration::from_secs(30);
        let refused = once(server.addr, &request, timeout, 0, &mut ());
        assert!(matches!(refused, Err(LoadError::Scenario(_))));
        let plan = paired_plan([vec![get("/")], vec![request.clone()]]);
        let refused = run_paired(&[server.target(), server.target()], &plan, &mut ());
        assert!(matches!(refused, Err(LoadError::Scenario(_))));
        let mut plan = server::plan(1, 1);
        plan.requests = vec![request];
        let refused = run(&server.target(), &plan, &mut ());
        assert!(matches!(refused, Err(LoadError::Scenario(_))));
    }
    assert_eq!((server.requests(), server.connections()), (0, 0));
}
