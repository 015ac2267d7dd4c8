//! Answers of every shape, in pieces of every length, over real sockets: what arrives is what was sent, and what is
//! spoiled hurts nobody but itself.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod server;

use std::io;
use std::thread;
use std::time::Duration;

use fastr_loadgen::{run, Check, Expect, Outcome, Plan, Request};
use fastr_stats::SplitMix64;
use server::{get, plan, Peer, Server};
use sha2::{Digest, Sha256};

const ANSWERS: usize = 400;

/// An answer as it goes over the wire, and what it means.
#[derive(Clone)]
struct Sent {
    wire: Vec<u8>,
    status: u16,
    body: Vec<u8>,
    /// The server closes behind it.
    closes: bool,
}

struct Chance(SplitMix64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// A number below this one.
    fn below(&mut self, limit: usize) -> usize {
        (self.0.bits() % limit as u64) as usize
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn of<'t>(&mut self, all: &[&'t str]) -> &'t str {
        all[self.below(all.len())]
    }

    /// Bytes that often look like framing.
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        const LIKELY: &[u8] = b"\r\n0:HT/1. ;5a";
        let byte = |_| match self.one_in(3) {
            true => LIKELY[self.below(LIKELY.len())],
            false => self.below(256) as u8,
        };
        (0..length).map(byte).collect()
    }

    fn fields(&mut self) -> String {
        let mut fields = String::new();
        for number in 0..self.below(6) {
            let length = match self.one_in(8) {
                true => 3_000,
                false => 20,
            };
            let value = "v".repeat(self.below(length));
            let space = self.of(&["", " ", "\t "]);
            fields.push_str(&format!("X-Field-{number}:{space}{value}{space}\r\n"));
        }
        fields
    }

    fn interims(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.one_in(4) {
            let status = self.of(&["100 Continue", "102 Processing", "103 Early Hints"]);
            let fields = self.fields();
            wire.extend(format!("HTTP/1.1 {status}\r\n{fields}\r\n").bytes());
        }
        wire
    }

    fn chunks(&mut self, body: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut rest = body;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(1 + self.below(rest.len().min(4_000)));
            rest = after;
            let zeros = self.of(&["", "0", "000"]);
            let size = match self.one_in(2) {
                true => format!("{:x}", chunk.len()),
                false => format!("{:X}", chunk.len()),
            };
            let extension = self.of(&["", ";a=b", ";a=\"x y\";c", " "]);
            wire.extend(format!("{zeros}{size}{extension}\r\n").bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        let trailers = self.of(&["", "X-Sum: 1\r\n", "A: b\r\nC: d\r\n"]);
        wire.extend(format!("0\r\n{trailers}\r\n").bytes());
        wire
    }

    fn answer(&mut self) -> Sent {
        let longest = match self.one_in(20) {
            true => 200_000,
            false => 3_000,
        };
        let length = self.below(longest);
        let mut body = self.bytes(length);
        let mut wire = self.interims();
        let mut fields = [self.fields(), String::new()];
        let mut closes = self.one_in(8);
        if closes {
            fields[1].push_str(self.of(&["Connection: close\r\n", "connection: x, CLOSE\r\n"]));
        }
        let status = [200, 201, 204, 299, 304, 302][self.below(6)];
        let framed = match self.below(5) {
            _ if status == 204 || status == 304 => {
                body.clear();
                Vec::new()
            }
            0 | 1 => {
                let name = self.of(&["Content-Length", "content-length", "CONTENT-LENGTH"]);
                fields[1].push_str(&format!("{name}: {length}\r\n"));
                body.clone()
            }
            2 | 3 => {
                fields[1].push_str(self.of(&[
                    "Transfer-Encoding: chunked\r\n",
                    "transfer-encoding:gzip , Chunked\r\n",
                    "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n",
                ]));
                self.chunks(&body)
            }
            _ => {
                closes = true;
                body.clone()
            }
        };
        if self.one_in(2) {
            fields.swap(0, 1);
        }
        let reason = self.of(&["OK", "", "Some Reason"]);
        let [one, other] = fields;
        wire.extend(format!("HTTP/1.1 {status} {reason}\r\n{one}{other}\r\n").bytes());
        wire.extend(framed);
        Sent {
            wire,
            status,
            body,
            closes,
        }
    }

    /// Cuts at up to ten places, or into single bytes.
    fn pieces<'w>(&mut self, wire: &'w [u8]) -> Vec<&'w [u8]> {
        if wire.len() < 2_000 && self.one_in(10) {
            return wire.chunks(1).collect();
        }
        let mut cuts: Vec<usize> = (0..self.below(11))
            .map(|_| self.below(wire.len()))
            .collect();
        cuts.extend([0, wire.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|two| &wire[two[0]..two[1]]).collect()
    }

    /// The same with a few bytes changed, left out, doubled or cut off.
    fn spoiled(&mut self, wire: &[u8]) -> Vec<u8> {
        let mut wire = wire.to_vec();
        // Mostly where the framing is.
        let within = wire.len().min(300);
        for _ in 0..=self.below(3) {
            let at = self.below(within.min(wire.len()).max(1));
            match self.below(4) {
                _ if wire.is_empty() => {}
                0 => wire[at] = self.below(256) as u8,
                1 => drop(wire.remove(at)),
                2 => wire.insert(at, wire[at]),
                _ => wire.truncate(at),
            }
        }
        wire
    }
}

/// Sends the answer of the number in the path, in pieces.
fn send(peer: &mut Peer, answers: &[Sent]) -> io::Result<()> {
    peer.stream.set_nodelay(true)?;
    while let Some(asked) = peer.ask()? {
        let number: usize = asked.target()[1..].parse().unwrap();
        let sent = &answers[number];
        let mut chance = Chance::new(number as u64);
        for piece in chance.pieces(&sent.wire) {
            peer.send(piece)?;
            if chance.one_in(3) {
                thread::yield_now();
            }
        }
        if sent.closes {
            return Ok(());
        }
    }
    Ok(())
}

fn asking(number: usize, sent: &Sent) -> Request {
    let mut request = get(&format!("/{number}")).expecting(Expect::Status(sent.status));
    request.checks = vec![
        Check::BodyBytes(sent.body.len() as u64),
        Check::Sha256(Sha256::digest(&sent.body).into()),
    ];
    request
}

#[test]
fn any_good_answer_in_any_pieces_is_read_as_it_was_sent() {
    for seed in 0..3 {
        let mut chance = Chance::new(seed);
        let answers: Vec<Sent> = (0..ANSWERS).map(|_| chance.answer()).collect();
        let requests = answers.iter().enumerate();
        let plan = Plan {
            requests: requests
                .map(|(number, sent)| asking(number, sent))
                .collect(),
            ..plan(4, ANSWERS as u64)
        };
        let bytes: usize = answers.iter().map(|sent| sent.wire.len()).sum();
        let server = Server::start(move |peer| send(peer, &answers));
        let result = run(&server.target(), &plan, &mut ()).unwrap();
        for one in &result.per_request {
            assert_eq!(one.ok, 1, "seed {seed}, {}: {:?}", one.name, one.outcomes);
        }
        assert_eq!(result.requests, ANSWERS as u64);
        assert_eq!(result.bytes_received, bytes as u64, "seed {seed}");
        assert_eq!(server.requests(), ANSWERS as u64);
    }
}

#[test]
fn an_answer_that_is_spoiled_is_counted_once_and_hurts_no_other() {
    let mut chance = Chance::new(99);
    let mut answers = Vec::new();
    for number in 0..ANSWERS {
        let mut sent = chance.answer();
        if number % 2 == 1 {
            sent.wire = chance.spoiled(&sent.wire);
            sent.closes = true;
        }
        answers.push(sent);
    }
    let requests = answers.iter().enumerate();
    let plan = Plan {
        requests: requests
            .map(|(number, sent)| asking(number, sent))
            .collect(),
        request_timeout: Duration::from_secs(10),
        // What follows an answer that claims to be shorter than it is would meet the next request.
        keep_alive: false,
        ..plan(2, ANSWERS as u64)
    };
    let server = Server::start(move |peer| send(peer, &answers));
    let result = run(&server.target(), &plan, &mut ()).unwrap();
    assert_eq!(
        (result.requests, result.ended_early),
        (ANSWERS as u64, None)
    );
    assert_eq!(
        result.outcomes.of(Outcome::Timeout),
        0,
        "{:?}",
        result.outcomes
    );
    assert!(result.outcomes.of(Outcome::ProtocolError) > 20);
    assert!(result.outcomes.of(Outcome::Eof) > 5);
    for (number, one) in result.per_request.iter().enumerate() {
        assert_eq!(one.ok + one.failed, 1);
        if number % 2 == 0 {
            assert_eq!(one.ok, 1, "{}: {:?}", one.name, one.outcomes);
        }
    }
}
