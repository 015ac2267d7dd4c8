//! Linux: epoll with nanoseconds.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Duration;

use mio::{Poll, Registry};

use super::{Ready, TimerMode, EVENTS_AT_ONCE};

/// Waits on an epoll that mio's sockets are registered with.
pub(crate) struct Waiter {
    poll: Poll,
    mode: TimerMode,
    events: Vec<libc::epoll_event>,
}

impl Waiter {
    pub(crate) fn new() -> io::Result<Self> {
        let mut waiter = Self {
            poll: Poll::new()?,
            mode: TimerMode::EpollPwait2,
            events: Vec::with_capacity(EVENTS_AT_ONCE),
        };
        // Refused once, refused always: an old kernel or a sandbox.
        if waiter.pwait2(Duration::ZERO).is_err() {
            waiter.mode = TimerMode::Ppoll;
        }
        Ok(waiter)
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    pub(crate) fn mode(&self) -> TimerMode {
        self.mode
    }

    /// Waits for events, at most this long. A signal ends the wait without events.
    pub(crate) fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        self.events.clear();
        let waited = match self.mode {
            TimerMode::EpollPwait2 => self.pwait2(at_most),
            _ => self.ppoll(at_most),
        };
        match waited {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }

    /// What the last wait has brought.
    pub(crate) fn events(&self) -> impl Iterator<Item = Ready> + '_ {
        self.events.iter().map(|event| {
            let has = |flags: libc::c_int| event.events & flags as u32 != 0;
            Ready {
                token: event.u64 as usize,
                readable: has(libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLERR | libc::EPOLLHUP),
                writable: has(libc::EPOLLOUT),
                ended: has(libc::EPOLLRDHUP | libc::EPOLLHUP),
            }
        })
    }

    fn pwait2(&mut self, at_most: Duration) -> io::Result<()> {
        let time = timespec(at_most);
        // SAFETY: the kernel writes at most as many events as the vector has room for, and reads a 64-bit timespec;
        // there is no signal mask.
        let found = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.poll.as_raw_fd(),
                self.events.as_mut_ptr(),
                EVENTS_AT_ONCE as libc::c_int,
                &raw const time,
                ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        self.take(found)
    }

    fn ppoll(&mut self, at_most: Duration) -> io::Result<()> {
        let epoll = self.poll.as_raw_fd();
        if !at_most.is_zero() {
            let time = timespec(at_most);
            let mut fd = libc::pollfd {
                fd: epoll,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one valid pollfd and a valid timespec; there is no signal mask.
            if unsafe { libc::ppoll(&raw mut fd, 1, &raw const time, ptr::null()) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: the kernel writes at most as many events as the vector has room for.
        let found = unsafe {
            libc::epoll_wait(
                epoll,
                self.events.as_mut_ptr(),
                EVENTS_AT_ONCE as libc::c_int,
                0,
            )
        };
        self.take(found.into())
    }

    fn take(&mut self, found: libc::c_long) -> io::Result<()> {
        let Ok(found) = usize::try_from(found) else {
            return Err(io::Error::last_os_error());
        };
        // SAFETY: the kernel has written that many events, and there was room for them.
        unsafe { self.events.set_len(found) };
        Ok(())
    }
}

fn timespec(time: Duration) -> libc::timespec {
    // Never negative or too large: waits are bounded by the control tick.
    libc::timespec {
        tv_sec: time.as_secs() as libc::time_t,
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// While it lives, timers of the calling thread end when they are told to: the usual slack is 50 us.
pub(crate) struct FineTimers {
    before: Option<libc::c_ulong>,
}

impl FineTimers {
    pub(crate) fn start() -> Self {
        // SAFETY: these two options take and return plain numbers.
        let before = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK, 0, 0, 0, 0) };
        // SAFETY: as above.
        let set = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64, 0, 0, 0) };
        Self {
            before: (set == 0)
                .then_some(before)
                .and_then(|before| before.try_into().ok()),
        }
    }
}

impl Drop for FineTimers {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // SAFETY: the option takes a plain number.
            unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, before, 0, 0, 0) };
        }
    }
}
