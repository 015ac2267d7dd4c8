//! The HTTP engine of pytest-fastr.
//!
//! One thread runs everything: a [`Reactor`] drives a current-thread tokio runtime in *turns*, so that a foreign event
//! loop (asyncio) can use it as its selector. Connections are served by hyper; a request becomes an [`Exchange`],
//! which an [`App`] reads from and answers to without ever touching a socket. This crate knows no Python.
//!
//! ```text
//! Listener -> connection (hyper, Activity: timeouts) -> Router -> ConstantRoute
//!                                                             \-> App  <- Exchange ->
//!                                                                      <- WebSocket ->
//! ```

mod activity;
mod app;
mod body;
mod classify;
mod connection;
mod error;
mod events;
mod exchange;
mod forwarded;
mod framing;
mod limits;
mod listener;
mod metrics;
mod pattern;
mod pieces;
mod reactor;
mod response_headers;
mod router;
mod routes;
mod server;
mod stolen;
mod stream;
mod values;
mod websocket;
mod websocket_handshake;
mod websocket_link;
mod websocket_output;

pub use app::{App, Mount};
pub use classify::{classify, Fact, Finding, Lane};
pub use error::{EngineError, ResponseError, SocketError};
pub use events::{ACCESS_TARGET, ENGINE_TARGET};
pub use exchange::{Exchange, Finish, Received, RequestHead};
pub use forwarded::TrustedProxies;
pub use limits::Limits;
pub use listener::Listener;
pub use metrics::{Metrics, RouteMetrics};
pub use pattern::{Convertor, Pattern, Rest, Segment, MAX_PARAMS};
pub use reactor::{Reactor, Turn, TurnEnd};
pub use router::{ConstantRoute, Routed, Router};
pub use routes::{Captures, Found, RouteTable};
pub use server::Server;
pub use stolen::StolenTime;
pub use stream::Address;
pub use values::{below_root, decode_path, Given, Param, Reading, Scalar, Source, Unsure, Value};
pub use websocket::{Message, SocketEvent, SocketFinish, SocketStage, WebSocket};

pub use http::Version;
pub use tungstenite::Utf8Bytes;
