//! Ends a server process whose parent has gone, whatever the interpreter is doing.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::FromRawFd;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Starts a native thread that waits for the end of the pipe `fd`, whose other end the parent holds. Then the process
/// is asked to stop (SIGTERM), and after `grace` seconds its whole process group is killed.
#[pyfunction]
pub(crate) fn watch_lifeline(fd: i32, grace: f64) -> PyResult<()> {
    let grace = Duration::try_from_secs_f64(grace).map_err(|_| PyValueError::new_err("grace must be seconds"))?;
    if fd < 0 {
        return Err(PyValueError::new_err("not a file descriptor"));
    }
    // SAFETY: the caller hands over a descriptor that nobody else uses or closes.
    let pipe = unsafe { File::from_raw_fd(fd) };
    std::thread::Builder::new().name("fastr-lifeline".into()).stack_size(64 * 1024).spawn(move || {
        wait_for_end(pipe);
        // SAFETY: plain system calls on this process and the group that it leads.
        unsafe {
            libc::kill(libc::getpid(), libc::SIGTERM);
            std::thread::sleep(grace);
            if libc::getpgrp() == libc::getpid() {
                libc::killpg(libc::getpid(), libc::SIGKILL);
            }
            libc::_exit(1);
        }
    })?;
    Ok(())
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
