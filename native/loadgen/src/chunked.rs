//! The chunked transfer coding: tells body bytes from framing, byte by byte if it has to.
//!
//! Part of [`crate::response`]. It keeps nothing of what it reads but a few numbers.

use crate::response::ProtocolFault;

/// More digits than any length that fits 64 bits has.
const MOST_SIZE_DIGITS: u8 = 16;

/// Where in a chunked body the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataEnd,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
    Done,
}

/// The decoder of one chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunked {
    place: Place,
}

impl Chunked {
    pub(crate) const fn new() -> Self {
        Self {
            place: Place::Size { digits: 0, size: 0 },
        }
    }

    /// Whether the last chunk and its trailers have been read.
    pub(crate) fn is_done(self) -> bool {
        self.place == Place::Done
    }

    /// Reads bytes up to the end of the body and returns how many those were.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        mut body: impl FnMut(&[u8]),
    ) -> Result<usize, ProtocolFault> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            if let Place::Data { left } = self.place {
                let here = &bytes[at..];
                let take = usize::try_from(left).map_or(here.len(), |left| left.min(here.len()));
                body(&here[..take]);
                at += take;
                self.place = match left - take as u64 {
                    0 => Place::DataEnd,
                    left => Place::Data { left },
                };
            } else {
                self.place = self.place.after(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }
}

impl Place {
    /// The place after one byte of framing.
    fn after(self, byte: u8) -> Result<Self, ProtocolFault> {
        Ok(match (self, byte) {
            (Self::Size { digits: 1.., size }, b'\r') => Self::SizeEnd { size },
            (Self::Size { digits: 1.., size }, b';' | b' ' | b'\t') => Self::Extension { size },
            (Self::Size { digits, size }, digit) => Self::Size {
                digits: digits + 1,
                size: (size << 4) | hex(digit, digits)?,
            },
            (Self::Extension { size }, b'\r') => Self::SizeEnd { size },
            (Self::Extension { .. }, b'\n') => return Err(ProtocolFault::ChunkSize),
            (Self::Extension { size }, _) => Self::Extension { size },
            (Self::SizeEnd { size: 0 }, b'\n') => Self::TrailerStart,
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::DataEnd, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size { digits: 0, size: 0 },
            (Self::TrailerStart, b'\r') => Self::LastLf,
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::TrailerStart | Self::Trailer, b'\n') => return Err(ProtocolFault::ChunkEnd),
            (Self::TrailerStart | Self::Trailer, _) => Self::Trailer,
            (Self::TrailerLf, b'\n') => Self::TrailerStart,
            (Self::LastLf, b'\n') => Self::Done,
            (Self::SizeEnd { .. }, _) => return Err(ProtocolFault::ChunkSize),
            _ => return Err(ProtocolFault::ChunkEnd),
        })
    }
}

fn hex(digit: u8, digits: u8) -> Result<u64, ProtocolFault> {
    match (digit as char).to_digit(16) {
        Some(value) if digits < MOST_SIZE_DIGITS => Ok(u64::from(value)),
        _ => Err(ProtocolFault::ChunkSize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<(Vec<u8>, usize, bool), ProtocolFault> {
        let mut chunked = Chunked::new();
        let mut body = Vec::new();
        let used = chunked.read(bytes, |part| body.extend_from_slice(part))?;
        Ok((body, used, chunked.is_done()))
    }

    #[test]
    fn chunks_extensions_and_trailers_are_told_from_the_body() {
        let wire = b"3;name=\"x\"\r\nabc\r\nA \r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nrest";
        let (body, used, done) = decode(wire).unwrap();
        assert_eq!(body, b"abc0123456789");
        assert_eq!(used, wire.len() - 4);
        assert!(done);
    }

    #[test]
    fn broken_framing_is_named() {
        for (wire, fault) in [
            (&b"\r\n"[..], ProtocolFault::ChunkSize),
            (b"xyz\r\n", ProtocolFault::ChunkSize),
            (b"3\n", ProtocolFault::ChunkSize),
            (b"3;a\nabc", ProtocolFault::ChunkSize),
            (b"11112222333344445\r\n", ProtocolFault::ChunkSize),
            (b"3\r\nabcd\r\n", ProtocolFault::ChunkEnd),
            (b"0\r\n\n", ProtocolFault::ChunkEnd),
            (b"0\r\n\rX", ProtocolFault::ChunkEnd),
        ] {
            assert_eq!(decode(wire), Err(fault), "{wire:?}");
        }
    }

    #[test]
    fn the_largest_size_is_only_a_number() {
        let (body, _, done) = decode(b"ffffffffffffffff\r\nabc").unwrap();
        assert_eq!(body, b"abc");
        assert!(!done);
    }
}
