//! The event loop: waits for sockets, for due times and for the control tick, and lets the [`Pool`] act.
//!
//! One poll (edge-triggered epoll or kqueue) for each server. A paired run has two reactors and drives one at a time.

use std::time::Duration;

use crate::clock::Clock;
use crate::control::{Ticker, TICK_NS};
use crate::driver::Driver;
use crate::error::LoadError;
use crate::plan::Address;
use crate::pool::{Pool, Settings};
use crate::request::Request;
use crate::wait::{TimerMode, Waiter};

/// How long a connection that finds the listener's queue full waits for a place.
const QUEUING_PAUSE: Duration = Duration::from_millis(1);

/// The event loop of one server's connections.
pub(crate) struct Reactor<'r> {
    waiter: Waiter,
    /// So long before something is due it does not sleep any more.
    spin_ns: u64,
    /// For how long it has spun and nothing happened.
    pub(crate) spun_ns: u64,
    pub(crate) pool: Pool<'r>,
    expired_ns: u64,
}

impl<'r> Reactor<'r> {
    pub(crate) fn new(
        address: Address,
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
            spin_ns: 0,
            spun_ns: 0,
            pool: Pool::new(address, registry, requests, settings, clock),
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

    /// Spins for at most so long before something is due: no timer wakes a thread on time to the microsecond. Worth it
    /// only where a core is to spare.
    pub(crate) fn spin_for(&mut self, spin_ns: u64) {
        self.spin_ns = spin_ns;
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
        let patience = self.patience();
        match self.spin_ns > 0 && patience.is_zero() {
            true => self.spin()?,
            false => self.wait(patience)?,
        }
        self.dispatch(driver);
        self.pool.read_on(driver);
        if self.pool.is_queuing() {
            self.pool.connect_queuing(driver);
        }
        if let Some(cut_ns) = driver.cut_ns() {
            self.pool.cancel_waiting(cut_ns);
        }
        let now_ns = self.pool.clock().now_ns();
        self.pool.start_due(now_ns, driver);
        if now_ns >= self.expired_ns + TICK_NS {
            self.expired_ns = now_ns;
            self.pool.expire(now_ns, driver);
        }
        ticker.pulse(now_ns, self.pool.tally(), || driver.latest_ns())
    }

    /// How long to wait for the next event.
    fn patience(&self) -> Duration {
        if self.pool.has_unread() {
            return Duration::ZERO;
        }
        if self.pool.is_queuing() {
            return QUEUING_PAUSE;
        }
        let wait_ns = match self.pool.next_due_ns() {
            Some(due_ns) => due_ns
                .saturating_sub(self.spin_ns + self.pool.clock().now_ns())
                .min(TICK_NS),
            None => TICK_NS,
        };
        Duration::from_nanos(wait_ns)
    }

    /// Looks for events without waiting, and notes the time when there are none.
    fn spin(&mut self) -> Result<(), LoadError> {
        let asked_ns = self.pool.clock().now_ns();
        self.wait(Duration::ZERO)?;
        if self.waiter.events().next().is_none() {
            self.spun_ns += self.pool.clock().now_ns() - asked_ns;
        }
        Ok(())
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
