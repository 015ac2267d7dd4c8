//! Everything that can go wrong between the engine and its embedder.

use std::io;

use crate::SocketStage;

/// Why a server could not be set up or driven.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The host name has no address.
    #[error("cannot resolve host {host:?}: {source}")]
    Resolve {
        /// The name that was looked up.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The address could not be bound; the port may be taken.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// `host:port` as asked for.
        address: String,
        /// What the kernel said; its `raw_os_error` is kept.
        source: io::Error,
    },
    /// The runtime or one of its file descriptors could not be created.
    #[error("cannot start the I/O runtime: {0}")]
    Runtime(#[source] io::Error),
    /// A constant route or a mount that cannot be expressed in HTTP.
    #[error("{0}")]
    Route(String),
}

impl EngineError {
    /// The operating system's error number, where there is one.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Resolve { source, .. } | Self::Bind { source, .. } | Self::Runtime(source) => {
                source.raw_os_error()
            }
            Self::Route(_) => None,
        }
    }
}

/// A response that HTTP does not allow, or that contradicts itself. The application made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// A second response start.
    #[error("the response was started twice")]
    StartedTwice,
    /// Body bytes before the start.
    #[error("response body sent before the response was started")]
    NotStarted,
    /// Bytes after the last body message.
    #[error("response body sent after the response was complete")]
    Complete,
    /// A status outside 200-999 (informational ones are not final responses).
    #[error("{0} is not a final HTTP status code")]
    Status(u16),
    /// A reason phrase with control characters.
    #[error("invalid reason phrase {0:?}")]
    Reason(String),
    /// A header name that is not a token.
    #[error("invalid response header name {0:?}")]
    HeaderName(String),
    /// A header value with control characters.
    #[error("invalid value of response header {0:?}")]
    HeaderValue(String),
    /// More header fields than a header map can hold.
    #[error("too many response headers")]
    TooManyHeaders,
    /// A content-length that is not one number.
    #[error("invalid content-length {0:?}")]
    ContentLength(String),
    /// More bytes than content-length announced.
    #[error("response content is longer than its content-length")]
    TooLong,
    /// Fewer bytes than content-length announced.
    #[error("response content is shorter than its content-length")]
    TooShort,
}

/// The payload of a control frame holds two bytes of code and this many of reason.
pub(crate) const MAX_REASON_BYTES: usize = 123;

/// What an application may not do with its websocket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// The client is gone: there is nobody to send to.
    #[error("the client has disconnected")]
    Disconnected,
    /// Not at this stage.
    #[error("a websocket cannot do this when it is {0:?}")]
    Stage(SocketStage),
    /// A close code that must not be sent.
    #[error("{0} is not a close code that may be sent")]
    CloseCode(u32),
    /// A close reason that does not fit into its frame.
    #[error("a close reason has at most {MAX_REASON_BYTES} bytes")]
    ReasonTooLong,
    /// A subprotocol that is no header value.
    #[error("invalid subprotocol {0:?}")]
    Subprotocol(String),
    /// Headers, or a denial, that HTTP does not allow.
    #[error(transparent)]
    Response(#[from] ResponseError),
}
