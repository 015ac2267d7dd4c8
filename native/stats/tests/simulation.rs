//! The whole road on simulated measurements: how often an unchanged app is called regressed, and a slower one is
//! not.
//!
//! Everything is seeded, so that a failure is a change of the statistics and never of the weather.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are tests: what cannot be estimated has to fail"
)]

use fastr_stats::{
    chance_of_red, change_against_sessions, change_direct, epoch_estimate, judge,
    pool_between_epochs, quantile_log_ratio, session_estimate, session_spread, Block, Change,
    ChunkPair, CostMetric, EpochEstimate, Rule, SessionEstimate, SideTotals, SparseHistogram,
    Spread, StoredSession, Verdict,
};

const EPOCHS: usize = 6;
const BLOCKS: usize = 60;
const REQUESTS: u64 = 40;
const COST_NS: f64 = 160_000.0;

/// The change of a run with both sides in it, on a machine on which runs differ by no more than their errors say.
fn paired(now: &SessionEstimate) -> Change {
    let floor = Spread {
        sd: 0.0,
        df: f64::INFINITY,
    };
    change_direct(now, floor).unwrap()
}

/// SplitMix64, and normal values from pairs of its numbers (Box and Muller).
struct Weather(u64);

impl Weather {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((mixed ^ (mixed >> 31)) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    fn normal(&mut self, sd: f64) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos() * sd
    }
}

/// Noise of a simulated machine, as standard deviations of log ratios.
#[derive(Clone, Copy)]
struct Machine {
    block_sd: f64,
    epoch_sd: f64,
    /// Share of blocks hit by steal on one side, which then costs three times as much.
    steal: f64,
}

/// The machine of the design notes: 10 % a block, 0.6 % between pairs of processes, bursts of steal.
const VM: Machine = Machine {
    block_sd: 0.10,
    epoch_sd: 0.006,
    steal: 0.02,
};

fn side(weather: &mut Weather, machine: Machine, log_cost: f64) -> SideTotals {
    let steal = if weather.uniform() < machine.steal {
        3.0_f64.ln()
    } else {
        0.0
    };
    let sd = machine.block_sd / 2.0_f64.sqrt();
    let per_request = COST_NS * (log_cost + weather.normal(sd) + steal).exp();
    let cpu_ns = (per_request * REQUESTS as f64) as u64;
    SideTotals {
        requests: REQUESTS,
        wall_ns: cpu_ns * 5 / 4,
        cpu_ns,
    }
}

fn epoch(weather: &mut Weather, machine: Machine, log_change: f64) -> EpochEstimate {
    let bias = weather.normal(machine.epoch_sd);
    let blocks: Vec<Block> = (0..BLOCKS)
        .map(|_| Block {
            a: side(weather, machine, 0.0),
            b: side(weather, machine, log_change + bias),
        })
        .collect();
    epoch_estimate(CostMetric::CpuPerRequest, &blocks).unwrap()
}

fn session(weather: &mut Weather, machine: Machine, log_change: f64) -> SessionEstimate {
    let epochs: Vec<EpochEstimate> = (0..EPOCHS)
        .map(|_| epoch(weather, machine, log_change))
        .collect();
    session_estimate(&epochs, None).unwrap()
}

/// A limit so small that the bound at `false_alarm` alone decides.
fn bound_only(false_alarm: f64) -> Rule {
    Rule {
        direction: CostMetric::CpuPerRequest.direction(),
        limit: 1e-9,
        false_alarm,
        confidence: 0.95,
    }
}

fn gate() -> Rule {
    Rule {
        limit: 0.05,
        false_alarm: 0.001,
        ..bound_only(0.01)
    }
}

fn count(changes: &[Change], rule: &Rule, verdict: Verdict) -> usize {
    changes
        .iter()
        .filter(|change| judge(change, rule).unwrap().verdict == verdict)
        .count()
}

/// Asserts a rate of 1 %, between bounds that an honest rate leaves once in about a thousand suites.
fn about_one_percent(alarms: usize, of: usize) {
    let expected = of as f64 * 0.01;
    let slack = 3.3 * (expected * 0.99).sqrt();
    assert!(
        (alarms as f64 - expected).abs() <= slack,
        "{alarms} alarms in {of} are not about 1 %"
    );
}

/// Sessions drawn as finished estimates.
const DRAWN: usize = 4_000;

/// Error of one epoch's centre in the drawn sessions below.
const WITHIN_SD: f64 = 0.0135;

/// An epoch of an unchanged app drawn as a finished estimate, which is what thousands of sessions can afford.
fn drawn_epoch(weather: &mut Weather, epoch_sd: f64) -> EpochEstimate {
    let log_ratio = weather.normal(WITHIN_SD.hypot(epoch_sd));
    EpochEstimate {
        log_ratio,
        se: WITHIN_SD,
        df: 35.0,
        totals_log_ratio: log_ratio,
        totals_se: WITHIN_SD,
        blocks: BLOCKS,
    }
}

/// Alarms in [`DRAWN`] drawn sessions of an unchanged app, each pooled with the epochs of `others` other tests.
fn drawn_alarms(seed: u64, epoch_sd: f64, others: usize) -> usize {
    drawn_alarms_of_unlike_tests(seed, epoch_sd, others, 1.0)
}

/// The same, where the standard deviations of tests differ: by up to `factor` to either side of `epoch_sd`.
fn drawn_alarms_of_unlike_tests(seed: u64, epoch_sd: f64, others: usize, factor: f64) -> usize {
    let mut weather = Weather(seed);
    let changes: Vec<Change> = (0..DRAWN)
        .map(|_| {
            let mut epochs = || -> Vec<EpochEstimate> {
                let own_sd = match factor > 1.0 {
                    true => epoch_sd * factor.powf(2.0 * weather.uniform() - 1.0),
                    false => epoch_sd,
                };
                (0..EPOCHS)
                    .map(|_| drawn_epoch(&mut weather, own_sd))
                    .collect()
            };
            let pool: Vec<Vec<f64>> = (0..others)
                .map(|_| epochs().iter().map(|one| one.log_ratio).collect())
                .collect();
            let now = session_estimate(&epochs(), pool_between_epochs(&pool)).unwrap();
            paired(&now)
        })
        .collect();
    count(&changes, &bound_only(0.01), Verdict::Regressed)
}

#[test]
fn one_epochs_own_error_is_wrong_once_in_a_hundred_at_a_bound_of_one_percent() {
    let mut weather = Weather(1);
    let one_pair = Machine {
        epoch_sd: 0.0,
        ..VM
    };
    let changes: Vec<Change> = (0..2_000)
        .map(|_| {
            let estimate = epoch(&mut weather, one_pair, 0.0);
            paired(&session_estimate(&[estimate], None).unwrap())
        })
        .collect();
    let alarms = count(&changes, &bound_only(0.01), Verdict::Regressed);
    about_one_percent(alarms, changes.len());
}

#[test]
fn pairs_of_processes_that_differ_much_are_wrong_once_in_a_hundred() {
    about_one_percent(drawn_alarms(2, 0.05, 0), DRAWN);
}

#[test]
fn pooling_over_tests_is_wrong_once_in_a_hundred() {
    about_one_percent(drawn_alarms(3, 0.019, 10), DRAWN);
}

#[test]
fn pooling_over_tests_that_differ_is_wrong_once_in_a_hundred_too() {
    // Standard deviations from a quarter of the middle one to four times as much: a noisy test that was given the
    // certainty of the quiet ones would be red far more often.
    about_one_percent(drawn_alarms_of_unlike_tests(9, 0.03, 10, 4.0), DRAWN);
}

#[test]
fn six_epochs_alone_are_wrong_less_often_than_promised_and_never_more() {
    // Sixty of 4,000 is 1 % and 3.3 standard deviations. The floor of the error within, with the few degrees of
    // freedom of the spread, costs sensitivity, not honesty.
    for (seed, epoch_sd) in [(4, 0.0), (5, 0.006), (6, 0.0135), (7, 0.02)] {
        let alarms = drawn_alarms(seed, epoch_sd, 0);
        assert!(alarms <= 60, "{alarms} alarms at epoch sd {epoch_sd}");
    }
}

#[test]
fn an_unchanged_app_is_never_red_at_the_stored_limit_and_nearly_always_green() {
    // Bursts on one block in fifty would leave the totals too uncertain to promise 5 % after 360 blocks.
    let calm = Machine { steal: 0.002, ..VM };
    let mut weather = Weather(8);
    let changes: Vec<Change> = (0..200)
        .map(|_| paired(&session(&mut weather, calm, 0.0)))
        .collect();
    assert_eq!(count(&changes, &gate(), Verdict::Regressed), 0);
    assert_eq!(count(&changes, &gate(), Verdict::Improved), 0);
    assert!(count(&changes, &gate(), Verdict::Equivalent) >= 190);
}

#[test]
fn twenty_percent_more_work_is_always_red() {
    let mut weather = Weather(9);
    let changes: Vec<Change> = (0..100)
        .map(|_| paired(&session(&mut weather, VM, 1.2_f64.ln())))
        .collect();
    assert_eq!(count(&changes, &gate(), Verdict::Regressed), 100);
}

#[test]
fn a_rare_cost_is_never_called_equivalent() {
    // One block in thirty pays nine times as much: about a quarter more work, and the centre does not see it.
    let mut weather = Weather(10);
    let quiet = Machine { steal: 0.0, ..VM };
    let rule = gate();
    for _ in 0..60 {
        let epochs: Vec<EpochEstimate> = (0..EPOCHS)
            .map(|_| {
                let blocks: Vec<Block> = (0..BLOCKS)
                    .map(|index| {
                        let rare = if index % 30 == 7 { 9.0_f64.ln() } else { 0.0 };
                        Block {
                            a: side(&mut weather, quiet, 0.0),
                            b: side(&mut weather, quiet, rare),
                        }
                    })
                    .collect();
                epoch_estimate(CostMetric::CpuPerRequest, &blocks).unwrap()
            })
            .collect();
        let change = paired(&session_estimate(&epochs, None).unwrap());
        let judged = judge(&change, &rule).unwrap();
        assert_eq!(judged.verdict, Verdict::Inconclusive);
        assert!(judged.bursts);
    }
}

#[test]
fn sessions_that_differ_from_day_to_day_are_wrong_once_in_a_hundred_against_a_baseline() {
    const DAY_SD: f64 = 0.02;
    const OWN_SE: f64 = 0.003;
    let mut weather = Weather(11);
    let changes: Vec<Change> = (0..DRAWN)
        .map(|_| {
            let mut day = || weather.normal(DAY_SD.hypot(OWN_SE));
            let history: Vec<Vec<f64>> = (0..5).map(|_| (0..10).map(|_| day()).collect()).collect();
            let stored: Vec<StoredSession> = history[0]
                .iter()
                .map(|log_ratio| StoredSession {
                    log_ratio: *log_ratio,
                    totals_log_ratio: *log_ratio,
                })
                .collect();
            let today = day();
            let now = SessionEstimate {
                log_ratio: today,
                se: OWN_SE,
                df: 40.0,
                totals_log_ratio: today,
                totals_se: OWN_SE,
                epochs: EPOCHS,
            };
            let spread = session_spread(&history, 0.03, 10).unwrap();
            change_against_sessions(&now, &stored, spread).unwrap()
        })
        .collect();
    let alarms = count(&changes, &bound_only(0.01), Verdict::Regressed);
    about_one_percent(alarms, changes.len());
}

/// Response times of a chunk whose level wanders and whose two sides wander together, in buckets of 10 us.
fn chunk(weather: &mut Weather, log_a: f64, log_b: f64) -> ChunkPair {
    let weather_of_chunk = weather.normal(0.05);
    let mut histogram = |log_level: f64| {
        let level = 1e6 * (log_level + weather_of_chunk).exp();
        let mut values: Vec<u64> = (0..150)
            .map(|_| (level * (1.0 - 0.3 * weather.uniform().ln())) as u64 / 10_000 * 10_000)
            .collect();
        values.sort_unstable();
        SparseHistogram {
            buckets: values.into_iter().map(|value| (value, 1)).collect(),
        }
    };
    ChunkPair {
        a: histogram(log_a),
        b: histogram(log_b),
    }
}

fn quantile_change(weather: &mut Weather, epoch_sd: f64, log_change: f64) -> Change {
    let epochs: Vec<Vec<ChunkPair>> = (0..EPOCHS)
        .map(|_| {
            let bias = weather.normal(epoch_sd);
            (0..8)
                .map(|_| chunk(weather, 0.0, log_change + bias))
                .collect()
        })
        .collect();
    let seed = (weather.uniform() * 1e15) as u64;
    let estimate = quantile_log_ratio(&epochs, 0.99, 200, seed).unwrap();
    paired(&estimate.session())
}

#[test]
fn an_unchanged_p99_is_called_worse_at_most_once_in_a_hundred() {
    for (seed, epoch_sd) in [(12, 0.0), (13, 0.1)] {
        let mut weather = Weather(seed);
        let changes: Vec<Change> = (0..200)
            .map(|_| quantile_change(&mut weather, epoch_sd, 0.0))
            .collect();
        let alarms = count(&changes, &bound_only(0.01), Verdict::Regressed);
        // Two are expected of 200 at 1 %; more than seven come once in a thousand suites.
        assert!(alarms <= 7, "{alarms} alarms at epoch sd {epoch_sd}");
    }
}

#[test]
fn a_tail_that_is_half_as_slow_again_is_red() {
    let mut weather = Weather(14);
    let rule = Rule {
        limit: 0.15,
        ..gate()
    };
    let changes: Vec<Change> = (0..20)
        .map(|_| quantile_change(&mut weather, 0.01, 1.5_f64.ln()))
        .collect();
    assert_eq!(count(&changes, &rule, Verdict::Regressed), 20);
}

/// How many epochs a test has had at each look.
const LOOKS: [usize; 3] = [EPOCHS, 2 * EPOCHS, 4 * EPOCHS];

/// Their shares of the false-alarm budget; the first look screens, and spends nothing of it.
const SPENT: [f64; 3] = [0.9, 0.1, 0.9];

/// Whether sequential looks call a change regressed, each with all epochs pooled; what came after the first must show
/// the limit too. And how many epochs that took.
fn looked_at(weather: &mut Weather, epoch_sd: f64, log_change: f64, rule: &Rule) -> (bool, usize) {
    let spending = |share: f64| Rule {
        false_alarm: rule.false_alarm * share,
        ..*rule
    };
    let mut epochs: Vec<EpochEstimate> = Vec::new();
    for (total, share) in LOOKS.into_iter().zip(SPENT) {
        while epochs.len() < total {
            let mut epoch = drawn_epoch(weather, epoch_sd);
            epoch.log_ratio += log_change;
            epoch.totals_log_ratio += log_change;
            epochs.push(epoch);
        }
        let now = session_estimate(&epochs, None).unwrap();
        let red = judge(&paired(&now), &spending(share)).unwrap().verdict == Verdict::Regressed;
        let later: Vec<f64> = epochs[EPOCHS..].iter().map(|one| one.log_ratio).collect();
        let shown = !later.is_empty()
            && later.iter().sum::<f64>() / later.len() as f64 >= rule.limit.ln_1p();
        let chance = chance_of_red(&now, LOOKS[2], &spending(SPENT[2]), |session| {
            Ok(paired(session))
        })
        .unwrap();
        if red && shown {
            return (true, total);
        }
        if chance < 0.1 {
            return (false, total);
        }
    }
    (false, LOOKS[2])
}

#[test]
fn sequential_looks_are_wrong_at_most_once_in_a_hundred() {
    for (seed, epoch_sd) in [(15, 0.0), (16, 0.02), (17, 0.05)] {
        let mut weather = Weather(seed);
        let alarms = (0..DRAWN)
            .filter(|_| looked_at(&mut weather, epoch_sd, 0.0, &bound_only(0.01)).0)
            .count();
        // Sixty of 4,000 is 1 % and 3.3 standard deviations.
        assert!(alarms <= 60, "{alarms} alarms at epoch sd {epoch_sd}");
    }
}

#[test]
fn sequential_looks_find_in_a_noisy_hour_what_one_look_misses() {
    let (noisy, change) = (0.12, 1.2_f64.ln());
    let mut weather = Weather(18);
    let once = (0..500)
        .filter(|_| {
            let epochs: Vec<EpochEstimate> = (0..EPOCHS)
                .map(|_| {
                    let mut epoch = drawn_epoch(&mut weather, noisy);
                    epoch.log_ratio += change;
                    epoch
                })
                .collect();
            let now = session_estimate(&epochs, None).unwrap();
            judge(&paired(&now), &gate()).unwrap().verdict == Verdict::Regressed
        })
        .count();
    let found = (0..500)
        .filter(|_| looked_at(&mut weather, noisy, change, &gate()).0)
        .count();
    assert!(found > 2 * once, "{found} found, {once} by one look");
    assert!(found >= 400, "{found} of 500 found");
}

#[test]
fn an_unchanged_app_seldom_costs_a_second_look() {
    let mut weather = Weather(19);
    let mut looked_again = |epoch_sd, rule: &Rule| {
        (0..1_000)
            .filter(|_| looked_at(&mut weather, epoch_sd, 0.0, rule).1 > EPOCHS)
            .count()
    };
    assert!(looked_again(0.02, &gate()) <= 10);
    // Where the limit lies within the noise (p99 of a short run), every fourth is worth it.
    assert!(looked_again(0.02, &bound_only(0.001)) <= 300);
}
