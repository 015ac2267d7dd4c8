//! The statistics' face.

use fastr_stats::{
    chance_of_red, change_against_sessions, change_direct, judge, pool_between_epochs,
    quantile_log_ratio, session_spread, Block, Change, ChunkPair, CostMetric, Direction, Rule,
    SideTotals, Spread, StatsError, StoredSession, Verdict,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::load::{LoadResult, PairedResult};

/// Sessions after which a profile's own spread replaces the prior one.
const ENOUGH_SESSIONS: usize = 10;

pub(crate) fn stats_error(error: StatsError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// One epoch's log ratio.
#[pyclass(frozen, module = "pytest_fastr._native", from_py_object)]
#[derive(Clone)]
pub(crate) struct EpochEstimate(pub(crate) fastr_stats::EpochEstimate);

/// Requests or calls, wall and CPU nanoseconds of a side.
type Totals = (u64, u64, u64);

impl EpochEstimate {
    pub(crate) fn of(metric: &str, blocks: &[Block]) -> PyResult<Self> {
        let metric = match metric {
            "cpu" => CostMetric::CpuPerRequest,
            "throughput" => CostMetric::Throughput,
            other => {
                return Err(PyValueError::new_err(format!(
                    "unknown cost metric {other:?}"
                )))
            }
        };
        fastr_stats::epoch_estimate(metric, blocks)
            .map(Self)
            .map_err(stats_error)
    }
}

#[pymethods]
impl EpochEstimate {
    #[staticmethod]
    fn of_blocks(blocks: Vec<(Totals, Totals)>, metric: &str) -> PyResult<Self> {
        let side = |(requests, wall_ns, cpu_ns): Totals| SideTotals {
            requests,
            wall_ns,
            cpu_ns,
        };
        let blocks: Vec<Block> = blocks
            .into_iter()
            .map(|(a, b)| Block {
                a: side(a),
                b: side(b),
            })
            .collect();
        Self::of(metric, &blocks)
    }

    #[new]
    fn new(
        log_ratio: f64,
        se: f64,
        df: f64,
        totals_log_ratio: f64,
        totals_se: f64,
        blocks: usize,
    ) -> Self {
        Self(fastr_stats::EpochEstimate {
            log_ratio,
            se,
            df,
            totals_log_ratio,
            totals_se,
            blocks,
        })
    }

    #[staticmethod]
    fn exact(log_ratio: f64) -> Self {
        Self(fastr_stats::EpochEstimate {
            log_ratio,
            se: 0.0,
            df: f64::INFINITY,
            totals_log_ratio: log_ratio,
            totals_se: 0.0,
            blocks: 1,
        })
    }

    #[getter]
    fn log_ratio(&self) -> f64 {
        self.0.log_ratio
    }

    #[getter]
    fn se(&self) -> f64 {
        self.0.se
    }

    #[getter]
    fn df(&self) -> f64 {
        self.0.df
    }

    #[getter]
    fn totals_log_ratio(&self) -> f64 {
        self.0.totals_log_ratio
    }

    #[getter]
    fn totals_se(&self) -> f64 {
        self.0.totals_se
    }

    #[getter]
    fn blocks(&self) -> usize {
        self.0.blocks
    }
}

/// Quantile of Student's t.
#[pyfunction]
pub(crate) fn student_t_quantile(probability: f64, df: f64) -> f64 {
    fastr_stats::student_t_quantile(probability, df)
}

/// All epochs of one test.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct SessionEstimate(fastr_stats::SessionEstimate);

#[pymethods]
impl SessionEstimate {
    #[getter]
    fn log_ratio(&self) -> f64 {
        self.0.log_ratio
    }

    #[getter]
    fn se(&self) -> f64 {
        self.0.se
    }

    #[getter]
    fn df(&self) -> f64 {
        self.0.df
    }

    #[getter]
    fn totals_log_ratio(&self) -> f64 {
        self.0.totals_log_ratio
    }

    #[getter]
    fn totals_se(&self) -> f64 {
        self.0.totals_se
    }

    #[getter]
    fn epochs(&self) -> usize {
        self.0.epochs
    }
}

#[pyfunction]
pub(crate) fn session_estimate(
    epochs: Vec<EpochEstimate>,
    other_tests: Vec<Vec<f64>>,
) -> PyResult<SessionEstimate> {
    let epochs: Vec<_> = epochs.into_iter().map(|epoch| epoch.0).collect();
    let pooled = pool_between_epochs(&other_tests);
    fastr_stats::session_estimate(&epochs, pooled)
        .map(SessionEstimate)
        .map_err(stats_error)
}

#[pyfunction]
pub(crate) fn quantile_estimate(
    py: Python<'_>,
    epochs: Vec<PyRef<'_, PairedResult>>,
    q: f64,
    resamples: usize,
    seed: u64,
) -> PyResult<Option<SessionEstimate>> {
    let chunks = epochs.iter().map(|one| one.inner.chunks.clone()).collect();
    estimate_quantile(py, chunks, q, resamples, seed)
}

/// Stretches of load on both sides.
type StretchPair<'py> = (PyRef<'py, LoadResult>, PyRef<'py, LoadResult>);

#[pyfunction]
pub(crate) fn stretch_quantile_estimate(
    py: Python<'_>,
    epochs: Vec<Vec<StretchPair<'_>>>,
    q: f64,
    resamples: usize,
    seed: u64,
) -> PyResult<Option<SessionEstimate>> {
    let chunk = |(a, b): &StretchPair<'_>| ChunkPair {
        a: a.response_times(),
        b: b.response_times(),
    };
    let chunks = epochs.iter().map(|one| one.iter().map(chunk).collect());
    estimate_quantile(py, chunks.collect(), q, resamples, seed)
}

fn estimate_quantile(
    py: Python<'_>,
    chunks: Vec<Vec<ChunkPair>>,
    q: f64,
    resamples: usize,
    seed: u64,
) -> PyResult<Option<SessionEstimate>> {
    match py.detach(|| quantile_log_ratio(&chunks, q, resamples, seed)) {
        Ok(estimate) => Ok(Some(SessionEstimate(estimate.session()))),
        // Too little was measured to say anything: that is an answer, and the caller's to judge.
        Err(
            StatsError::TooFewSamples { .. }
            | StatsError::TooFewChunks { .. }
            | StatsError::EmptyChunk { .. }
            | StatsError::NoEpochs,
        ) => Ok(None),
        Err(error) => Err(stats_error(error)),
    }
}

/// A comparison's outcome.
#[pyclass(frozen, get_all, module = "pytest_fastr._native")]
pub(crate) struct Judgement {
    verdict: &'static str,
    change: f64,
    low: f64,
    high: f64,
    smallest_detectable: f64,
    bursts: bool,
    chance_of_red: f64,
}

/// How a metric is judged.
#[pyclass(frozen, module = "pytest_fastr._native", from_py_object)]
#[derive(Clone)]
pub(crate) struct JudgeRule {
    rule: Rule,
    last: Rule,
    most_epochs: usize,
}

#[pymethods]
impl JudgeRule {
    #[new]
    #[pyo3(signature = (
        *, lower_is_better, limit, false_alarm, confidence, most_epochs, last_false_alarm
    ))]
    fn new(
        lower_is_better: bool,
        limit: f64,
        false_alarm: f64,
        confidence: f64,
        most_epochs: usize,
        last_false_alarm: f64,
    ) -> Self {
        let rule = Rule {
            direction: if lower_is_better {
                Direction::LowerIsBetter
            } else {
                Direction::HigherIsBetter
            },
            limit,
            false_alarm,
            confidence,
        };
        Self {
            rule,
            last: Rule {
                false_alarm: last_false_alarm,
                ..rule
            },
            most_epochs,
        }
    }
}

impl JudgeRule {
    fn judge(
        &self,
        now: &fastr_stats::SessionEstimate,
        compare: impl Fn(&fastr_stats::SessionEstimate) -> Result<Change, StatsError>,
    ) -> Result<Judgement, StatsError> {
        let judged = judge(&compare(now)?, &self.rule)?;
        let chance_of_red = chance_of_red(now, self.most_epochs, &self.last, compare)?;
        let verdict = match judged.verdict {
            Verdict::Regressed => "regressed",
            Verdict::Improved => "improved",
            Verdict::Equivalent => "equivalent",
            Verdict::Inconclusive => "inconclusive",
        };
        Ok(Judgement {
            verdict,
            change: judged.change,
            low: judged.low,
            high: judged.high,
            smallest_detectable: judged.smallest_detectable,
            bursts: judged.bursts,
            chance_of_red,
        })
    }
}

#[pyfunction]
pub(crate) fn judge_against_sessions(
    now: &SessionEstimate,
    stored: Vec<(f64, f64)>,
    history: Vec<Vec<f64>>,
    prior_spread: f64,
    rule: &JudgeRule,
) -> PyResult<Judgement> {
    let stored: Vec<_> = stored
        .into_iter()
        .map(|(log_ratio, totals_log_ratio)| StoredSession {
            log_ratio,
            totals_log_ratio,
        })
        .collect();
    session_spread(&history, prior_spread, ENOUGH_SESSIONS)
        .and_then(|spread| {
            rule.judge(&now.0, |session| {
                change_against_sessions(session, &stored, spread)
            })
        })
        .map_err(stats_error)
}

#[pyfunction]
pub(crate) fn judge_pair(
    now: &SessionEstimate,
    floor: (f64, f64),
    rule: &JudgeRule,
) -> PyResult<Judgement> {
    let (sd, df) = floor;
    rule.judge(&now.0, |session| change_direct(session, Spread { sd, df }))
        .map_err(stats_error)
}

#[pyfunction]
pub(crate) fn run_floor(equals: Vec<(f64, f64)>) -> PyResult<Option<(f64, f64)>> {
    let floor = fastr_stats::run_floor(&equals).map_err(stats_error)?;
    Ok(floor.map(|spread| (spread.sd, spread.df)))
}
