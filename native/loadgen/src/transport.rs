//! The kinds of sockets that the send loop can use: TCP, Unix sockets, and TLS over TCP.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::plan::Address;
use crate::tls::{tls_error, TlsStream};

/// A non-blocking connection.
///
/// A read that does not fill the buffer has emptied the socket, whatever the kind: edge-triggered events rely on it.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Begins to connect.
    pub(crate) fn connect(address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Tcp(addr) => Self::Tcp(connect_tcp(*addr)?),
            Address::Unix(path) => Self::Unix(UnixStream::connect(path)?),
            Address::Tls(addr, tls) => {
                let stream = connect_tcp(*addr)?;
                Self::Tls(Box::new(TlsStream::new(stream, tls)?))
            }
        })
    }

    /// After an event: whether it is connected, and requests can be written. `false`: not yet.
    pub(crate) fn is_connected(&mut self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => is_tcp_connected(stream),
            // Connecting to a Unix socket never is half done.
            Self::Unix(stream) => match stream.take_error()? {
                Some(error) => Err(error),
                None => Ok(true),
            },
            Self::Tls(stream) => match is_tcp_connected(stream.tcp()) {
                Ok(false) => Ok(false),
                Ok(true) => stream.shake_hands(),
                // Only what is connected can be reset.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    Err(tls_error(error))
                }
                Err(error) => Err(error),
            },
        }
    }

    /// Whether a read that did not fill its buffer is followed by something that no event announces.
    pub(crate) fn has_next(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(stream) => stream.has_next(),
        }
    }

    /// Whether nothing that was written waits for the socket to take it.
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => true,
            Self::Tls(stream) => stream.is_flushed(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Source for Stream {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.source().register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.source().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}

impl Stream {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
            Self::Tls(stream) => stream.tcp_mut(),
        }
    }
}

/// Without Nagle's delay.
fn connect_tcp(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn is_tcp_connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
