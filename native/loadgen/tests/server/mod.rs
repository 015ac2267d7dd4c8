//! Servers whose every byte is scripted: a thread for each connection, all joined when the server is dropped.

#![allow(dead_code)] // every test file uses a part of it
#![allow(clippy::unwrap_used)] // only tests call this; clippy knows tests by their attribute alone

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastr_loadgen::{PairedPlan, Plan, Request, Stop, Target};
use rustls::{ServerConfig, ServerConnection};

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Far longer than anything takes.
const TIMEOUT: Duration = Duration::from_secs(30);

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
    pub(crate) stream: TcpStream,
    /// With it, everything that is sent and read is encrypted.
    pub(crate) session: Option<ServerConnection>,
    /// So many encrypted bytes go through the socket at once.
    pub(crate) most_at_once: usize,
    /// How many connections were accepted before.
    pub(crate) number: u64,
    read: Vec<u8>,
    requests: Arc<AtomicU64>,
}

/// A request as it came, to the byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The request line and the fields, with the empty line.
    pub(crate) head: Vec<u8>,
    /// As many bytes as the content-length says.
    pub(crate) body: Vec<u8>,
}

/// All requests in the order in which they came.
pub(crate) type Log = Arc<Mutex<Vec<Asked>>>;

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
                    session: None,
                    most_at_once: usize::MAX,
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

    /// Runs the script on each connection, encrypted.
    pub(crate) fn start_tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |peer| {
            let session = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            peer.session = Some(session);
            // The words of the session and the answer are several small segments.
            peer.stream.set_nodelay(true)?;
            script(peer)
        })
    }

    /// Answers every request with what the function makes of it, on connections that stay open.
    pub(crate) fn replying(reply: impl Fn(&Asked, u64) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |peer| {
            while let Some(asked) = peer.ask()? {
                let answer = reply(&asked, peer.number);
                peer.send(&answer)?;
            }
            Ok(())
        })
    }

    /// Answers everything well, and keeps what was asked.
    pub(crate) fn listening() -> (Self, Log) {
        let log = Log::default();
        let kept = log.clone();
        let server = Self::replying(move |asked, _| {
            kept.lock().unwrap().push(asked.clone());
            OK.to_vec()
        });
        (server, log)
    }

    /// Gives each connection tokens at /login, each time another one, and takes only its latest one elsewhere.
    pub(crate) fn guarded() -> Self {
        let latest = Mutex::new(BTreeMap::new());
        Self::replying(move |asked, connection| {
            let mut latest = latest.lock().unwrap();
            let (token, times) = latest.entry(connection).or_insert((String::new(), 0));
            if asked.target() == "/login" {
                *times += 1;
                *token = format!("{connection}-{times}");
                return answer("", format!(r#"{{"token":"{token}"}}"#));
            }
            match asked.header("x-token") == Some(token.clone()) {
                true => OK.to_vec(),
                false => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec(),
            }
        })
    }

    /// Answers nothing during a window of time after its first request.
    pub(crate) fn stalling(from: Duration, stall: Duration) -> Self {
        let first = OnceLock::new();
        Self::start(move |peer| {
            while peer.request()? {
                let started = *first.get_or_init(Instant::now);
                let since = started.elapsed();
                if since >= from && since < from + stall {
                    thread::sleep(from + stall - since);
                }
                peer.send(OK)?;
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
        Ok(self.head()?.is_some())
    }

    /// Reads a whole request; None at the end of the stream.
    pub(crate) fn ask(&mut self) -> io::Result<Option<Asked>> {
        let Some(head) = self.head()? else {
            return Ok(None);
        };
        let mut asked = Asked {
            head,
            body: Vec::new(),
        };
        let length = asked.header("content-length");
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            if self.read_more()? == 0 {
                return Ok(None);
            }
        }
        asked.body = self.read.drain(..length).collect();
        Ok(Some(asked))
    }

    fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                self.requests.fetch_add(1, Ordering::SeqCst);
                return Ok(Some(self.read.drain(..at + 4).collect()));
            }
            if self.read_more()? == 0 {
                return Ok(None);
            }
        }
    }

    fn read_more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16_384];
        let read = match &mut self.session {
            None => self.stream.read(&mut buffer)?,
            Some(session) => {
                let mut pieces = Pieces(&mut self.stream, self.most_at_once);
                rustls::Stream::new(session, &mut pieces).read(&mut buffer)?
            }
        };
        self.read.extend_from_slice(&buffer[..read]);
        Ok(read)
    }

    /// Reads this many bytes of a request body.
    pub(crate) fn body(&mut self, length: usize) -> io::Result<()> {
        let mut rest = length;
        loop {
            let here = rest.min(self.read.len());
            self.read.drain(..here);
            rest -= here;
            if rest == 0 || self.read_more()? == 0 {
                return Ok(());
            }
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.session {
            None => self.stream.write_all(bytes),
            Some(session) => {
                let mut pieces = Pieces(&mut self.stream, self.most_at_once);
                let mut stream = rustls::Stream::new(session, &mut pieces);
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Encrypts these bytes, which go nowhere.
    pub(crate) fn seal(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let session = self.session.as_mut().unwrap();
        session.writer().write_all(bytes)?;
        self.sealed()
    }

    /// The words with which a session is closed, encrypted; they go nowhere.
    pub(crate) fn seal_close(&mut self) -> io::Result<Vec<u8>> {
        self.session.as_mut().unwrap().send_close_notify();
        self.sealed()
    }

    fn sealed(&mut self) -> io::Result<Vec<u8>> {
        let session = self.session.as_mut().unwrap();
        let mut sealed = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut sealed)?;
        }
        Ok(sealed)
    }

    /// Closes the session in its own words. The socket stays open.
    pub(crate) fn close_session(&mut self) -> io::Result<()> {
        let sealed = self.seal_close()?;
        self.send_raw(&sealed)
    }

    /// Sends bytes past the session.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
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

/// A socket that takes and gives at most so many bytes at once.
struct Pieces<'s>(&'s mut TcpStream, usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.1);
        self.0.read(&mut buffer[..most])
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(self.1)])
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self.1 {
            // A session that fails writes its last words once, and they may be several parts.
            usize::MAX => self.0.write_vectored(parts),
            _ => parts
                .iter()
                .find(|part| !part.is_empty())
                .map_or(Ok(0), |part| self.write(part)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Asked {
    /// The path and query.
    pub(crate) fn target(&self) -> String {
        let target = self.head.split(|&byte| byte == b' ').nth(1);
        String::from_utf8(target.unwrap().to_vec()).unwrap()
    }

    /// The value of the only field of this name.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(&self.head);
        let mut values = head.lines().filter_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then(|| value.to_owned())
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} comes twice in {head}");
        value
    }
}

/// A whole answer of status 200, with extra header lines.
pub(crate) fn answer(fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// An address at which nothing listens.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

pub(crate) fn get(path: &str) -> Request {
    Request::new(path, format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
}

pub(crate) fn plan(connections: usize, requests: u64) -> Plan {
    let stop = Stop::Requests(requests);
    Plan {
        seed: 1,
        ..Plan::closed(vec![get("/")], connections, stop, TIMEOUT)
    }
}

/// Two servers in turn, on two connections each.
pub(crate) fn paired_plan(requests: [Vec<Request>; 2]) -> PairedPlan {
    PairedPlan {
        requests,
        connections: [2, 2],
        per_side: Duration::from_millis(60),
        min_slice: Duration::from_millis(2),
        max_round: Duration::from_secs(60),
        core_turn: None,
        seed: 1,
        chunks: 2,
        request_timeout: TIMEOUT,
        connect_timeout: TIMEOUT,
    }
}
