//! macOS: `proc_pid_rusage` and `proc_listchildpids`.

use std::mem;
use std::ptr;

/// The process whose resource usage is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuClock {
    pid: i32,
}

impl CpuClock {
    pub(super) fn of(pid: i32) -> Option<Self> {
        usage(pid).map(|_| Self { pid })
    }

    pub(super) fn read_ns(self) -> Option<u64> {
        let usage = usage(self.pid)?;
        Some(ticks_to_ns(usage.ri_user_time + usage.ri_system_time))
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

fn usage(pid: i32) -> Option<libc::rusage_info_v4> {
    // SAFETY: the struct is plain numbers, for which zero is a value; the call fills the version that is asked for.
    unsafe {
        let mut usage: libc::rusage_info_v4 = mem::zeroed();
        let error = libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V4, (&raw mut usage).cast());
        (error == 0).then_some(usage)
    }
}

/// The times are in units of the machine's clock, not in nanoseconds.
#[allow(deprecated)] // libc points to another crate for this one call
fn ticks_to_ns(ticks: u64) -> u64 {
    let mut base = libc::mach_timebase_info { numer: 0, denom: 0 };
    // SAFETY: the call writes two numbers to a valid pointer.
    let error = unsafe { libc::mach_timebase_info(&raw mut base) };
    if error != 0 || base.denom == 0 {
        return ticks;
    }
    (u128::from(ticks) * u128::from(base.numer) / u128::from(base.denom)) as u64
}

/// The children of a process.
pub(super) fn children(pid: i32) -> Vec<i32> {
    // SAFETY: without a buffer the call only counts; with one it writes at most its size.
    unsafe {
        let count = libc::proc_listchildpids(pid, ptr::null_mut(), 0).max(0) as usize;
        // Room for some that are born in between.
        let mut pids = vec![0_i32; count + 16];
        let bytes = (pids.len() * mem::size_of::<i32>()) as libc::c_int;
        let found = libc::proc_listchildpids(pid, pids.as_mut_ptr().cast(), bytes).max(0) as usize;
        pids.truncate(found);
        pids.retain(|&pid| pid > 0);
        pids
    }
}

/// The largest footprint since the process began.
pub(super) fn peak_rss_bytes(pid: i32) -> Option<u64> {
    usage(pid).map(|usage| usage.ri_lifetime_max_phys_footprint)
}

/// There is no such thing here.
pub(super) fn reset_peak_rss(_pid: i32) -> bool {
    false
}
