//! Everywhere else: mio's own wait, which is precise with kqueue.

use std::io;
use std::time::Duration;

use mio::{Events, Poll, Registry};

use super::{Ready, TimerMode, EVENTS_AT_ONCE};

/// Waits on mio's poll.
pub(crate) struct Waiter {
    poll: Poll,
    events: Events,
}

impl Waiter {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_AT_ONCE),
        })
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    pub(crate) fn mode(&self) -> TimerMode {
        TimerMode::Portable
    }

    /// Waits for events, at most this long. A signal ends the wait without events.
    pub(crate) fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(at_most)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            other => other,
        }
    }

    /// What the last wait has brought.
    pub(crate) fn events(&self) -> impl Iterator<Item = Ready> + '_ {
        self.events.iter().map(|event| Ready {
            token: event.token().0,
            readable: event.is_readable() || event.is_error(),
            writable: event.is_writable(),
            ended: event.is_read_closed(),
        })
    }
}

/// Timers have no slack to take away here.
pub(crate) struct FineTimers;

impl FineTimers {
    pub(crate) fn start() -> Self {
        Self
    }
}
