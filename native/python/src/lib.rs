//! `pytest_fastr._native`: the border between Python and the engine, the load generator and the statistics.
//!
//! This crate translates and decides nothing; `pytest_fastr/_native.pyi` is its manual.

mod asgi;
mod eager;
mod engine;
mod family;
mod lifeline;
mod load;
mod logs;
mod percent;
mod stats;
mod web;
mod wsgi;

#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::asgi::{ClientDisconnected, Completed, Receive, Send, Waiting, WebsocketSend};
    #[pymodule_export]
    use crate::eager::{eager_task, HeldStep};
    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::family::end_family;
    #[pymodule_export]
    use crate::lifeline::watch_lifeline;
    #[pymodule_export]
    use crate::load::{
        measure_floor, once, run_load, run_paired, warm_up, Answer, ConnectionPlan, Feed, Floor,
        Generator, Histogram, LoadResult, Pacing, PairedResult, Progress, Request, RequestResult,
        Scenario, Side, Target, WarmUpResult,
    };
    #[pymodule_export]
    use crate::logs::forward_logs;
    #[pymodule_export]
    use crate::stats::{
        judge_against_sessions, judge_pair, quantile_estimate, run_floor, session_estimate,
        stretch_quantile_estimate, student_t_quantile, EpochEstimate, JudgeRule, Judgement,
        SessionEstimate,
    };

    #[pymodule_export]
    use crate::web::{
        classify_route, is_simple_path, note_collection, read_json, write_json, CallDone, Metrics,
        NativeRoute, NativeRoutes, PoolCall,
    };
    #[pymodule_export]
    use crate::wsgi::{StartResponse, WsgiInput, WsgiWorkers};

    /// Compiled without optimisation: nothing that this build measures means anything.
    #[pymodule_export]
    const DEBUG_BUILD: bool = cfg!(debug_assertions);
}
