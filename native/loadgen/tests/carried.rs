//! What users carry from an answer to their next requests.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod flows;
mod server;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fastr_loadgen::{
    pattern, run, warm_up, Feed, Form, Outcome, Part, Request, Scenario, Source, Target, Template,
    WarmUp,
};
use flows::{capturing, flow, get_with, json, logging_in, playing, post, scenario, slot, text};
use server::{answer, get, Log, Server, OK};

#[test]
fn captured_values_arrive_byte_for_byte_in_the_form_of_their_place() {
    const SOURCE: &str = r#"{"user":{"na/me":"Zo\u00eb \"Q\" \\ \n & = / + %","id":42},"list":[1,2.5,true,null,{"a":"b"}],"link":"next=abc;"}"#;
    let log = Log::default();
    let kept = log.clone();
    let server = Server::replying(move |asked, _| {
        kept.lock().unwrap().push(asked.clone());
        let chunks = format!("{:x}\r\n{SOURCE}\r\n0\r\n\r\n", SOURCE.len());
        let head = "HTTP/1.1 200 OK\r\nX-Token:  a \"b\"; c \r\nTransfer-Encoding: chunked\r\n\r\n";
        [head, &chunks].concat().into_bytes()
    });
    let first = [
        json("/user/na~1me"),
        json("/user/id"),
        Source::Header("x-token".to_owned()),
        Source::Regex(pattern("next=([a-z]+);").unwrap()),
        json("/list"),
        Source::Regex(pattern("ne.t").unwrap()),
    ]
    .into_iter()
    .enumerate()
    .fold(get("/first"), |request, (slot, source)| {
        capturing(request, slot, source)
    });
    let second = Template::new(
        vec![
            text("POST /items/"),
            slot(1, Form::Url),
            text("/"),
            slot(0, Form::Url),
            text("?q="),
            slot(0, Form::Form),
            text(" HTTP/1.1\r\nHost: test\r\nX-Token: "),
            slot(2, Form::Field),
            text("\r\nX-Name: "),
            slot(0, Form::Field),
            text("\r\nAuthorization: Basic "),
            Part::Base64(vec![slot(0, Form::Text), text(":"), slot(3, Form::Text)]),
            text("\r\n"),
        ],
        Some(vec![
            text(r#"{"name":"#),
            slot(0, Form::JsonValue),
            text(r#","text":"<"#),
            slot(0, Form::JsonText),
            text(r#">","id":"#),
            slot(1, Form::JsonValue),
            text(r#","as_text":""#),
            slot(1, Form::JsonText),
            text(r#"","list":"#),
            slot(4, Form::JsonValue),
            text(r#","next":"#),
            slot(3, Form::JsonValue),
            text(r#","whole":"#),
            slot(5, Form::JsonValue),
            text("}"),
        ]),
    );
    let requests = vec![first, Request::template("second", second)];
    let plan = playing(scenario(6, vec![flow("one", 1, &[0, 1])]), requests, 1, 2);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 2, "{:?}", result.outcomes);
    let body = r#"{"name":"Zoë \"Q\" \\ \n & = / + %","text":"<Zoë \"Q\" \\ \n & = / + %>","id":42,"as_text":"42","list":[1,2.5,true,null,{"a":"b"}],"next":"abc","whole":"next"}"#;
    let head = [
        "POST /items/42/Zo%C3%AB%20%22Q%22%20%5C%20%0A%20%26%20%3D%20%2F%20%2B%20%25?q=Zo%C3%AB+%22Q%22+%5C+%0A+%26+%3D+%2F+%2B+%25 HTTP/1.1",
        "Host: test",
        "X-Token: a \"b\"; c",
        "X-Name: Zoë \"Q\" \\   & = / + %",
        "Authorization: Basic Wm/DqyAiUSIgXCAKICYgPSAvICsgJTphYmM=",
        &format!("content-length: {}", body.len()),
        "\r\n",
    ]
    .join("\r\n");
    let log = log.lock().unwrap();
    assert_eq!(String::from_utf8_lossy(&log[1].head), head);
    assert_eq!(String::from_utf8_lossy(&log[1].body), body);
}

/// Lets a user capture the JSON at /value from this body, and returns what comes back as JSON.
fn carried(body: &'static str) -> String {
    let log = Log::default();
    let kept = log.clone();
    let server = Server::replying(move |asked, _| {
        kept.lock().unwrap().push(asked.clone());
        answer("", body)
    });
    let requests = vec![
        capturing(get("/"), 0, json("/value")),
        post("/back", vec![slot(0, Form::JsonValue)]),
    ];
    let plan = playing(scenario(1, vec![flow("one", 1, &[0, 1])]), requests, 1, 2);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 2, "{body}");
    let log = log.lock().unwrap();
    String::from_utf8(log[1].body.clone()).unwrap()
}

#[test]
fn captured_json_stays_json_of_its_kind() {
    assert_eq!(carried(r#"{"value": true}"#), "true");
    assert_eq!(carried(r#"{"value": null}"#), "null");
    assert_eq!(carried(r#"{"value": "7"}"#), r#""7""#);
    assert_eq!(carried(r#"{"value": []}"#), "[]");
    let nested = r#"{"b":1,"a":[2,{"d":"x","c":"\"y\""}]}"#;
    let back = carried(r#"{"value":{"b":1,"a":[2,{"d":"x","c":"\"y\""}]}}"#);
    let parsed = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parsed(&back), parsed(nested));
}

#[test]
fn captured_numbers_keep_all_their_digits() {
    assert_eq!(carried(r#"{"value":0}"#), "0");
    assert_eq!(carried(r#"{"value":-17}"#), "-17");
    let most = "18446744073709551615";
    assert_eq!(carried(r#"{"value":18446744073709551615}"#), most);
    let more = "123456789012345678901234567890";
    assert_eq!(carried(r#"{"value":123456789012345678901234567890}"#), more);
    let price = "1.10";
    assert_eq!(carried(r#"{"value":1.10}"#), price);
}

#[test]
fn an_empty_body_is_announced_and_megabytes_are_carried_whole() {
    let blob = Arc::new("é\u{1}".repeat(700_000));
    let (sent, came) = (blob.clone(), Arc::new(Mutex::new(Vec::new())));
    let kept = came.clone();
    let server = Server::replying(move |asked, _| match asked.target().as_str() {
        "/blob" => {
            let body = serde_json::to_vec(&serde_json::json!({"blob": *sent, "none": ""}));
            answer("", body.unwrap())
        }
        _ => {
            kept.lock()
                .unwrap()
                .push((asked.target(), asked.body.clone()));
            assert_eq!(
                asked.header("content-length"),
                Some(asked.body.len().to_string())
            );
            OK.to_vec()
        }
    });
    let first = capturing(get("/blob"), 0, json("/blob"));
    let requests = vec![
        capturing(first, 1, json("/none")),
        post("/large", vec![slot(0, Form::Text)]),
        post("/empty", vec![slot(1, Form::Text)]),
    ];
    let flows = scenario(2, vec![flow("one", 1, &[0, 1, 2])]);
    let result = run(&server.target(), &playing(flows, requests, 2, 12), &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 12);
    let came = came.lock().unwrap();
    assert!(came.len() >= 6);
    for (target, body) in came.iter() {
        match target.as_str() {
            "/large" => assert!(body == blob.as_bytes()),
            _ => assert_eq!(body, b""),
        }
    }
}

#[test]
fn every_user_carries_its_own_token() {
    let server = Server::guarded();
    let (scenario, requests) = logging_in();
    let plan = playing(scenario, requests, 8, 400);
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(
        result.outcomes.of(Outcome::Ok),
        400,
        "{:?}",
        result.outcomes
    );
    assert_eq!((server.requests(), server.connections()), (400, 8));
    assert_eq!(result.flows[0].failed, 0);
    // At most one flow of each user is cut short by the end.
    assert!((196..=200).contains(&result.flows[0].completed));
}

#[test]
fn a_warm_up_plays_the_scenario_too() {
    let server = Server::guarded();
    let (mut scenario, requests) = logging_in();
    scenario.start = vec![0];
    let rule = WarmUp {
        window: Duration::from_millis(20),
        min_windows: 4,
        max: Duration::from_millis(200),
    };
    let plan = playing(scenario, requests, 3, 1);
    let result = warm_up(&server.target(), &plan, &rule, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), result.requests);
    assert_eq!(result.requests + 3, server.requests());
}

/// Takes the token that belongs to the user's name, over whatever connection.
fn knowing_names() -> Server {
    Server::replying(|asked, _| {
        let user = asked.header("x-user").unwrap();
        match asked.target().as_str() {
            "/login" => answer(&format!("X-Token: token of {user}\r\n"), ""),
            _ if asked.header("x-token") == Some(format!("token of {user}")) => OK.to_vec(),
            _ => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec(),
        }
    })
}

/// Flows that log in by a name from a feed and use what they got.
fn by_name() -> (Scenario, Vec<Request>) {
    let head = vec![
        text("GET /use HTTP/1.1\r\nHost: test\r\nX-User: "),
        slot(0, Form::Field),
        text("\r\nX-Token: "),
        slot(1, Form::Field),
        text("\r\n"),
    ];
    let login = get_with("/login", "X-User", 0);
    let requests = vec![
        capturing(login, 1, Source::Header("X-TOKEN".to_owned())),
        Request::template("/use", Template::new(head, None)),
    ];
    let names: Vec<[String; 1]> = (0..50).map(|name| [format!("user {name}")]).collect();
    let scenario = Scenario {
        feeds: vec![Feed::new(vec![0], &names, false).unwrap()],
        ..scenario(2, vec![flow("visit", 1, &[0, 1])])
    };
    (scenario, requests)
}

#[test]
fn without_keep_alive_a_user_keeps_its_values_over_its_connections() {
    let server = knowing_names();
    let (scenario, requests) = by_name();
    let mut plan = playing(scenario, requests, 4, 120);
    plan.keep_alive = false;
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(
        result.outcomes.of(Outcome::Ok),
        120,
        "{:?}",
        result.outcomes
    );
    assert_eq!(server.connections(), 120);
    assert_eq!(result.connect.len(), 120);
}

#[test]
fn a_request_that_is_sent_again_carries_the_same_values() {
    let log = Log::default();
    let kept = log.clone();
    // Every connection answers once; what comes next on it is met by a close.
    let server = Server::start(move |peer| {
        if let Some(asked) = peer.ask()? {
            kept.lock().unwrap().push(asked.clone());
            let token = asked.header("x-token").unwrap_or_default();
            peer.send(&answer(&format!("X-Token: {token}{}\r\n", peer.number), ""))?;
        }
        Ok(())
    });
    let token = || Source::Header("x-token".to_owned());
    let requests = vec![
        capturing(get("/first"), 0, token()),
        capturing(get_with("/next", "X-Token", 0), 0, token()),
    ];
    let flows = scenario(1, vec![flow("one", 1, &[0, 1, 1])]);
    let result = run(&server.target(), &playing(flows, requests, 1, 3), &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 3, "{:?}", result.outcomes);
    let tokens: Vec<Option<String>> = {
        let log = log.lock().unwrap();
        log.iter().map(|asked| asked.header("x-token")).collect()
    };
    assert_eq!(tokens, [None, Some("0".to_owned()), Some("01".to_owned())]);
}

/// Reads a request head.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0].into()),
            _ => return None,
        }
    }
    Some(head)
}

/// An answer that gives a token, with every means to hide it.
fn hiding(token: &str) -> Vec<u8> {
    let (start, end) = token.split_at(1);
    let body = format!("{{\"token\":\"{start}");
    format!(
        "HTTP/1.1 103 Early Hints\r\nX-Token: early\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
         HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Token: {token}\r\n\r\n\
         {:x};a=b\r\n{body}\r\n{:X}\r\n{end}\"}}\r\n0\r\nX-Token: late\r\n\r\n",
        body.len(),
        end.len() + 2,
    )
    .into_bytes()
}

/// Serves two connections at once, each answer's bytes by turns with the other's. Returns how many visits came with
/// their own token, and how many with another.
fn serve_by_turns(listener: &TcpListener) -> [u64; 2] {
    let mut pair = [(); 2].map(|()| {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).unwrap();
        stream
    });
    let mut tokens = ["left", "r"].map(str::to_owned);
    let mut visits = [0, 0];
    loop {
        let mut answers = [Vec::new(), Vec::new()];
        for (side, stream) in pair.iter_mut().enumerate() {
            let Some(head) = read_head(stream) else {
                return visits;
            };
            let token = &mut tokens[side];
            if head.starts_with("GET /login ") {
                token.push((b'a' + side as u8).into());
                answers[side] = hiding(token);
            } else {
                let is_own = head.contains(&format!("X-Token: {token} {token}\r\n"));
                visits[usize::from(!is_own)] += 1;
                answers[side] = OK.to_vec();
            }
        }
        let longest = answers[0].len().max(answers[1].len());
        for at in 0..longest {
            for (stream, answer) in pair.iter_mut().zip(&answers) {
                if let Some(byte) = answer.get(at..=at) {
                    stream.write_all(byte).unwrap();
                }
            }
        }
    }
}

#[test]
fn what_is_captured_is_not_mixed_up_by_interim_answers_and_chunks_that_come_byte_by_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target {
        addr: listener.local_addr().unwrap().into(),
        pids: Vec::new(),
    };
    let server = thread::spawn(move || serve_by_turns(&listener));
    let login = capturing(get("/login"), 0, json("/token"));
    let head = vec![
        text("GET /use HTTP/1.1\r\nX-Token: "),
        slot(0, Form::Field),
        text(" "),
        slot(1, Form::Field),
        text("\r\n"),
    ];
    let requests = vec![
        capturing(login, 1, Source::Header("X-Token".to_owned())),
        Request::template("/use", Template::new(head, None)),
    ];
    let flows = scenario(2, vec![flow("visit", 1, &[0, 1])]);
    let result = run(&target, &playing(flows, requests, 2, 40), &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 40, "{:?}", result.outcomes);
    assert_eq!(server.join().unwrap(), [20, 0]);
}
