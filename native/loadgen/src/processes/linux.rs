//! Linux: the CPU clock of a process by `clock_getcpuclockid`, cores by `sched_setaffinity`, the rest from `/proc`.
//!
//! Never the times of `/proc/PID/stat`, whose tick is 10 ms.

use std::fs;
use std::mem::size_of;

/// The CPU-time clock of one process.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuClock {
    clock: libc::clockid_t,
}

impl CpuClock {
    /// None when there is no such process.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: the call writes one clockid_t to a valid pointer.
        let error = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
        (pid > 0 && error == 0).then_some(Self { clock })
    }

    /// None when the process is gone.
    pub(super) fn read_ns(self) -> Option<u64> {
        read_clock_ns(self.clock)
    }
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu_ns() -> Option<u64> {
    read_clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn read_clock_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one timespec to a valid pointer.
    let error = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (error == 0).then_some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// The children of all threads of a process.
pub(super) fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut children = Vec::new();
    for task in tasks.flatten() {
        match fs::read_to_string(task.path().join("children")) {
            Ok(list) => children.extend(
                list.split_whitespace()
                    .filter_map(|pid| pid.parse::<i32>().ok()),
            ),
            // A thread that has ended, or a kernel without these files.
            Err(_) if task.path().exists() => return children_by_parent(pid),
            Err(_) => {}
        }
    }
    children
}

/// The same by asking every process for its parent.
fn children_by_parent(pid: i32) -> Vec<i32> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&other| {
            fs::read_to_string(format!("/proc/{other}/stat"))
                .is_ok_and(|stat| parent_in_stat(&stat) == Some(pid))
        })
        .collect()
}

/// The fourth field. The second, the name in brackets, may itself contain blanks and brackets.
fn parent_in_stat(stat: &str) -> Option<i32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

/// The peak resident size, `VmHWM`.
pub(super) fn peak_rss_bytes(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Sets the peak to what is resident now.
pub(super) fn reset_peak_rss(pid: i32) -> bool {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok()
}

/// A set of cores.
#[derive(Clone)]
pub(crate) struct CpuSet(libc::cpu_set_t);

impl CpuSet {
    /// Only this one.
    pub(crate) fn only(core: usize) -> Self {
        // SAFETY: all zeros is the empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the set is valid, and CPU_SET ignores what lies beyond it.
        unsafe { libc::CPU_SET(core, &mut set) };
        Self(set)
    }

    /// Their numbers, ascending.
    pub(crate) fn cores(&self) -> Vec<usize> {
        (0..libc::CPU_SETSIZE as usize)
            // SAFETY: the set is valid and the number within it.
            .filter(|&core| unsafe { libc::CPU_ISSET(core, &self.0) })
            .collect()
    }
}

/// On which cores a thread may run; 0 is the calling thread. None when there is no such thread.
pub(crate) fn affinity(thread: i32) -> Option<CpuSet> {
    // SAFETY: all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes at most the size that is given to a valid set.
    let error = unsafe { libc::sched_getaffinity(thread, size_of::<libc::cpu_set_t>(), &mut set) };
    (error == 0).then_some(CpuSet(set))
}

/// Lets a thread run on these cores only. False where that is not permitted or there is no such thread.
pub(crate) fn set_affinity(thread: i32, cores: &CpuSet) -> bool {
    // SAFETY: the call reads a set of the size that is given.
    unsafe { libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &cores.0) == 0 }
}

/// The threads of a process.
pub(crate) fn threads(pid: i32) -> Vec<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| task.file_name().to_str()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_in_stat("7 (a b) S 42 7 7 0"), Some(42));
        assert_eq!(parent_in_stat("7 (:) ) 1 (x) R 43 7"), Some(43));
        assert_eq!(parent_in_stat("7 cut off"), None);
    }

    #[test]
    fn both_ways_find_the_same_child() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let (own, pid) = (std::process::id() as i32, child.id() as i32);
        assert!(children(own).contains(&pid));
        assert!(children_by_parent(own).contains(&pid));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
