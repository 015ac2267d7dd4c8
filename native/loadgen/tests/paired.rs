//! Two servers in turn.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod server;

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastr_loadgen::{
    run_paired, Control, Halt, LoadError, Outcome, PairedPlan, PairedResult, Phase, Progress, Side,
    Target,
};
use server::{get, nobody, paired_plan, Server, OK};

fn plan() -> PairedPlan {
    PairedPlan {
        connections: [4, 4],
        per_side: Duration::from_millis(150),
        chunks: 4,
        ..paired_plan([vec![get("/a")], vec![get("/b")]])
    }
}

fn of(addr: SocketAddr) -> Target {
    Target {
        addr: addr.into(),
        pids: vec![std::process::id() as i32],
    }
}

fn play(a: &Server, b: &Server, plan: &PairedPlan) -> PairedResult {
    run_paired(&[of(a.addr), of(b.addr)], plan, &mut ()).unwrap()
}

#[test]
fn blocks_add_up_to_what_the_sides_and_the_servers_count() {
    let (a, b) = (Server::answering(OK), Server::answering(OK));
    let result = play(&a, &b, &plan());
    assert!(!result.ended_early);
    assert_eq!(result.discarded_blocks, 0);
    assert_eq!(result.blocks.len(), result.orders.len());
    for (side, server) in result.sides.iter().zip([&a, &b]) {
        assert_eq!(side.outcomes.of(Outcome::Ok), side.requests);
        assert_eq!(side.requests + side.calibration_requests, server.requests());
        assert_eq!(side.bytes_received, side.requests * OK.len() as u64);
        assert_eq!(side.histogram.len(), side.requests);
        assert_eq!(side.connections, 4);
    }
    let [side_a, side_b] = &result.sides;
    let sum = |of: fn(&fastr_loadgen::Block) -> u64| result.blocks.iter().map(of).sum::<u64>();
    assert_eq!(sum(|block| block.a.requests), side_a.requests);
    assert_eq!(sum(|block| block.b.requests), side_b.requests);
    assert_eq!(sum(|block| block.a.wall_ns), side_a.load_ns);
    assert_eq!(Some(sum(|block| block.b.cpu_ns)), side_b.cpu_ns);
    // Both sides are this very process, which is never idle.
    assert!(result
        .sides
        .iter()
        .all(|side| side.idle_cpu_ns > Some(0) && side.idle_cpu_ns < side.cpu_ns));
    // Of the slices of a side, the second ones of two in a row.
    assert!(side_a.idle_ns > 0 && side_a.idle_ns < side_b.load_ns);
    assert!(side_b.idle_ns > 0 && side_b.idle_ns < side_a.load_ns);
    assert!(side_a.load_ns + side_b.load_ns >= 300_000_000);
    assert!(result
        .blocks
        .iter()
        .all(|block| block.a.wall_ns >= 4_000_000));
}

#[test]
fn chunks_hold_the_response_times_of_all_blocks() {
    let (a, b) = (Server::answering(OK), Server::answering(OK));
    let result = play(&a, &b, &plan());
    assert!((1..=4).contains(&result.chunks.len()));
    let in_chunks: u128 = result.chunks.iter().map(|chunk| chunk.b.samples()).sum();
    assert_eq!(in_chunks, u128::from(result.sides[1].requests));
}

/// Notes whose requests come, in their order, and whether both sides ever had one at once.
#[derive(Default)]
struct Witness {
    log: Mutex<Vec<Side>>,
    in_flight: [AtomicU64; 2],
    overlaps: AtomicU64,
}

fn witnessed(witness: &Arc<Witness>, side: Side) -> Server {
    let witness = witness.clone();
    Server::start(move |peer| -> io::Result<()> {
        let other = 1 - side as usize;
        while peer.request()? {
            witness.in_flight[side as usize].fetch_add(1, Ordering::SeqCst);
            witness.log.lock().unwrap().push(side);
            let overlaps = witness.in_flight[other].load(Ordering::SeqCst);
            witness.overlaps.fetch_add(overlaps, Ordering::SeqCst);
            // Before the answer: the other side may begin as soon as it is read.
            witness.in_flight[side as usize].fetch_sub(1, Ordering::SeqCst);
            peer.send(OK)?;
        }
        Ok(())
    })
}

#[test]
fn only_one_side_has_requests_in_flight_in_the_order_of_the_blocks() {
    let witness = Arc::new(Witness::default());
    let (a, b) = (witnessed(&witness, Side::A), witnessed(&witness, Side::B));
    let plan = PairedPlan {
        connections: [2, 3],
        // A slice is one round.
        min_slice: Duration::ZERO,
        ..plan()
    };
    let result = play(&a, &b, &plan);
    assert_eq!(witness.overlaps.load(Ordering::SeqCst), 0);
    let round = |side| vec![side; plan.connections[side as usize]];
    let calibration = [Side::A, Side::B].map(|side| round(side).repeat(3));
    let blocks = result.orders.iter().flat_map(|order| order.sides());
    let expected: Vec<Side> = calibration
        .into_iter()
        .flatten()
        .chain(blocks.flat_map(round))
        .collect();
    assert!(*witness.log.lock().unwrap() == expected);
    assert!(result.orders.iter().any(|order| *order != result.orders[0]));
}

#[test]
fn connections_are_halved_for_a_long_round_and_kept_equal_on_both_sides() {
    let (a, b) = (Server::answering(OK), Server::answering(OK));
    let impossible = PairedPlan {
        max_round: Duration::from_nanos(1),
        connections: [6, 6],
        ..plan()
    };
    let result = play(&a, &b, &impossible);
    assert_eq!(result.sides.map(|side| side.connections), [1, 1]);
}

#[test]
fn a_block_in_which_a_request_failed_is_left_out_and_its_outcomes_are_counted() {
    let answers = Arc::new(AtomicU64::new(0));
    let b = Server::start(move |peer| {
        while peer.request()? {
            match answers.fetch_add(1, Ordering::SeqCst) % 50 {
                49 => peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")?,
                _ => peer.send(OK)?,
            }
        }
        Ok(())
    });
    let a = Server::answering(OK);
    let result = play(&a, &b, &plan());
    let [side_a, side_b] = &result.sides;
    assert!(result.discarded_blocks > 0);
    assert_eq!(side_a.outcomes.failed(), 0);
    assert_eq!(
        side_b.outcomes.failed(),
        side_b.outcomes.of(Outcome::UnexpectedStatus)
    );
    assert!(side_b.outcomes.failed() > 0);
    let in_blocks: u64 = result.blocks.iter().map(|block| block.b.requests).sum();
    let in_chunks: u128 = result.chunks.iter().map(|chunk| chunk.b.samples()).sum();
    assert!(in_blocks < side_b.requests);
    assert_eq!(u128::from(in_blocks), in_chunks);
}

#[test]
fn slow_servers_are_loaded_for_longer_until_there_are_enough_blocks() {
    let slow = || {
        Server::start(|peer| {
            while peer.request()? {
                std::thread::sleep(Duration::from_millis(50));
                peer.send(OK)?;
            }
            Ok(())
        })
    };
    let plan = PairedPlan {
        per_side: Duration::from_millis(250),
        ..plan()
    };
    // A block takes 200 ms, so that half a second has two or three.
    let result = play(&slow(), &slow(), &plan);
    assert!(!result.ended_early);
    assert_eq!(result.blocks.len(), fastr_stats::MIN_BLOCKS);
}

#[test]
fn a_server_that_closes_connections_between_slices_fails_nothing() {
    let b = Server::start(|peer| {
        for _ in 0..7 {
            peer.request()?;
            peer.send(OK)?;
        }
        Ok(())
    });
    let a = Server::answering(OK);
    let result = play(&a, &b, &plan());
    assert_eq!(result.sides[1].outcomes.failed(), 0);
    assert!(result.sides[1].reconnects > 0);
    assert_eq!(result.sides[0].reconnects, 0);
}

#[test]
fn a_dead_server_ends_the_run_early_with_what_there_is() {
    let a = Server::answering(OK);
    let plan = PairedPlan {
        per_side: Duration::from_secs(3_600),
        ..plan()
    };
    let result = run_paired(&[of(a.addr), of(nobody())], &plan, &mut ()).unwrap();
    assert!(result.ended_early);
    assert!(result.blocks.is_empty());
    let [side_a, side_b] = &result.sides;
    assert_eq!(side_a.outcomes.failed(), 0);
    assert!(side_b.requests > 0);
    assert_eq!(side_b.outcomes.of(Outcome::ConnectRefused), side_b.requests);
}

#[test]
fn a_server_that_dies_in_the_middle_ends_the_run_early_with_the_blocks_so_far() {
    let answers = Arc::new(AtomicU64::new(0));
    let b = Server::start(move |peer| {
        while peer.request()? && answers.fetch_add(1, Ordering::SeqCst) < 2_000 {
            peer.send(OK)?;
        }
        Ok(())
    });
    let a = Server::answering(OK);
    let plan = PairedPlan {
        per_side: Duration::from_secs(3_600),
        ..plan()
    };
    let result = play(&a, &b, &plan);
    assert!(result.ended_early);
    assert!(!result.blocks.is_empty());
    assert!(result.sides[1].outcomes.of(Outcome::Eof) > 0);
}

/// Ends the run after some looks.
struct Patience {
    looks: usize,
    seen: Vec<Progress>,
}

impl Control for Patience {
    fn check(&mut self, progress: &Progress) -> ControlFlow<Halt> {
        self.seen.push(*progress);
        match self.seen.len() >= self.looks {
            true => ControlFlow::Break(Halt::Discard),
            false => ControlFlow::Continue(()),
        }
    }
}

#[test]
fn an_interrupt_ends_a_paired_run_between_slices_and_on_a_server_that_hangs() {
    let (a, b) = (Server::answering(OK), Server::answering(OK));
    let plan = PairedPlan {
        per_side: Duration::from_secs(3_600),
        request_timeout: Duration::from_secs(3_600),
        ..plan()
    };
    let mut control = Patience {
        looks: 3,
        seen: Vec::new(),
    };
    let error = run_paired(&[of(a.addr), of(b.addr)], &plan, &mut control).unwrap_err();
    assert!(matches!(error, LoadError::Interrupted(Halt::Discard)));
    let [first, .., last] = &control.seen[..] else {
        panic!("it was looked at three times");
    };
    assert!(last.elapsed_ns >= first.elapsed_ns + 100_000_000);
    assert!(last.requests > first.requests);
    assert_eq!(last.phase, Phase::Slices);
    assert!(last.side.is_some());

    let hangs = Server::start(|peer| peer.wait_for_close());
    let mut control = Patience {
        looks: 1,
        seen: Vec::new(),
    };
    let error = run_paired(&[of(a.addr), of(hangs.addr)], &plan, &mut control).unwrap_err();
    assert!(matches!(error, LoadError::Interrupted(Halt::Discard)));
}
