//! Scenarios and templates in few words.

#![allow(dead_code)] // every test file uses a part of it

use fastr_loadgen::{
    Capture, Flow, Form, Part, Plan, Request, Scenario, Source, Step, Template, Think,
};

use crate::server::{get, plan};

pub(crate) fn text(text: &str) -> Part {
    Part::Bytes(text.as_bytes().to_vec())
}

pub(crate) fn slot(slot: usize, form: Form) -> Part {
    Part::Slot { slot, form }
}

/// A GET of this path with one extra field, whose value is the slot's.
pub(crate) fn get_with(path: &str, field: &str, of_slot: usize) -> Request {
    let head = vec![
        text(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n{field}: ")),
        slot(of_slot, Form::Field),
        text("\r\n"),
    ];
    Request::template(path, Template::new(head, None))
}

/// A POST to this path with this body.
pub(crate) fn post(path: &str, body: Vec<Part>) -> Request {
    let head = text(&format!("POST {path} HTTP/1.1\r\nHost: test\r\n"));
    Request::template(path, Template::new(vec![head], Some(body)))
}

/// The same with a capture more.
pub(crate) fn capturing(mut request: Request, slot: usize, source: Source) -> Request {
    request.captures.push(Capture { slot, source });
    request
}

pub(crate) fn json(pointer: &str) -> Source {
    Source::Json(pointer.to_owned())
}

/// A flow without pauses.
pub(crate) fn flow(name: &str, weight: u32, requests: &[usize]) -> Flow {
    let step = |&request| Step {
        request,
        pause: Think::Never,
    };
    Flow {
        name: name.to_owned(),
        weight,
        steps: requests.iter().map(step).collect(),
    }
}

/// Users with so many slots and nothing else, who play these flows.
pub(crate) fn scenario(slots: usize, flows: Vec<Flow>) -> Scenario {
    Scenario {
        flows,
        slots,
        ..Scenario::default()
    }
}

/// A closed loop of so many users until so many requests are over.
pub(crate) fn playing(
    scenario: Scenario,
    requests: Vec<Request>,
    connections: usize,
    stop: u64,
) -> Plan {
    Plan {
        requests,
        scenario: Some(scenario),
        ..plan(connections, stop)
    }
}

/// Flows of two steps: one gets a token, and the other shows it. For [`crate::server::Server::guarded`].
pub(crate) fn logging_in() -> (Scenario, Vec<Request>) {
    let requests = vec![
        capturing(get("/login"), 0, json("/token")),
        get_with("/use", "X-Token", 0),
    ];
    (scenario(1, vec![flow("visit", 1, &[0, 1])]), requests)
}
