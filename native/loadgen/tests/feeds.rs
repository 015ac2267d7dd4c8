//! Feeds: each flow that begins takes a row.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod flows;
mod server;

use std::collections::BTreeMap;

use fastr_loadgen::{run, Feed, FeedValue, Form, Scenario};
use flows::{flow, get_with, playing, post, scenario, slot, text};
use server::{Asked, Log, Server, OK};

#[test]
fn a_flow_takes_the_next_row_of_every_feed_and_keeps_it_for_all_its_steps() {
    let (server, log) = Server::listening();
    let both = |path: &str| {
        post(
            path,
            vec![slot(0, Form::Text), text(","), slot(2, Form::Text)],
        )
    };
    let requests = vec![both("/one"), both("/two")];
    let binary: [&[u8]; 3] = [b"a\x00\xff", b"", b"c\r\n"];
    let scenario = Scenario {
        feeds: vec![
            Feed::new(vec![0, 1], binary.map(|value| [value, b"unused"]), false).unwrap(),
            Feed::new(vec![2], [["x"], ["y"]], false).unwrap(),
        ],
        ..scenario(3, vec![flow("one", 1, &[0, 1])])
    };
    run(
        &server.target(),
        &playing(scenario, requests, 1, 14),
        &mut (),
    )
    .unwrap();
    let bodies: Vec<Vec<u8>> = {
        let log = log.lock().unwrap();
        log.iter().map(|asked| asked.body.clone()).collect()
    };
    let rows: [&[u8]; 7] = [
        b"a\x00\xff,x",
        b",y",
        b"c\r\n,x",
        b"a\x00\xff,y",
        b",x",
        b"c\r\n,y",
        b"a\x00\xff,x",
    ];
    let twice: Vec<&[u8]> = rows.iter().flat_map(|&row| [row, row]).collect();
    assert_eq!(bodies, twice);
}

#[test]
fn many_users_share_a_feed_row_by_row() {
    let (server, log) = Server::listening();
    let requests = vec![get_with("/", "X-Row", 0)];
    let rows = ["a", "b", "c"];
    let scenario = Scenario {
        feeds: vec![Feed::new(vec![0], rows.map(|row| [row]), false).unwrap()],
        ..scenario(1, vec![flow("one", 1, &[0])])
    };
    run(
        &server.target(),
        &playing(scenario, requests, 4, 60),
        &mut (),
    )
    .unwrap();
    let log = log.lock().unwrap();
    let count = |row: &str| {
        let is_row = |asked: &&Asked| asked.header("x-row").as_deref() == Some(row);
        log.iter().filter(is_row).count()
    };
    assert_eq!(rows.map(count), [20, 20, 20]);
}

#[test]
fn a_shuffled_feed_is_shuffled_by_the_seed() {
    let (server, log) = Server::listening();
    let play = |seed| {
        let names: Vec<[String; 1]> = (0..30).map(|row| [row.to_string()]).collect();
        let scenario = Scenario {
            feeds: vec![Feed::new(vec![0], &names, true).unwrap()],
            ..scenario(1, vec![flow("one", 1, &[0, 0])])
        };
        let mut plan = playing(scenario, vec![get_with("/", "X-Row", 0)], 1, 60);
        plan.seed = seed;
        run(&server.target(), &plan, &mut ()).unwrap();
        let log = std::mem::take(&mut *log.lock().unwrap());
        let rows = log.iter().map(|asked| asked.header("x-row").unwrap());
        rows.map(|row| row.parse().unwrap()).collect::<Vec<u32>>()
    };
    let rows = play(1);
    assert_eq!(rows.len(), 60);
    assert!(rows.chunks(2).all(|steps| steps[0] == steps[1]));
    assert!(rows.iter().all(|&row| row < 30));
    assert!(rows.chunks(2).any(|steps| steps[0] != rows[0]));
    assert_eq!(play(1), rows);
    assert_ne!(play(2), rows);
}

#[test]
fn each_user_keeps_its_row_of_a_feed_of_users_from_its_start_on() {
    let log = Log::default();
    let kept = log.clone();
    let server = Server::start(move |peer| {
        while let Some(mut asked) = peer.ask()? {
            asked.body = peer.number.to_string().into_bytes();
            kept.lock().unwrap().push(asked);
            peer.send(OK)?;
        }
        Ok(())
    });
    let requests = vec![
        get_with("/start", "X-User", 0),
        get_with("/use", "X-User", 0),
    ];
    let names = ["ann", "bob", "cid"].map(|name| [name]);
    let scenario = Scenario {
        feeds: vec![Feed::new(vec![0], names, false).unwrap().per_user()],
        start: vec![0],
        ..scenario(1, vec![flow("use", 1, &[1])])
    };
    // Each connection is a user; the fourth has the first row again.
    let plan = playing(scenario, requests, 4, 80);
    run(&server.target(), &plan, &mut ()).unwrap();
    let log = log.lock().unwrap();
    let mut rows = BTreeMap::new();
    for asked in log.iter() {
        let row = asked.header("x-user").unwrap();
        let kept = rows.entry(asked.body.clone()).or_insert(row.clone());
        assert_eq!(*kept, row);
    }
    let mut rows: Vec<String> = rows.into_values().collect();
    rows.sort_unstable();
    assert_eq!(rows, ["ann", "ann", "bob", "cid"]);
}

#[test]
fn rows_of_json_stay_json() {
    let (server, log) = Server::listening();
    let body = vec![
        slot(0, Form::JsonValue),
        text(" "),
        slot(1, Form::JsonValue),
    ];
    let row = [
        FeedValue::Json(b"[1,{\"a\":null}]"),
        FeedValue::Text(b"[1]"),
    ];
    let scenario = Scenario {
        feeds: vec![Feed::new(vec![0, 1], [row], false).unwrap()],
        ..scenario(2, vec![flow("one", 1, &[0])])
    };
    let plan = playing(scenario, vec![post("/", body)], 1, 2);
    run(&server.target(), &plan, &mut ()).unwrap();
    for asked in log.lock().unwrap().iter() {
        assert_eq!(asked.body, b"[1,{\"a\":null}] \"[1]\"");
    }
    assert_eq!(server.requests(), 2);
}
