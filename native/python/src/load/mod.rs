//! The load generator's face: plans in, results out.

mod control;
mod histogram;
mod plan;
mod result;
mod run;

pub(crate) use control::Progress;
pub(crate) use histogram::Histogram;
pub(crate) use plan::{ConnectionPlan, Pacing, Request, Target};
pub(crate) use result::{
    Answer, Generator, LoadResult, PairedResult, RequestResult, Side, WarmUpResult,
};
pub(crate) use run::{once, run_load, run_paired, warm_up};
