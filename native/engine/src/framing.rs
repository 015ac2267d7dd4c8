//! Refuses what HTTP leaves a server free to accept, and what another server in front of it may read differently: a
//! line of a head that ends in LF alone (RFC 9112, 2.2), `Content-Length` beside `Transfer-Encoding` (6.1), and
//! `Content-Length` twice (6.3).
//!
//! hyper accepts all three, and tells nobody. So bytes are looked at on their way to it, and the one that makes a head
//! offensive becomes NUL, which hyper answers with 400 wherever it stands.

use memchr::memchr;

/// Of each line this much is looked at; a `Content-Length` that takes more is refused.
const LOOKED_AT: usize = 64;

/// Follows the requests of one connection through its bytes.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    /// The current line, as far as it came with earlier reads.
    line: Vec<u8>,
    /// Whether those ended in CR.
    ended_in_cr: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head(Head),
    /// So many bytes are still to come.
    Body(u64),
    /// The line before a chunk: its size so far, and whether all digits are there.
    ChunkSize(u64, bool),
    /// So many bytes are still to come, the end of the line included.
    Chunk(u64),
    Trailers,
    /// Nothing is looked at any more: hyper will end the connection, or another protocol may follow.
    Over,
}

/// What the fields of a head have said so far.
#[derive(Debug, Default, Clone, Copy)]
struct Head {
    begun: bool,
    length: Option<u64>,
    is_chunked: bool,
    asks_for_upgrade: bool,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

impl Framing {
    /// Looks at the next bytes from the client, and changes the one that is not acceptable.
    pub(crate) fn look(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Head(_) | State::Trailers => self.line(bytes),
                State::Body(left) | State::Chunk(left) => {
                    let taken = usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
                    *left -= taken as u64;
                    taken
                }
                State::ChunkSize(size, whole) => {
                    let (taken, state) = chunk_size(bytes, *size, *whole);
                    self.state = state;
                    taken
                }
                State::Over => return,
            };
            match self.state {
                State::Body(0) => self.state = State::default(),
                State::Chunk(0) => self.state = State::ChunkSize(0, false),
                _ => {}
            }
            bytes = &mut bytes[taken..];
        }
    }

    /// Takes a line of a head or of trailers, or what there is of it. Returns how many bytes that was.
    fn line(&mut self, bytes: &mut [u8]) -> usize {
        let end = memchr(b'\n', bytes);
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        let is_whole = end.is_some() && self.line.is_empty();
        if !is_whole {
            let room = LOOKED_AT - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            self.ended_in_cr = piece.last().map_or(self.ended_in_cr, |last| *last == b'\r');
        }
        let Some(end) = end else { return bytes.len() };
        let (line, ends_in_cr) = if is_whole {
            (piece, piece.last() == Some(&b'\r'))
        } else {
            (&*self.line, self.ended_in_cr)
        };
        let after = match self.state {
            _ if !ends_in_cr => None,
            State::Head(head) => head.after(line),
            State::Trailers if line == b"\r" => Some(State::default()),
            other => Some(other),
        };
        if after.is_none() {
            bytes[end] = 0;
        }
        self.line.clear();
        self.state = after.unwrap_or(State::Over);
        end + 1
    }
}

impl Head {
    /// The state after a line, which is given without its LF; none: it is not acceptable.
    fn after(mut self, line: &[u8]) -> Option<State> {
        if line == b"\r" {
            // Empty lines may come before a request (RFC 9112, 2.2).
            return Some(if self.begun {
                self.end()
            } else {
                State::Head(self)
            });
        }
        if self.begun {
            self.field(line)?;
        }
        self.begun = true;
        Some(State::Head(self))
    }

    fn field(&mut self, line: &[u8]) -> Option<()> {
        if !matches!(line[0] | 0x20, b'c' | b't' | b'u') {
            return Some(());
        }
        let name = &line[..memchr(b':', line).unwrap_or(line.len())];
        if name.eq_ignore_ascii_case(b"content-length") {
            if line.len() >= LOOKED_AT || self.length.is_some() || self.is_chunked {
                return None;
            }
            // hyper refuses what is not a number.
            let value = line.get(name.len() + 1..).unwrap_or_default();
            let digits = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
            self.length = Some(digits.parse().unwrap_or(0));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.length.is_some() {
                return None;
            }
            self.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.asks_for_upgrade = true;
        }
        Some(())
    }

    /// What follows the head.
    fn end(self) -> State {
        if self.asks_for_upgrade {
            State::Over
        } else if self.is_chunked {
            // Every coding but this one ends the connection.
            State::ChunkSize(0, false)
        } else {
            State::Body(self.length.unwrap_or(0))
        }
    }
}

fn chunk_size(bytes: &[u8], mut size: u64, mut whole: bool) -> (usize, State) {
    for (at, byte) in bytes.iter().enumerate() {
        let digit = char::from(*byte).to_digit(16).filter(|_| !whole);
        match (*byte, digit) {
            (b'\n', _) if size == 0 => return (at + 1, State::Trailers),
            (b'\n', _) => return (at + 1, State::Chunk(size.saturating_add(2))),
            (_, Some(digit)) => match size.checked_mul(16) {
                Some(shifted) => size = shifted + u64::from(digit),
                // hyper refuses it.
                None => return (bytes.len(), State::Over),
            },
            (_, None) => whole = true,
        }
    }
    (bytes.len(), State::ChunkSize(size, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What hyper is given of a stream that comes in pieces of so many bytes.
    fn through(stream: &[u8], piece: usize) -> Vec<u8> {
        let mut framing = Framing::default();
        let mut bytes = stream.to_vec();
        bytes
            .chunks_mut(piece)
            .for_each(|piece| framing.look(piece));
        bytes
    }

    fn assert_passes(stream: &[u8]) {
        for piece in 1..=stream.len() {
            assert_eq!(through(stream, piece), stream, "in pieces of {piece}");
        }
    }

    /// The part of a stream before the byte that is refused, however it is cut.
    fn passed(stream: &[u8]) -> &[u8] {
        let mut places: Vec<_> = (1..=stream.len())
            .map(|piece| {
                let given = through(stream, piece);
                let place = given.iter().zip(stream).position(|(a, b)| a != b);
                let place = place.expect("something is refused");
                assert_eq!(given[place], 0);
                assert_eq!(given[place + 1..], stream[place + 1..]);
                place
            })
            .collect();
        places.dedup();
        assert_eq!(places.len(), 1, "{stream:?} is refused at {places:?}");
        &stream[..places[0]]
    }

    #[test]
    fn bodies_and_chunks_may_look_like_heads() {
        assert_passes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let body = b"a\nContent-Length: 3\r\nTransfer-Encoding: chunked\n\n";
        let mut stream = format!(
            "POST / HTTP/1.1\r\ncontent-LENGTH:\t{} \r\n\r\n",
            body.len()
        )
        .into_bytes();
        stream.extend_from_slice(body);
        stream.extend_from_slice(b"PUT / HTTP/1.1\r\nTransfer-encoding: Chunked\r\n\r\n");
        stream.extend_from_slice(format!("{:x} ;e=3\r\n", body.len()).as_bytes());
        stream.extend_from_slice(body);
        stream.extend_from_slice(
            b"\r\n0A\r\n0123\n56\n89\r\n000\r\nContent-Length: 3\r\nT: u\r\n\r\n",
        );
        stream.extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_passes(&stream);
        stream.extend_from_slice(b"GET / HTTP/1.1\n\r\n");
        assert!(passed(&stream).ends_with(b"\r\n\r\nGET / HTTP/1.1"));
    }

    #[test]
    fn a_line_that_ends_in_lf_alone_is_refused_where_it_ends() {
        for stream in [
            "GET / HTTP/1.1|\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a|\nX: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n|\n",
            "|\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: u|\n\r\n\r\n",
        ] {
            let (before, after) = stream.split_once('|').expect("marked");
            let stream = format!("{before}{after}");
            assert_eq!(passed(stream.as_bytes()), before.as_bytes());
        }
        let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(3 * LOOKED_AT));
        assert_eq!(passed(format!("{long}\n\r\n").as_bytes()), long.as_bytes());
        assert_passes(format!("{long}\r\n\r\n").as_bytes());
    }

    #[test]
    fn a_second_word_about_the_length_is_refused() {
        let (length, chunked) = ("Content-Length: 1", "TRANSFER-encoding: chunked");
        for (first, second) in [(length, chunked), (chunked, length), (length, length)] {
            let stream = format!("POST / HTTP/1.1\r\n{first}\r\nX: y\r\n{second}\r\n\r\n");
            assert!(passed(stream.as_bytes()).ends_with(format!("{second}\r").as_bytes()));
        }
        let padded = format!(
            "POST / HTTP/1.1\r\nContent-Length:{}1\r",
            " ".repeat(LOOKED_AT)
        );
        assert_eq!(
            passed(format!("{padded}\n\r\nx").as_bytes()),
            padded.as_bytes()
        );
    }

    #[test]
    fn after_an_upgrade_the_bytes_are_not_http() {
        assert_passes(b"GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n\n\nContent-Length: 1\n\n");
    }
}
