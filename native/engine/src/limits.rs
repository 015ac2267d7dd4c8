//! What a client may take from the server: connections, time and memory.

use std::time::Duration;

use crate::TrustedProxies;

/// Limits of one server. Every field has a default that suits a server under test.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at once; further ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// From the first byte of a request head to its last.
    pub header_timeout: Duration,
    /// Longest silence while the application waits for the request body.
    pub body_timeout: Duration,
    /// How long a keep-alive connection may stay without a request.
    pub idle_timeout: Duration,
    /// Longest time without progress while a response is written to a client that does not read.
    pub write_timeout: Duration,
    /// Bytes of a request body; a larger one is answered with 413.
    pub max_body_bytes: u64,
    /// Bytes of a request head; a larger one is answered with 431. At least 8,192.
    pub max_head_bytes: usize,
    /// Number of request header fields; more are answered with 431. At most 16,384; up to 100 are parsed without an
    /// allocation.
    pub max_headers: usize,
    /// Response bytes that may wait for the client before `send` waits too.
    pub write_buffer_bytes: usize,
    /// Bytes of a websocket message; a larger one closes its websocket with 1009.
    pub max_message_bytes: usize,
    /// Time between two pings on a websocket; zero: none.
    pub ping_interval: Duration,
    /// Longest silence after a ping before its websocket is closed with 1011; zero: for ever.
    pub ping_timeout: Duration,
    /// How long a client may take to answer the application's close frame.
    pub close_timeout: Duration,
    /// Whose word about the client of a request is believed. Default: nobody's.
    pub trusted_proxies: TrustedProxies,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
            max_body_bytes: 1 << 30,
            max_head_bytes: 64 * 1024,
            max_headers: 100,
            write_buffer_bytes: 64 * 1024,
            max_message_bytes: 16 << 20,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(10),
            trusted_proxies: TrustedProxies::default(),
        }
    }
}
