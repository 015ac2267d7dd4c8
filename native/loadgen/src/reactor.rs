//! The event loop: waits for sockets, for due times and for the control tick, and lets the [`Pool`] act.
//!
//! One poll (edge-triggered epoll or kqueue) for each server. A paired run has two reactors and drives one at a time.

use std::time::Duration;

use crate::clock::Clock;
use crate::control::{Ticker, TICK_NS};
use crate::driver::Driver;
use crate::error::LoadError;
use crate::pool::{Pool, Settings};
use crate::request::Request;
use crate::transport::Transport;
use crate::wait::{TimerMode, Waiter};

/// The event loop of one server's connections.
pub(crate) struct Reactor<'r, T: Transport> {
    waiter: Waiter,
    pub(crate) pool: Pool<'r, T>,
    expired_ns: u64,
}

impl<'r, T: Transport> Reactor<'r, T> {
    pub(crate) fn new(
        transport: T,
        requests: &'r [Request],
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, LoadError> {
        let waiter = Waiter::new().map_err(LoadError::system("open a poll"))?;
        let registry = waiter
            .registry()
            .try_clone()
            .map_err(LoadError::system("share a poll"))?;
        Ok(Self {
            waiter,
            pool: Pool::new(transport, registry, requests, settings, clock),
            expired_ns: 0,
        })
    }

    /// Notices connections that were closed while idle and opens all that are not open, so that this time is not
    /// measured. One that can't be opened stays closed: its next request finds out why.
    pub(crate) fn prepare<D: Driver>(
        &mut self,
        driver: &mut D,
        ticker: &mut Ticker<'_>,
    ) -> Result<(), LoadError> {
        self.wait(Duration::ZERO)?;
        self.dispatch(driver);
        self.pool.open_all(driver);
        while self.pool.is_opening() {
            self.turn(driver, ticker)?;
        }
        Ok(())
    }

    /// Offers every connection to the driver, and runs until all rest and nothing is in flight, or the driver gives
    /// up what still is.
    pub(crate) fn drive<D: Driver>(
        &mut self,
        driver: &mut D,
        ticker: &mut Ticker<'_>,
    ) -> Result<(), LoadError> {
        let clock = self.pool.clock();
        for index in 0..self.pool.len() {
            self.pool.offer(index, clock.now_ns(), 0, driver);
        }
        while self.pool.has_jobs() {
            self.turn(driver, ticker)?;
            if driver.gives_up(clock.now_ns()) {
                self.pool.abandon(driver);
            }
        }
        Ok(())
    }

    /// By what means it waits for due times.
    pub(crate) fn timer_mode(&self) -> TimerMode {
        self.waiter.mode()
    }

    fn turn<D: Driver>(
        &mut self,
        driver: &mut D,
        ticker: &mut Ticker<'_>,
    ) -> Result<(), LoadError> {
        self.wait(self.patience())?;
        self.dispatch(driver);
        self.pool.read_on(driver);
        let now_ns = self.pool.clock().now_ns();
        self.pool.start_due(now_ns, driver);
        if now_ns >= self.expired_ns + TICK_NS {
            self.expired_ns = now_ns;
            self.pool.expire(now_ns, driver);
        }
        ticker.pulse(now_ns, self.pool.tally())
    }

    /// How long to wait for the next event.
    fn patience(&self) -> Duration {
        if self.pool.has_unread() {
            return Duration::ZERO;
        }
        let wait_ns = match self.pool.next_due_ns() {
            Some(due_ns) => due_ns
                .saturating_sub(self.pool.clock().now_ns())
                .min(TICK_NS),
            None => TICK_NS,
        };
        Duration::from_nanos(wait_ns)
    }

    fn wait(&mut self, at_most: Duration) -> Result<(), LoadError> {
        self.waiter
            .wait(at_most)
            .map_err(LoadError::system("wait for sockets"))
    }

    fn dispatch<D: Driver>(&mut self, driver: &mut D) {
        for ready in self.waiter.events() {
            self.pool.on_event(ready, driver);
        }
    }
}
