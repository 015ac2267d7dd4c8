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
    /// How many cores of the machine were at work on average, whoever's work it was.
    pub busy_cores: Option<f64>,
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
    idle: u64,
    steal: u64,
    cores: u32,
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
        let machine = self.machine.zip(MachineTicks::read());
        GeneratorCheck {
            wall_ns,
            cpu_ns,
            utilisation: cpu_ns
                .map(|cpu_ns| cpu_ns.saturating_sub(spun_ns) as f64 / wall_ns.max(1) as f64),
            spun_ns,
            run_queue_wait_ns: since(self.queue_ns, run_queue_wait_ns()),
            steal: machine.map(|(before, now)| now.steal_since(&before)),
            busy_cores: machine.map(|(before, now)| now.busy_cores_since(&before)),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
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
        let cores = stat
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with("cpu"));
        Some(Self {
            total: ticks.iter().sum(),
            steal: *ticks.get(7)?,
            idle: ticks[3] + ticks[4],
            cores: u32::try_from(cores.count()).ok()?,
        })
    }

    fn steal_since(&self, before: &Self) -> f64 {
        let steal = self.steal.saturating_sub(before.steal);
        steal as f64 / self.total_since(before)
    }

    fn busy_cores_since(&self, before: &Self) -> f64 {
        let unused = (self.idle + self.steal).saturating_sub(before.idle + before.steal);
        (1.0 - unused as f64 / self.total_since(before)).max(0.0) * f64::from(self.cores)
    }

    fn total_since(&self, before: &Self) -> f64 {
        self.total.saturating_sub(before.total).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_ticks_of_all_cores() {
        let before =
            MachineTicks::parse("cpu  10 0 10 60 0 0 0 20 5 5\ncpu0 1\ncpu1 2\nintr 1\n").unwrap();
        assert_eq!((before.total, before.cores), (100, 2));
        let now = MachineTicks::parse("cpu  60 0 10 70 10 5 5 40 5 5\ncpu0 1\ncpu1 2\n").unwrap();
        // Of 100 more ticks, 20 were idle or waiting for a disk, and 20 stolen.
        assert!((now.steal_since(&before) - 0.2).abs() < 1e-9);
        assert!((now.busy_cores_since(&before) - 1.2).abs() < 1e-9);
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
