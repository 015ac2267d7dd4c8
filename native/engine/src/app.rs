//! The border to whoever answers requests.

use std::sync::Arc;

use crate::{Exchange, WebSocket};

/// Answers requests.
///
/// Called on the reactor's thread, inside the runtime. An application that needs time keeps the exchange and answers
/// later: from a task it spawns, or from a foreign event loop between two turns.
pub trait App: Send + Sync + 'static {
    /// A request has arrived. Its body may still be on the way.
    fn call(&self, exchange: Arc<Exchange>);

    /// A client wants a websocket. Without an implementation it is denied with 403.
    fn websocket(&self, socket: Arc<WebSocket>) {
        // Denying fails when the client is gone, who then needs no answer.
        let _ = socket.close(1000, "");
    }
}

/// An application at a path prefix.
#[derive(Clone)]
pub struct Mount {
    /// The prefix without a trailing slash; empty for the root.
    pub prefix: Arc<str>,
    /// Who answers below the prefix.
    pub app: Arc<dyn App>,
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mount")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
