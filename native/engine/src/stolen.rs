//! Time that a hypervisor took away: inside a virtual machine it is charged to the thread that would have run.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far back a reading may lie. Steal is told in hundredths of a second, so a look at less would see nothing of it.
const SPAN: Duration = Duration::from_secs(2);

/// The unit of `/proc/stat`: Linux tells times to programs in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// What was stolen from the machine lately, for whoever has found a call slow.
#[derive(Debug, Default)]
pub struct StolenTime {
    /// The last reading, if there is one: when it was, and what had been stolen since the machine was started.
    last: Mutex<Option<(Instant, Duration)>>,
}

impl StolenTime {
    /// To be called before what may be found slow. Costs a reading now and then where anything was ever stolen, and next to
    /// nothing elsewhere.
    pub fn look(&self, now: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|(when, stolen)| {
            !stolen.is_zero() && now.saturating_duration_since(when) > SPAN
        });
        if due {
            *last = Some((now, stolen()));
        }
    }

    /// Whether a thread that was charged `used` since the last look may have lost all of it.
    pub fn may_explain(&self, used: Duration) -> bool {
        let now = stolen();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.map_or(now, |(_, before)| before);
        *last = Some((Instant::now(), now));
        covers(now.saturating_sub(before), used)
    }
}

/// What was told as stolen is rounded down to ticks, so that up to one more was.
fn covers(stolen: Duration, used: Duration) -> bool {
    !stolen.is_zero() && used <= stolen + TICK
}

/// What was stolen from all processors since the machine was started; nothing where the system does not tell.
fn stolen() -> Duration {
    let stat = fs::read_to_string("/proc/stat").ok();
    stat.and_then(|stat| steal_of(&stat)).unwrap_or_default()
}

/// The eighth number of the first line: `cpu user nice system idle iowait irq softirq steal …`.
fn steal_of(stat: &str) -> Option<Duration> {
    let ticks: u64 = stat
        .lines()
        .next()?
        .split_whitespace()
        .nth(8)?
        .parse()
        .ok()?;
    Some(Duration::from_millis(ticks.saturating_mul(10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_read_in_ticks() {
        let stat = "cpu  1 2 3 4 5 6 7 80 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(steal_of(stat), Some(Duration::from_millis(800)));
        assert_eq!(steal_of("cpu 1 2 3"), None);
        assert_eq!(steal_of(""), None);
    }

    #[test]
    fn only_what_was_stolen_explains_a_slow_call() {
        let ms = Duration::from_millis;
        assert!(!covers(ms(0), ms(2)), "nothing was stolen");
        assert!(covers(ms(10), ms(2)));
        assert!(covers(ms(10), ms(20)), "told rounded down");
        assert!(!covers(ms(10), ms(21)), "more than was stolen");
    }

    #[test]
    fn without_a_look_before_nothing_is_explained() {
        assert!(!StolenTime::default().may_explain(Duration::from_millis(2)));
    }
}
