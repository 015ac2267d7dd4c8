//! ASGI over an engine's exchanges and websockets: scope, receive, send.

mod awaitable;
mod exchange;
mod messages;
mod scope;
mod websocket;

pub(crate) use awaitable::{Completed, Waiting};
pub(crate) use exchange::{AsgiApp, AsgiExchange, Batch, Dispatched};
pub(crate) use messages::{Receive, Send};
pub(crate) use websocket::{ClientDisconnected, WebsocketSend};
