//! When a free connection sends its next request.
//!
//! The seam for constant rates, Poisson arrivals and think times: the send loop asks a [`Pacer`] and knows no
//! load shape itself.

/// Decides when the next request of a connection that has become free is due.
pub trait Pacer {
    /// The time at which it is due, on the clock of `free_ns`, which says since when the connection has
    /// been free. A time in the past means at once.
    fn next_due_ns(&mut self, free_ns: u64) -> u64;
}

/// The closed loop: a connection that is free sends at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Closed;

impl Pacer for Closed {
    fn next_due_ns(&mut self, free_ns: u64) -> u64 {
        free_ns
    }
}
