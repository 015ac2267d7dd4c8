//! Native lanes: routes that answer without the application's own stack.

mod answer;
mod calls;
mod describe;
mod gc;
mod json;
mod layers;
mod route;
mod routes;
mod trial;

pub(crate) use calls::{CallDone, NativeCall, PoolCall};
pub(crate) use gc::note_collection;
pub(crate) use json::{read_json, write_json};
pub(crate) use route::{call_with_names, NativeRoute};
pub(crate) use routes::{classify_route, is_simple_path, Metrics, NativeApp, NativeRoutes};
pub(crate) use trial::Used;
