//! The generator's look at itself: a run is only worth something if the generator was not what limited it.

use std::fs;
use std::time::Instant;

use crate::clock::as_ns;
use crate::processes::thread_cpu_ns;

/// How the load thread fared during a run. What the system does not tell is None.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneratorCheck {
    /// How long was watched.
    pub wall_ns: u64,
    /// CPU time of the load thread.
    pub cpu_ns: Option<u64>,
    /// CPU time as a share of wall time, without what it spun for: near 1, the generator was the bottleneck.
    pub utilisation: Option<f64>,
    /// For how long it spun before something was due. 0 where it did not.
    pub spun_ns: u64,
    /// How long the load thread was ready to run and had to wait for a core.
    pub run_queue_wait_ns: Option<u64>,
    /// The share of this machine's CPU time that its host gave to others.
    pub steal: Option<f64>,
    /// Cores this process may use.
    pub cores: usize,
}

/// Readings at the beginning of a run.
pub(crate) struct GeneratorWatch {
    started: Instant,
    cpu_ns: Option<u64>,
    queue_ns: Option<u64>,
    machine: Option<MachineTicks>,
}

/// The first line of `/proc/stat`, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MachineTicks {
    total: u64,
    steal: u64,
}

impl GeneratorWatch {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            cpu_ns: thread_cpu_ns(),
            queue_ns: run_queue_wait_ns(),
            machine: MachineTicks::read(),
        }
    }

    /// What happened since the start. Called on the same thread. `spun_ns`: how much of it was spun away.
    pub(crate) fn finish(&self, spun_ns: u64) -> GeneratorCheck {
        let since = |before: Option<u64>, now: Option<u64>| Some(now?.saturating_sub(before?));
        let wall_ns = as_ns(self.started.elapsed());
        let cpu_ns = since(self.cpu_ns, thread_cpu_ns());
        GeneratorCheck {
            wall_ns,
            cpu_ns,
            utilisation: cpu_ns
                .map(|cpu_ns| cpu_ns.saturating_sub(spun_ns) as f64 / wall_ns.max(1) as f64),
            spun_ns,
            run_queue_wait_ns: since(self.queue_ns, run_queue_wait_ns()),
            steal: self.steal_until(MachineTicks::read()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    fn steal_until(&self, now: Option<MachineTicks>) -> Option<f64> {
        let (before, now) = (self.machine?, now?);
        let total = now.total.saturating_sub(before.total);
        let steal = now.steal.saturating_sub(before.steal);
        Some(steal as f64 / total.max(1) as f64)
    }
}

fn run_queue_wait_ns() -> Option<u64> {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    schedstat.split_whitespace().nth(1)?.parse().ok()
}

impl MachineTicks {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        // user nice system idle iowait irq softirq steal; guest times after these are counted in user already.
        let ticks: Vec<u64> = line
            .split_whitespace()
            .take(8)
            .map_while(|field| field.parse().ok())
            .collect();
        Some(Self {
            total: ticks.iter().sum(),
            steal: *ticks.get(7)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_a_share_of_all_ticks() {
        let stat = "cpu  10 0 10 60 0 0 0 20 5 5\ncpu0 1 2 3\n";
        let ticks = MachineTicks::parse(stat).unwrap();
        assert_eq!((ticks.total, ticks.steal), (100, 20));
        assert_eq!(MachineTicks::parse("cpu  1 2 3\n"), None);
        assert_eq!(MachineTicks::parse("intr 1"), None);
    }

    #[test]
    fn a_watch_that_saw_nothing_reports_no_more_than_all_of_the_time() {
        let check = GeneratorWatch::start().finish(0);
        assert!(check.cores >= 1);
        assert!(check.steal.is_none_or(|share| (0.0..=1.0).contains(&share)));
    }
}
