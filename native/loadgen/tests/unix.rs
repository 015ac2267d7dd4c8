//! Unix sockets, where the queue of a listener that accepts slowly is full at once.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod server;

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use fastr_loadgen::{run, Address, Outcome, Target};
use server::{plan, OK};

#[test]
fn connections_wait_for_a_place_in_the_queue_of_the_listener() {
    const CONNECTIONS: usize = 20;
    let name = format!("fastr-loadgen-queue-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    // SAFETY: listening again on a listening socket only makes its queue shorter.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 1) }, 0);
    let server = thread::spawn(move || {
        let mut answered = 0;
        let serving: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                thread::sleep(Duration::from_millis(5));
                let (mut stream, _) = listener.accept().unwrap();
                thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    let mut answered = 0;
                    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                        stream.write_all(OK).unwrap();
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        for thread in serving {
            answered += thread.join().unwrap();
        }
        answered
    });
    let target = Target {
        addr: Address::Unix(path.clone()),
        pids: Vec::new(),
    };
    let mut plan = plan(CONNECTIONS, 2_000);
    plan.pacing = fastr_loadgen::Pacing::Closed {
        users: None,
        think: fastr_loadgen::Think::Fixed(Duration::from_millis(5)),
    };
    let result = run(&target, &plan, &mut ()).unwrap();
    assert_eq!(
        result.outcomes.of(Outcome::Ok),
        2_000,
        "{:?}",
        result.outcomes
    );
    assert_eq!(result.connect.len(), CONNECTIONS as u64);
    assert_eq!(server.join().unwrap(), 2_000);
    std::fs::remove_file(&path).unwrap();
}
