//! What the generator itself takes: a short closed loop on a server that does nothing, in a thread of this process.
//!
//! No service time that is measured on this machine can be shorter, so one that is not much longer says more about the
//! generator and the system than about the server.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::error::LoadError;
use crate::outcome::Outcome;
use crate::plan::{Plan, Stop, Target};
use crate::recorder::Recorder;
use crate::request::Request;
use crate::stretch::run;

pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: floor\r\n\r\n";
const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// The generator alone.
#[derive(Clone, Debug)]
pub struct Floor {
    /// Service times.
    pub service: Recorder,
    /// Good answers a second.
    pub rps: f64,
    /// CPU time of the load thread for a request. None: not known.
    pub cpu_ns: Option<f64>,
}

/// Measures the floor of so many connections for this long.
pub fn floor(connections: usize, time: Duration) -> Result<Floor, LoadError> {
    let server = NullServer::start().map_err(LoadError::system("start a null server"))?;
    let target = Target {
        addr: server.addr.into(),
        pids: Vec::new(),
    };
    let requests = vec![Request::new("floor", REQUEST)];
    let plan = Plan::closed(requests, connections, Stop::Duration(time), TIMEOUT);
    let result = run(&target, &plan, &mut ())?;
    let ok = result.outcomes.of(Outcome::Ok).max(1) as f64;
    Ok(Floor {
        rps: ok * 1e9 / result.duration_ns.max(1) as f64,
        cpu_ns: result.generator.cpu_ns.map(|cpu_ns| cpu_ns as f64 / ok),
        service: result.histogram,
    })
}

/// Answers every request with the same bytes, until it is dropped.
pub(crate) struct NullServer {
    pub(crate) addr: SocketAddr,
    stop: Waker,
    thread: Option<JoinHandle<()>>,
}

impl NullServer {
    pub(crate) fn start() -> io::Result<Self> {
        let poll = Poll::new()?;
        let stop = Waker::new(poll.registry(), STOP)?;
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let addr = listener.local_addr()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let thread = thread::Builder::new()
            .name("fastr-null-server".to_owned())
            // What fails here ends the connections, which the run then counts.
            .spawn(move || drop(serve(poll, &listener)))?;
        Ok(Self {
            addr,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for NullServer {
    fn drop(&mut self) {
        let woken = self.stop.wake();
        if let (Ok(()), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn serve(mut poll: Poll, listener: &TcpListener) -> io::Result<()> {
    let mut events = Events::with_capacity(256);
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            match event.token() {
                STOP => return Ok(()),
                LISTENER => {
                    while let Ok((mut stream, _)) = listener.accept() {
                        stream.set_nodelay(true)?;
                        let token = Token(streams.len());
                        poll.registry()
                            .register(&mut stream, token, Interest::READABLE)?;
                        streams.push(stream);
                    }
                }
                Token(index) => {
                    // A request is far smaller than a segment, and the next one waits for the answer.
                    if matches!(streams[index].read(&mut buffer), Ok(read) if read > 0) {
                        streams[index].write_all(ANSWER)?;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_measured_on_every_number_of_connections_and_leaves_no_thread() {
        for connections in [1, 20, 300] {
            let floor = floor(connections, Duration::from_millis(20)).unwrap();
            assert!(floor.rps > 0.0 && floor.service.quantile_ns(0.5) > 0);
            assert_ne!(floor.cpu_ns, Some(0.0));
        }
    }
}
