//! Servers whose every byte is scripted: a thread for each connection, all joined when the server is dropped.

#![allow(dead_code)] // every test file uses a part of it
#![allow(clippy::unwrap_used)] // only tests call this; clippy knows tests by their attribute alone

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastr_loadgen::{Expect, Pacing, Plan, Request, Stop, Target};

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server on a free port of the loopback interface.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    stopping: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    acceptor: Option<JoinHandle<()>>,
}

/// One accepted connection, as a script sees it.
pub(crate) struct Peer {
    stream: TcpStream,
    /// How many connections were accepted before.
    pub(crate) number: u64,
    read: Vec<u8>,
    requests: Arc<AtomicU64>,
}

impl Server {
    /// Runs the script on each connection; its errors only end the connection.
    pub(crate) fn start(
        script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(AtomicU64::new(0));
        let connections = Arc::new(AtomicU64::new(0));
        let script = Arc::new(script);
        let (stop, count, accepted) = (stopping.clone(), requests.clone(), connections.clone());
        let acceptor = thread::spawn(move || {
            let mut threads = Vec::new();
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                let mut peer = Peer {
                    stream: stream.unwrap(),
                    number,
                    read: Vec::new(),
                    requests: count.clone(),
                };
                let script = script.clone();
                threads.push(thread::spawn(move || {
                    let _ = script(&mut peer);
                }));
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
        Self {
            addr,
            stopping,
            requests,
            connections,
            acceptor: Some(acceptor),
        }
    }

    /// Answers every request with the same bytes on connections that stay open.
    pub(crate) fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |peer| {
            while peer.request()? {
                peer.send(answer)?;
            }
            Ok(())
        })
    }

    pub(crate) fn target(&self) -> Target {
        Target {
            addr: self.addr.into(),
            pids: Vec::new(),
        }
    }

    /// Whole request heads read so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.addr);
        let joined = self.acceptor.take().unwrap().join();
        if !thread::panicking() {
            joined.unwrap();
        }
    }
}

impl Peer {
    /// Reads a request head; false at the end of the stream.
    pub(crate) fn request(&mut self) -> io::Result<bool> {
        loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                self.read.drain(..at + 4);
                self.requests.fetch_add(1, Ordering::SeqCst);
                return Ok(true);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer)? {
                0 => return Ok(false),
                read => self.read.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// Reads this many bytes of a request body.
    pub(crate) fn body(&mut self, length: usize) -> io::Result<()> {
        let rest = length.saturating_sub(self.read.len());
        self.read.drain(..length.min(self.read.len()));
        io::copy(&mut (&self.stream).take(rest as u64), &mut io::sink()).map(drop)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends every byte in a packet of its own.
    pub(crate) fn trickle(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        bytes.iter().try_for_each(|&byte| self.send(&[byte]))
    }

    /// Reads until the client closes, answering nothing.
    pub(crate) fn wait_for_close(&mut self) -> io::Result<()> {
        io::copy(&mut self.stream, &mut io::sink()).map(drop)
    }

    /// Makes the close that follows a reset.
    pub(crate) fn reset_on_close(&mut self) {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the option is a linger struct of the size that is given, on an open socket.
        let error = unsafe {
            libc::setsockopt(
                self.stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                std::mem::size_of::<libc::linger>() as libc::socklen_t,
            )
        };
        assert_eq!(error, 0);
    }
}

/// An address at which nothing listens.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

pub(crate) fn get(path: &str) -> Request {
    Request {
        name: path.to_owned(),
        bytes: format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes(),
        head: false,
        expect: Expect::Status(200),
    }
}

pub(crate) fn plan(connections: usize, requests: u64) -> Plan {
    Plan {
        requests: vec![get("/")],
        pacing: Pacing::closed(),
        connections,
        keep_alive: true,
        stop: Stop::Requests(requests),
        abort: None,
        request_timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(30),
        drain: Duration::from_secs(30),
        seed: 1,
    }
}
