//! The load generator's face: plans in, results out.

mod control;
mod plan;
mod result;
mod run;

pub(crate) use control::Progress;
pub(crate) use plan::{ConnectionPlan, Request, Target};
pub(crate) use result::{Answer, Generator, LoadResult, PairedResult, Side, WarmUpResult};
pub(crate) use run::{once, run_load, run_paired, warm_up};
