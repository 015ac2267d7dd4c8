//! A bound socket that does not accept yet, so that a taken port is known before the application starts.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::stream::{Address, Stream};
use crate::EngineError;

const BACKLOG: i32 = 2048;

/// A bound socket. Connections are refused until [`crate::Server::start`] takes it.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
    /// The Unix socket's file, removed in the end.
    file: Option<SocketFile>,
}

/// A file that goes with its listener.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed it, or put something else there: both are none of ours.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds the first address of `host` that can be bound. Port 0 takes a free one, see [`Listener::address`].
    pub fn bind(host: &str, port: u16) -> Result<Self, EngineError> {
        let resolve = |source| EngineError::Resolve {
            host: host.to_owned(),
            source,
        };
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (host, port).to_socket_addrs().map_err(resolve)? {
            match bind_one(address) {
                Ok(socket) => {
                    let address = socket
                        .local_addr()
                        .ok()
                        .and_then(|local| local.as_socket())
                        .unwrap_or(address);
                    return Ok(Self {
                        socket,
                        address: Address::Tcp(address),
                        file: None,
                    });
                }
                Err(error) => failure = error,
            }
        }
        Err(EngineError::Bind {
            address: format!("{host}:{port}"),
            source: failure,
        })
    }

    /// Binds a Unix socket. One that a server left behind is replaced, and one that is served is not.
    pub fn bind_unix(path: &Path) -> Result<Self, EngineError> {
        let bind = |source| EngineError::Bind {
            address: path.display().to_string(),
            source,
        };
        let socket = bind_file(path).map_err(bind)?;
        Ok(Self {
            socket,
            address: Address::Unix(path.to_string_lossy().into_owned()),
            file: Some(SocketFile(path.to_owned())),
        })
    }

    /// The real address, with the real port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Starts to take connections. To be called inside the runtime.
    pub(crate) fn listen(self) -> Result<Accepting, EngineError> {
        let bind = |source| EngineError::Bind {
            address: self.address.to_string(),
            source,
        };
        self.socket.listen(BACKLOG).map_err(bind)?;
        self.socket.set_nonblocking(true).map_err(bind)?;
        match self.file {
            None => TcpListener::from_std(self.socket.into()).map(Accepting::Tcp),
            Some(file) => UnixListener::from_std(self.socket.into())
                .map(|listener| Accepting::Unix(listener, file)),
        }
        .map_err(EngineError::Runtime)
    }
}

/// A socket that takes connections.
pub(crate) enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener, #[allow(dead_code)] SocketFile), // kept for its drop
}

impl Accepting {
    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener
                .accept()
                .await
                .map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener, _) => listener
                .accept()
                .await
                .map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

fn bind_one(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.port() != 0 {
        // Restarting on the same port right after a stop must work; a free port needs no such permission.
        socket.set_reuse_address(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_file(path: &Path) -> io::Result<Socket> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_behind(path) => {
            std::fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        other => other?,
    }
    Ok(socket)
}

/// Whether a path is a socket that nobody listens on.
fn is_left_behind(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
    is_socket
        && StdUnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
