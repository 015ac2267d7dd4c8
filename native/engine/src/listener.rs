//! A bound TCP socket that does not accept yet, so that a taken port is known before the application starts.

use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use crate::EngineError;

const BACKLOG: i32 = 2048;

/// A bound socket. Connections are refused until [`crate::Server::start`] takes it.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: SocketAddr,
}

impl Listener {
    /// Binds the first address of `host` that can be bound. Port 0 takes a free one, see [`Listener::address`].
    pub fn bind(host: &str, port: u16) -> Result<Self, EngineError> {
        let resolve = |source| EngineError::Resolve {
            host: host.to_owned(),
            source,
        };
        let mut failure =
            std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
        for address in (host, port).to_socket_addrs().map_err(resolve)? {
            match bind_one(address) {
                Ok(socket) => {
                    let address = socket
                        .local_addr()
                        .ok()
                        .and_then(|local| local.as_socket())
                        .unwrap_or(address);
                    return Ok(Self { socket, address });
                }
                Err(error) => failure = error,
            }
        }
        Err(EngineError::Bind {
            address: format!("{host}:{port}"),
            source: failure,
        })
    }

    /// The real address, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to take connections.
    pub(crate) fn listen(self) -> Result<StdListener, EngineError> {
        let bind = |source| EngineError::Bind {
            address: self.address.to_string(),
            source,
        };
        self.socket.listen(BACKLOG).map_err(bind)?;
        self.socket.set_nonblocking(true).map_err(bind)?;
        Ok(self.socket.into())
    }
}

fn bind_one(address: SocketAddr) -> std::io::Result<Socket> {
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
