//! The runtime in turns: tokio as another event loop's selector.
//!
//! A foreign loop calls [`Reactor::turn`] where it would have called `select`. The turn runs connections until the
//! foreign loop has something to do: a request batch, a ready file descriptor of its own, or a timer.

use std::future::{poll_fn, Future};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::io::Interest;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{EngineError, Exchange};

#[derive(Debug, Default)]
struct TurnState {
    /// Whoever runs the current turn; none between turns.
    runner: Option<Waker>,
    end_requested: bool,
    answered: Vec<Arc<Exchange>>,
}

/// A handle that ends the current turn, from inside the runtime or from any thread.
#[derive(Debug, Clone, Default)]
pub struct TurnEnd(Arc<Mutex<TurnState>>);

impl TurnEnd {
    fn lock(&self) -> MutexGuard<'_, TurnState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the current turn as soon as the tasks that are ready have run; if none is under way, the next one.
    pub fn request(&self) {
        let mut state = self.lock();
        state.end_requested = true;
        let runner = state.runner.clone();
        drop(state);
        if let Some(runner) = runner {
            runner.wake();
        }
    }

    /// Has the exchange's connection woken inside the runtime, now or at the start of the next turn. Between turns
    /// this is a push to a list: waking a task from outside the runtime would cost a system call.
    pub(crate) fn wake_connection_of(&self, exchange: Arc<Exchange>) {
        let mut state = self.lock();
        state.answered.push(exchange);
        let runner = state.runner.clone();
        drop(state);
        if let Some(runner) = runner {
            runner.wake();
        }
    }

    /// Starts or continues a turn: wakes what was answered, and tells whether the turn was asked to end.
    fn advance(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        if !state
            .runner
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            state.runner = Some(cx.waker().clone());
        }
        let ended = std::mem::take(&mut state.end_requested);
        let answered = std::mem::take(&mut state.answered);
        drop(state);
        for exchange in &answered {
            exchange.wake_connection();
        }
        if !answered.is_empty() {
            let mut answered = answered;
            answered.clear();
            let mut state = self.lock();
            if state.answered.capacity() == 0 {
                state.answered = answered;
            }
        }
        ended
    }

    fn leave(&self) {
        self.lock().runner = None;
    }
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The watched descriptor may have events: ask it without blocking.
    pub foreign_ready: bool,
}

/// A current-thread tokio runtime that runs in turns.
pub struct Reactor {
    runtime: Runtime,
    end: TurnEnd,
    foreign: Option<AsyncFd<OwnedFd>>,
}

impl Reactor {
    /// Creates the runtime; nothing runs before the first turn.
    pub fn new() -> Result<Self, EngineError> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(EngineError::Runtime)?;
        Ok(Self {
            runtime,
            end: TurnEnd::default(),
            foreign: None,
        })
    }

    /// A handle that ends turns.
    pub fn end(&self) -> TurnEnd {
        self.end.clone()
    }

    /// The runtime's handle, to spawn onto.
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Watches a descriptor of the foreign loop: a duplicate of its own epoll or kqueue.
    pub fn watch(&mut self, fd: OwnedFd) -> Result<(), EngineError> {
        let _inside = self.runtime.enter();
        // SAFETY: an OwnedFd returns the same open descriptor until it is dropped, and AsyncFd owns it until then.
        let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        self.foreign = Some(watched.map_err(|error| EngineError::Runtime(error.into_parts().1))?);
        Ok(())
    }

    /// Stops watching the foreign descriptor.
    pub fn unwatch(&mut self) {
        let _inside = self.runtime.enter();
        self.foreign = None;
    }

    /// Runs the runtime until something concerns the foreign loop, or `timeout` (none: for ever) has passed. Every
    /// turn polls sockets at least once, so a busy foreign loop does not starve them.
    ///
    /// `drained`: the foreign descriptor was asked since the last turn and had nothing left.
    pub fn turn(&mut self, timeout: Option<Duration>, drained: bool) -> Turn {
        let Self {
            runtime,
            end,
            foreign,
        } = self;
        let foreign = foreign.as_ref();
        runtime.block_on(async {
            let mut sleep = pin!(timeout
                .filter(|limit| !limit.is_zero())
                .map(tokio::time::sleep));
            let mut pass = pin!(tokio::task::yield_now());
            let mut must_clear = drained;
            let mut due = timeout.is_some_and(|limit| limit.is_zero());
            let mut first = true;
            let turn = poll_fn(|cx| {
                if std::mem::take(&mut must_clear) {
                    clear_ready(foreign, cx);
                }
                due |= end.advance(cx);
                let foreign_ready = is_ready(foreign, cx);
                due |= sleep
                    .as_mut()
                    .as_pin_mut()
                    .is_some_and(|sleep| sleep.poll(cx).is_ready());
                if !(due || foreign_ready) {
                    first = false;
                    return Poll::Pending;
                }
                if first && pass.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                Poll::Ready(Turn { foreign_ready })
            })
            .await;
            end.leave();
            turn
        })
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        // Exchanges that were answered since the last turn hold this list, and it holds them.
        let answered = std::mem::take(&mut self.end.lock().answered);
        drop(answered);
    }
}

fn is_ready(foreign: Option<&AsyncFd<OwnedFd>>, cx: &mut Context<'_>) -> bool {
    // The guard keeps the readiness when it is dropped. An error means that the runtime shuts down: nothing is ready.
    foreign.is_some_and(|fd| matches!(fd.poll_read_ready(cx), Poll::Ready(Ok(_))))
}

fn clear_ready(foreign: Option<&AsyncFd<OwnedFd>>, cx: &mut Context<'_>) {
    // Between the foreign poll that came back empty and this call the driver has not run, so no event is lost.
    if let Some(Poll::Ready(Ok(mut guard))) = foreign.map(|fd| fd.poll_read_ready(cx)) {
        guard.clear_ready();
    }
}
