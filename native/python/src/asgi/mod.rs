//! ASGI over an engine's exchanges: scope, receive, send.

mod awaitable;
mod exchange;
mod messages;
mod scope;

pub(crate) use awaitable::{Completed, Waiting};
pub(crate) use exchange::{AsgiApp, AsgiExchange, Batch, Dispatched};
pub(crate) use messages::{Receive, Send};
