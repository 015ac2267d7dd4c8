//! The load generator of pytest-fastr: values in (plans), values out (results), HTTP/1.1 in between.
//!
//! One thread, the caller's, with its own event loop over non-blocking sockets. Requests are bytes that were built
//! before; a closed loop writes right after it has read; nothing is allocated for a request. It knows neither
//! Python nor the engine that it loads.
//!
//! | what | where |
//! |---|---|
//! | [`once()`]: one request, looked at closely | `once.rs` |
//! | [`warm_up`], [`run`]: a stretch of load on one server | `stretch.rs` |
//! | [`run_paired`]: two servers in turn, in short slices | `paired.rs`, a side each in `player.rs`, `rounds.rs`, `order.rs` |
//! | what is to be done | [`Plan`], [`PairedPlan`], [`WarmUp`] in `plan.rs`, [`Request`] in `request.rs` |
//! | when requests are due | [`Pacing`] in `pacer.rs`, over time by a [`Profile`] in `profile.rs` |
//! | who watches and may end it | [`Control`] in `control.rs` |
//! | what came of it | [`Outcomes`] in `outcome.rs`, [`Recorder`] in `recorder.rs`, [`Series`] in `series.rs` |
//! | what the server's processes cost, and where they run | [`CpuMeter`] in `processes/`, `placement.rs` |
//! | whether the generator kept up | [`GeneratorCheck`] in `generator.rs` |
//!
//! Below these, the send loop, which is written once: `reactor.rs` waits for events (`wait/`), `pool.rs` acts on them,
//! `conn.rs` is the state of one connection, `response.rs` and `chunked.rs` read answers, `transport.rs` is the kind
//! of socket, and a `Driver` (`driver.rs`), one for each kind of run, says what a free connection does next.

mod batches;
mod check;
mod chunked;
mod clock;
mod conn;
mod control;
mod driver;
mod error;
mod floor;
mod generator;
mod jar;
mod once;
mod order;
mod outcome;
mod pacer;
mod paired;
mod placement;
mod plan;
mod play;
mod player;
mod pool;
mod processes;
mod profile;
mod random;
mod reactor;
mod recorder;
mod request;
mod response;
mod rounds;
mod scenario;
mod series;
mod shaped;
mod start;
mod stretch;
mod template;
mod tls;
mod transport;
mod users;
mod wait;

pub use fastr_stats::{Block, ChunkPair, Side, SideTotals, SparseHistogram};

pub use check::{pattern, pointer, Capture, Check, Source};
pub use control::{Control, Halt, Phase, Progress};
pub use error::LoadError;
pub use floor::{floor, Floor};
pub use generator::GeneratorCheck;
pub use once::{once, OnceResult};
pub use order::Order;
pub use outcome::{Outcome, Outcomes};
pub use pacer::{Arrivals, Pacing, Think};
pub use paired::{run_paired, PairedResult};
pub use plan::{Abort, Address, Measured, PairedPlan, Plan, Stop, Target, WarmUp};
pub use play::FlowResult;
pub use player::SideResult;
pub use processes::CpuMeter;
pub use profile::Profile;
pub use recorder::Recorder;
pub use request::{Content, Expect, Request};
pub use scenario::{Feed, FeedValue, Flow, Scenario, Step};
pub use series::{Bin, Second, Series, BIN_NS};
pub use shaped::{EarlyEnd, RequestResult};
pub use stretch::{run, warm_up, LoadResult, WarmUpResult};
pub use template::{Form, Part, Template};
pub use tls::{Roots, Tls};
pub use wait::TimerMode;
