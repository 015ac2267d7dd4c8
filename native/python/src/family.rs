//! The processes that belong to a server: what it started, and what those started, however they hid.
//!
//! Linux tells all of it through `/proc`. Elsewhere only the process group is known, which `killpg` reaches.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// How long killed processes may take to disappear. The kernel needs microseconds, unless one hangs in a device.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

/// Kills what belongs to the server `leader`, neither `leader` itself nor the caller: its descendants, the members of
/// the group that it leads, and whoever has `mark` (`NAME=value`) in the environment it was started with.
#[pyfunction]
#[pyo3(signature = (leader, mark=""))]
pub(crate) fn end_family(py: Python<'_>, leader: i32, mark: &str) {
    py.detach(|| kill_family(leader, mark));
}

/// See [`end_family`].
pub(crate) fn kill_family(leader: i32, mark: &str) {
    if leader <= 1 {
        return;
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Again until nobody is found: what is being killed may just have started another.
        let found = family(&running(mark), leader);
        if found.is_empty() || Instant::now() >= deadline {
            return;
        }
        for pid in found {
            // SAFETY: a plain system call.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        std::thread::sleep(PAUSE);
    }
}

/// One process that has not ended.
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    marked: bool,
}

/// Who of `all` belongs to `leader`.
fn family(all: &[Process], leader: i32) -> Vec<i32> {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let mut members: HashSet<i32> = HashSet::from([leader]);
    loop {
        let known = members.len();
        for one in all.iter().filter(|one| one.pid != me) {
            if one.marked || one.group == leader || members.contains(&one.parent) {
                members.insert(one.pid);
            }
        }
        if members.len() == known {
            break;
        }
    }
    members.remove(&leader);
    members.into_iter().collect()
}

/// Every process of this machine that has not ended; none where there is no `/proc`.
fn running(mark: &str) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| read_process(pid, mark)).collect()
}

fn read_process(pid: i32, mark: &str) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so fields count from the last one.
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = String::from_utf8_lossy(stat.get(name_end + 1..)?);
    let mut fields = rest.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let marked = !mark.is_empty()
        && fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment
                .split(|&byte| byte == 0)
                .any(|entry| entry == mark.as_bytes())
        });
    Some(Process {
        pid,
        parent,
        group,
        marked,
    })
}
