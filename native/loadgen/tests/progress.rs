//! What those who watch a run are shown.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod flows;
mod server;

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use fastr_loadgen::{
    run, run_paired, Arrivals, Control, Halt, Pacing, PairedPlan, Plan, Profile, Progress,
    Scenario, Stop,
};
use flows::{flow, playing, scenario};
use server::{get, paired_plan, Server, OK};

const MS: Duration = Duration::from_millis(1);

/// Keeps all that it is shown.
#[derive(Default)]
struct Shown(Vec<Progress>);

impl Control for Shown {
    fn check(&mut self, progress: &Progress) -> ControlFlow<Halt> {
        self.0.push(*progress);
        ControlFlow::Continue(())
    }
}

fn never_goes_back(shown: &[Progress]) {
    assert!(shown.len() > 2);
    for pair in shown.windows(2) {
        let [one, next] = pair else { return };
        assert!(next.elapsed_ns > one.elapsed_ns);
        assert!(next.requests >= one.requests, "{one:?} and then {next:?}");
        assert_eq!(next.planned_ns, one.planned_ns);
    }
}

#[test]
fn progress_is_of_the_whole_run_and_its_rate_is_the_rate_of_the_load() {
    const RATE: f64 = 200.0;
    let server = Server::answering(OK);
    let scenario = Scenario {
        start: vec![0],
        ..scenario(0, vec![flow("one", 1, &[0])])
    };
    let plan = Plan {
        pacing: Pacing::Open {
            rate: Profile::constant(RATE),
            arrivals: Arrivals::Even,
            most_queued: None,
        },
        warm_up: 600 * MS,
        stop: Stop::Duration(600 * MS),
        ..playing(scenario, vec![get("/")], 3, 1)
    };
    let mut shown = Shown::default();
    run(&server.target(), &plan, &mut shown).unwrap();
    never_goes_back(&shown.0);
    for progress in shown.0 {
        // What is shown as the rate is the one by the other. A machine that stalls is behind for a while.
        let due = progress.elapsed_ns as f64 * RATE / 1e9;
        if progress.elapsed_ns > 400_000_000 {
            assert!(progress.requests as f64 > due * 0.4, "{progress:?}");
        }
        assert!(progress.requests as f64 <= due + 10.0, "{progress:?}");
        assert!(progress.elapsed_ns < 5 * progress.planned_ns);
    }
}

#[test]
fn progress_of_a_paired_run_goes_on_after_its_calibration() {
    let slow = || {
        Server::start(|peer| {
            while peer.request()? {
                thread::sleep(80 * MS);
                peer.send(OK)?;
            }
            Ok(())
        })
    };
    let (a, b) = (slow(), slow());
    let plan = PairedPlan {
        connections: [8, 8],
        per_side: 150 * MS,
        ..paired_plan([vec![get("/a")], vec![get("/b")]])
    };
    let mut shown = Shown::default();
    run_paired(&[a.target(), b.target()], &plan, &mut shown).unwrap();
    never_goes_back(&shown.0);
}
