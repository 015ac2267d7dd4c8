//! One core for the generator and both servers while slices run.
//!
//! Left to itself, the kernel keeps each server on a core of its own for seconds, one of them beside the generator, and
//! the costs of the two differ by that: on two cores it was by far the largest part of the noise between epochs.
//! On one core both sides meet the same conditions, a server's CPU clock is read while the server does not run, and
//! nothing is lost, because in a round only one side has something to do.

use crate::processes::{affinity, descendants, set_affinity, threads, CpuSet};

/// While it lives, the calling thread and all threads of some process trees share a core.
pub(crate) struct OneCore {
    core: usize,
    roots: Vec<i32>,
    /// Where each thread was allowed to run before.
    before: Vec<(i32, CpuSet)>,
}

impl OneCore {
    /// Moves all of them to one of the cores that the calling thread may use, taking turns by `turn`. None where the
    /// system does not let it: then everything stays as it was.
    pub(crate) fn pin(roots: &[i32], turn: usize) -> Option<Self> {
        let own = affinity(0)?;
        let cores = own.cores();
        let core = *cores.get(turn % cores.len().max(1))?;
        let mut pinned = Self {
            core,
            roots: roots.to_vec(),
            before: Vec::new(),
        };
        // Dropped on the way out, it puts back what was moved so far.
        for thread in pinned.server_threads() {
            pinned.move_thread(thread)?;
        }
        if pinned.before.is_empty() {
            return None;
        }
        pinned.move_thread(0)?;
        Some(pinned)
    }

    /// The core's number.
    pub(crate) fn core(&self) -> usize {
        self.core
    }

    fn server_threads(&self) -> Vec<i32> {
        descendants(&self.roots)
            .into_iter()
            .flat_map(threads)
            .collect()
    }

    /// None: not permitted. A thread that has ended meanwhile needs no core.
    fn move_thread(&mut self, thread: i32) -> Option<()> {
        let Some(before) = affinity(thread) else {
            return Some(());
        };
        if set_affinity(thread, &CpuSet::only(self.core)) {
            self.before.push((thread, before));
            return Some(());
        }
        affinity(thread).is_none().then_some(())
    }
}

impl Drop for OneCore {
    fn drop(&mut self) {
        let Some((_, usual)) = self.before.first().cloned() else {
            return;
        };
        // Threads that were born meanwhile have inherited the one core.
        for thread in self.server_threads() {
            if !self.before.iter().any(|(known, _)| *known == thread) {
                set_affinity(thread, &usual);
            }
        }
        for (thread, before) in &self.before {
            set_affinity(*thread, before);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that waits until its input ends.
    fn waiting() -> Child {
        Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("every system has cat")
    }

    fn end(mut child: Child) {
        drop(child.stdin.take());
        child.wait().expect("it is a child of this process");
    }

    #[test]
    fn generator_and_server_share_a_core_and_get_theirs_back() {
        let child = waiting();
        let pid = child.id() as i32;
        let (own, its) = (affinity(0).unwrap(), affinity(pid).unwrap());
        for turn in 0..3 {
            let pinned = OneCore::pin(&[pid], turn).unwrap();
            let cores = own.cores();
            assert_eq!(pinned.core(), cores[turn % cores.len()]);
            assert_eq!(affinity(0).unwrap().cores(), [pinned.core()]);
            assert_eq!(affinity(pid).unwrap().cores(), [pinned.core()]);
            drop(pinned);
            assert_eq!(affinity(0).unwrap().cores(), own.cores());
            assert_eq!(affinity(pid).unwrap().cores(), its.cores());
        }
        end(child);
    }

    #[test]
    fn a_process_born_on_the_one_core_gets_all_cores_too() {
        let mut server = Command::new("sh")
            .args(["-c", "read go; sleep 60 & echo $!; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pinned = OneCore::pin(&[server.id() as i32], 0).unwrap();
        server.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        let mut line = String::new();
        let output = server.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let born: i32 = line.trim().parse().unwrap();
        assert_eq!(affinity(born).unwrap().cores(), [pinned.core()]);
        drop(pinned);
        assert_eq!(
            affinity(born).unwrap().cores(),
            affinity(0).unwrap().cores()
        );
        // SAFETY: a plain system call; the process is a child of a child that waits for it.
        assert_eq!(unsafe { libc::kill(born, libc::SIGKILL) }, 0);
        end(server);
    }

    #[test]
    fn without_a_server_nothing_is_moved() {
        let own = affinity(0).unwrap().cores();
        assert!(OneCore::pin(&[], 0).is_none());
        assert!(OneCore::pin(&[i32::MAX], 0).is_none());
        assert_eq!(affinity(0).unwrap().cores(), own);
    }
}
