//! The load generator's face: plans in, results out.

mod control;
mod floor;
mod histogram;
mod plan;
mod request;
mod result;
mod run;
mod scenario;

pub(crate) use control::Progress;
pub(crate) use floor::{measure_floor, Floor};
pub(crate) use histogram::Histogram;
pub(crate) use plan::{ConnectionPlan, Pacing, Target};
pub(crate) use request::Request;
pub(crate) use result::{
    Answer, Generator, LoadResult, PairedResult, RequestResult, Side, WarmUpResult,
};
pub(crate) use run::{once, run_load, run_paired, warm_up};
pub(crate) use scenario::{Feed, Scenario};
