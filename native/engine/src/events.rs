//! What the engine tells of itself, as events of `tracing`. Nobody listening costs a comparison each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Uri};

use crate::metrics::RouteMetrics;
use crate::{Address, RequestHead, TurnEnd};

/// The target of events about connections and about requests that the engine refuses.
pub const ENGINE_TARGET: &str = "pytest_fastr.engine";
/// The target of one event for each request that was answered.
pub const ACCESS_TARGET: &str = "pytest_fastr.access";

/// The status under which a request counts whose client went away before its answer; nginx's number.
const CLIENT_WENT: u16 = 499;

/// Has whoever forwards events do so now. For events that happen while nothing else ends the turn.
macro_rules! tell {
    ($turn:expr, $level:ident, $($rest:tt)+) => {
        if tracing::enabled!(target: $crate::events::ENGINE_TARGET, tracing::Level::$level) {
            tracing::event!(target: $crate::events::ENGINE_TARGET, tracing::Level::$level, $($rest)+);
            $turn.request();
        }
    };
}
pub(crate) use tell;

/// A request whose end somebody wants to know.
#[derive(Debug)]
pub(crate) struct Observed {
    began: Instant,
    logged: bool,
    route: Option<Arc<RouteMetrics>>,
}

impl Observed {
    fn now(logged: bool) -> Box<Self> {
        Box::new(Self {
            began: Instant::now(),
            logged,
            route: None,
        })
    }

    /// For the log, if anybody reads it.
    pub(crate) fn for_log() -> Option<Box<Self>> {
        is_access_logged().then(|| Self::now(true))
    }

    /// For a route's counters.
    pub(crate) fn count_for(observed: &mut Option<Box<Self>>, route: Arc<RouteMetrics>) {
        observed.get_or_insert_with(|| Self::now(false)).route = Some(route);
    }

    /// The response is complete; `status`: none when the client went away before.
    pub(crate) fn end(self, head: &RequestHead, status: Option<StatusCode>, turn: &TurnEnd) {
        let took = self.began.elapsed();
        let status = status.map_or(CLIENT_WENT, |status| status.as_u16());
        if let Some(route) = &self.route {
            route.record(&head.method, status, took);
        }
        if self.logged {
            log_access(&head.method, &head.uri, status, took, &head.peer);
            turn.request();
        }
    }
}

pub(crate) fn is_access_logged() -> bool {
    tracing::enabled!(target: ACCESS_TARGET, tracing::Level::INFO)
}

/// One line of the access log.
pub(crate) fn log_access(method: &Method, uri: &Uri, status: u16, took: Duration, peer: &Address) {
    tracing::info!(
        target: ACCESS_TARGET,
        method = method.as_str(),
        path = uri.path(),
        query = uri.query().unwrap_or(""),
        status = u64::from(status),
        duration_ms = took.as_micros() as f64 / 1e3,
        client = %peer,
        "{method} {uri} {status}"
    );
}
