//! Why a load run could not be carried out at all.
//!
//! A server that answers wrongly, or not at all, is *not* an error of a run: that is what
//! [`crate::Outcomes`] counts.

use std::io;

use fastr_stats::Side;

use crate::control::Halt;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan names no request.
    #[error("the plan has no request{side}: give it at least one", side = of_side(.0))]
    NoRequests(Option<Side>),
    /// A request of the plan has no bytes to send.
    #[error("the request {0:?} is empty: its bytes must be a whole HTTP/1.1 request")]
    EmptyRequest(String),
    /// The plan asks for no connection.
    #[error("the plan has 0 connections{side}: give it at least 1", side = of_side(.0))]
    NoConnections(Option<Side>),
    /// The stop rule, or a time of the plan, lets nothing happen.
    #[error("{0} is 0, so nothing would be measured: make it larger")]
    NothingToDo(&'static str),
    /// A scenario that cannot be played.
    #[error("the scenario cannot be played: {0}")]
    Scenario(String),
    /// What users do before the load failed.
    #[error("the load did not begin: the start request {request:?} failed: {reason}")]
    StartFailed {
        /// The request's name.
        request: String,
        /// Why, in words.
        reason: String,
    },
    /// A regular expression that is none.
    #[error("{pattern:?} is no regular expression: {reason}")]
    BadPattern {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value to compare with that is no JSON.
    #[error("the expected value is no JSON: {0}")]
    BadJson(String),
    /// A JSON pointer that is none.
    #[error("{0:?} is no JSON pointer (RFC 6901): it is empty or starts with '/', and '~' is written '~0'")]
    BadPointer(String),
    /// TLS could not be set up.
    #[error("TLS: {0}")]
    Tls(String),
    /// A number of the plan is not one that can be.
    #[error("{what} is {value}, which is out of range")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// The operating system refused what the event loop needs.
    #[error("the event loop could not {action}: {source}")]
    System {
        /// What was attempted, a verb and its object.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// [`crate::Control`] asked for the end.
    #[error("the load run was interrupted")]
    Interrupted(Halt),
}

impl LoadError {
    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }
}

fn of_side(side: &Option<Side>) -> String {
    side.map_or_else(String::new, |side| format!(" for the {side}"))
}
