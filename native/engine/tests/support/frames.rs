//! A websocket client of raw frames.

use super::{Client, Response};

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;
/// Set in the first byte of a message's last frame.
pub(crate) const FIN: u8 = 0x80;

pub(crate) const HANDSHAKE: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A frame as a client sends it: `first` is the first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

pub(crate) fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend(reason.as_bytes());
    frame(FIN | CLOSE, &payload)
}

impl Client {
    /// Opens a websocket.
    pub(crate) fn open(&mut self) -> Response {
        self.send(HANDSHAKE);
        let response = self.head();
        assert_eq!(response.status, 101);
        response
    }

    pub(crate) fn send_frame(&mut self, opcode: u8, payload: &[u8]) {
        self.send(frame(FIN | opcode, payload));
    }

    /// The next frame: its first byte and its payload.
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.take(2);
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.take(2).try_into().unwrap())),
            127 => u64::from_be_bytes(self.take(8).try_into().unwrap()),
            length => u64::from(length),
        };
        (head[0], self.take(length as usize))
    }

    /// The next frame must be a close frame; then its code and reason, and the connection's end.
    pub(crate) fn closed_with(&mut self) -> (u16, String) {
        let (first, payload) = self.frame();
        assert_eq!(first, FIN | CLOSE, "{payload:?}");
        let (code, reason) = payload.split_at(2);
        (
            u16::from_be_bytes(code.try_into().unwrap()),
            String::from_utf8(reason.to_vec()).unwrap(),
        )
    }
}
