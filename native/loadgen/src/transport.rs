//! The kinds of sockets that the send loop can use: TCP today, Unix sockets and TLS behind the same trait.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::event::Source;
use mio::net::TcpStream;

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
