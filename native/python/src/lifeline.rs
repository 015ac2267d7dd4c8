//! Ends a server process whose parent has gone, whatever the interpreter is doing.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::FromRawFd;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::family::kill_family;

/// Starts a native thread that waits for the end of the pipe `fd`, whose other end the parent holds. Then the process
/// is asked to stop (SIGTERM), and after `grace` seconds it is killed with all that belongs to it, see `end_family`.
#[pyfunction]
#[pyo3(signature = (fd, grace, mark=String::new()))]
pub(crate) fn watch_lifeline(fd: i32, grace: f64, mark: String) -> PyResult<()> {
    let grace = Duration::try_from_secs_f64(grace)
        .map_err(|_| PyValueError::new_err("grace must be seconds"))?;
    if fd < 0 {
        return Err(PyValueError::new_err("not a file descriptor"));
    }
    // SAFETY: the caller hands over a descriptor that nobody else uses or closes.
    let pipe = unsafe { File::from_raw_fd(fd) };
    std::thread::Builder::new()
        .name("fastr-lifeline".into())
        .stack_size(256 * 1024)
        .spawn(move || {
            wait_for_end(pipe);
            end(grace, &mark);
        })?;
    Ok(())
}

fn end(grace: Duration, mark: &str) {
    // SAFETY: plain system calls on this process and the group that it leads.
    let own = unsafe { libc::getpid() };
    // Without a handler the signal would end this thread too, and leave behind what the application has started.
    if handles_sigterm() {
        // SAFETY: as above.
        unsafe { libc::kill(own, libc::SIGTERM) };
        std::thread::sleep(grace);
    }
    kill_family(own, mark);
    // SAFETY: as above.
    unsafe {
        if libc::getpgrp() == own {
            libc::killpg(own, libc::SIGKILL);
        }
        libc::_exit(1);
    }
}

fn handles_sigterm() -> bool {
    // SAFETY: the call fills in a zeroed structure of the right type.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGTERM, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction != libc::SIG_DFL
            && action.sa_sigaction != libc::SIG_IGN
    }
}

fn wait_for_end(mut pipe: File) {
    let mut byte = [0; 1];
    loop {
        match pipe.read(&mut byte) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
