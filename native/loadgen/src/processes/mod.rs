//! What the server's processes cost: CPU time and peak memory of a whole process tree, read from the kernel.
//!
//! [`CpuMeter`] is the part that is the same everywhere; what differs by operating system is in one file each:
//! finding the descendants of a process, its CPU clock in nanoseconds, its peak memory.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod system;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
#[path = "unknown.rs"]
mod system;

#[cfg(not(target_os = "linux"))]
#[path = "unplaced.rs"]
mod cores;
#[cfg(target_os = "linux")]
use system as cores;

pub(crate) use cores::{affinity, set_affinity, threads, CpuSet};
pub(crate) use system::thread_cpu_ns;

/// The processes of some trees, their roots first.
pub(crate) fn descendants(roots: &[i32]) -> Vec<i32> {
    let mut tree = roots.to_vec();
    let mut at = 0;
    while at < tree.len() {
        for child in system::children(tree[at]) {
            if !tree.contains(&child) {
                tree.push(child);
            }
        }
        at += 1;
    }
    tree
}

/// One process of the tree, and what its clock said last.
#[derive(Clone, Copy, Debug)]
struct Process {
    pid: i32,
    clock: system::CpuClock,
    read_ns: u64,
}

/// Reads the CPU time of a process tree: some roots and their descendants.
#[derive(Clone, Debug)]
pub struct CpuMeter {
    roots: Vec<i32>,
    processes: Vec<Process>,
    changed: bool,
}

impl CpuMeter {
    /// Finds the processes of the tree. No roots, or none that lives: nothing can be read.
    pub fn new(roots: &[i32]) -> Self {
        let mut meter = Self {
            roots: roots.to_vec(),
            processes: Vec::new(),
            changed: false,
        };
        meter.find();
        meter.changed = false;
        meter.read();
        meter
    }

    /// CPU time of all processes so far, in nanoseconds. A process that is gone keeps its last reading. None: unknown.
    pub fn read(&mut self) -> Option<u64> {
        if self.processes.is_empty() {
            return None;
        }
        let mut total_ns = 0;
        for process in &mut self.processes {
            // A smaller reading would be another process that got the same id.
            let now_ns = process.clock.read_ns().unwrap_or_default();
            process.read_ns = process.read_ns.max(now_ns);
            total_ns += process.read_ns;
        }
        Some(total_ns)
    }

    /// Looks for processes again. New ones count with all their time, because they were born since.
    pub fn refresh(&mut self) {
        self.find();
    }

    /// Whether a refresh has found other processes than before.
    pub fn processes_changed(&self) -> bool {
        self.changed
    }

    /// How many processes are read.
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// Sum of the peak resident sizes of the tree's living processes.
    pub fn peak_rss_bytes(&self) -> Option<u64> {
        self.processes
            .iter()
            .filter_map(|process| system::peak_rss_bytes(process.pid))
            .reduce(|sum, bytes| sum + bytes)
    }

    /// Lets the peaks start anew from what is resident now. False where that is not permitted, for any process.
    pub fn reset_peak_rss(&self) -> bool {
        let mut resets = self
            .processes
            .iter()
            .map(|process| system::reset_peak_rss(process.pid));
        !self.processes.is_empty() && resets.all(|reset| reset)
    }

    fn find(&mut self) {
        let alive = descendants(&self.roots);
        let known = |pid: i32| self.processes.iter().any(|process| process.pid == pid);
        let born: Vec<Process> = alive
            .iter()
            .filter(|&&pid| !known(pid))
            .filter_map(|&pid| {
                let clock = system::CpuClock::of(pid)?;
                Some(Process {
                    pid,
                    clock,
                    read_ns: 0,
                })
            })
            .collect();
        let gone = self
            .processes
            .iter()
            .any(|process| !alive.contains(&process.pid) || process.clock.read_ns().is_none());
        self.changed |= gone || !born.is_empty();
        self.processes.extend(born);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_roots_nothing_is_known() {
        let mut meter = CpuMeter::new(&[]);
        assert_eq!((meter.read(), meter.peak_rss_bytes()), (None, None));
        assert!(!meter.reset_peak_rss());
    }

    #[cfg(any(target_os = "linux", target_os = "macos"))]
    #[test]
    fn the_clock_of_this_process_goes_forward_with_work() {
        let mut meter = CpuMeter::new(&[std::process::id() as i32]);
        let before = meter.read().unwrap();
        let mut sum = 0_u64;
        for number in 0..3_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(number));
        }
        assert!(meter.read().unwrap() > before, "{sum}");
        assert!(meter.peak_rss_bytes().unwrap() > 100_000);
    }

    #[cfg(any(target_os = "linux", target_os = "macos"))]
    #[test]
    fn a_child_is_found_and_keeps_its_last_reading_when_it_is_gone() {
        let mut meter = CpuMeter::new(&[std::process::id() as i32]);
        let before = meter.processes();
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        meter.refresh();
        assert!(meter.processes() > before);
        assert!(meter.processes_changed());
        let mut of_child = CpuMeter::new(&[child.id() as i32]);
        let read = of_child.read().unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(of_child.read(), Some(read));
        of_child.refresh();
        assert!(of_child.processes_changed());
    }
}
