//! Waiting for sockets, to the precision that a schedule needs.
//!
//! mio registers sockets everywhere (edge-triggered epoll, kqueue). On Linux its own wait knows milliseconds only, so
//! the wait is ours there: `epoll_pwait2` takes nanoseconds. kqueue always has.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "portable.rs"]
mod system;

pub(crate) use system::{FineTimers, Waiter};

/// What an event says about a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) ended: bool,
}

/// By what means a run waits for due times. Its name goes into results: it bounds how punctual a schedule can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerMode {
    /// `epoll_pwait2`: nanoseconds, one system call.
    EpollPwait2,
    /// `ppoll` and then `epoll_wait`: nanoseconds, two system calls. Kernels before 5.11, and some sandboxes.
    Ppoll,
    /// What mio does: nanoseconds with kqueue.
    Portable,
}

impl TimerMode {
    /// The name in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EpollPwait2 => "epoll_pwait2",
            Self::Ppoll => "ppoll",
            Self::Portable => "portable",
        }
    }
}

const EVENTS_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    use mio::net::UnixStream;
    use mio::{Interest, Token};

    use super::*;

    #[test]
    fn a_wait_without_events_lasts_as_long_as_it_was_told_to() {
        let mut waiter = Waiter::new().unwrap();
        let _fine = FineTimers::start();
        for wait in [Duration::from_micros(300), Duration::from_micros(1_700)] {
            let started = Instant::now();
            waiter.wait(wait).unwrap();
            assert_eq!(waiter.events().count(), 0);
            assert!(started.elapsed() >= wait, "{wait:?}");
        }
    }

    #[test]
    fn what_happens_to_a_socket_is_told_once_with_its_token() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut waiter = Waiter::new().unwrap();
        let interest = Interest::READABLE | Interest::WRITABLE;
        waiter
            .registry()
            .register(&mut near, Token(7), interest)
            .unwrap();
        (&far).write_all(b"x").unwrap();
        waiter.wait(Duration::from_secs(10)).unwrap();
        let events: Vec<Ready> = waiter.events().collect();
        assert_eq!(events.len(), 1);
        assert!(events[0].token == 7 && events[0].readable && events[0].writable);
        assert!(!events[0].ended);
        waiter.wait(Duration::ZERO).unwrap();
        assert_eq!(waiter.events().count(), 0);
        assert!(far.as_raw_fd() >= 0);
        drop(far);
        waiter.wait(Duration::from_secs(10)).unwrap();
        assert!(waiter.events().any(|ready| ready.ended));
    }
}
