//! The kinds of sockets that the send loop can use: TCP and Unix sockets; TLS joins behind the same trait.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};

/// Opens connections to one target.
pub(crate) trait Transport {
    /// A non-blocking connection.
    type Stream: Read + Write + Source;

    /// Begins to connect.
    fn connect(&self) -> io::Result<Self::Stream>;

    /// After the stream has become writable: whether it is connected. `false`: not yet.
    fn is_connected(&self, stream: &Self::Stream) -> io::Result<bool>;
}

/// Plain TCP, without Nagle's delay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp {
    pub(crate) addr: SocketAddr,
}

impl Transport for Tcp {
    type Stream = TcpStream;

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.addr)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn is_connected(&self, stream: &TcpStream) -> io::Result<bool> {
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A stream socket of the file system.
#[derive(Clone, Debug)]
pub(crate) struct Unix {
    pub(crate) path: PathBuf,
}

impl Transport for Unix {
    type Stream = UnixStream;

    fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.path)
    }

    fn is_connected(&self, stream: &UnixStream) -> io::Result<bool> {
        match stream.take_error()? {
            Some(error) => Err(error),
            // Connecting to a Unix socket never is half done.
            None => Ok(true),
        }
    }
}
