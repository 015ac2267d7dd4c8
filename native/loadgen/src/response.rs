//! Reads one HTTP/1.1 response from bytes that come in any pieces.
//!
//! The usual response, whose head arrives whole, is parsed where it lies in the shared read buffer: nothing is
//! copied. Only a head that arrives in pieces is collected, up to [`HEAD_LIMIT`]. Bodies pass through to a
//! [`Sink`] and are counted, never kept. The chunked coding is in [`crate::chunked`].

use std::mem::MaybeUninit;

use crate::chunked::Chunked;

/// The longest head that is read.
pub(crate) const HEAD_LIMIT: usize = 64 * 1024;
/// Longer heads are not compared with the last one.
const LAST_HEAD_LIMIT: usize = 2048;
/// More header lines than any server sends that is not broken.
const MOST_HEADERS: usize = 256;

/// Why bytes are not an answer to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolFault {
    /// The head is no HTTP/1 response head.
    #[error("this is no HTTP/1 response: {0}")]
    Head(#[from] httparse::Error),
    /// The head does not end.
    #[error("the response head is longer than 64 KiB")]
    HeadTooLong,
    /// A status below 100, or a change of protocol that nobody asked for.
    #[error("the status {0} is no answer to a plain request")]
    Status(u16),
    /// A length that is not a number, or two that differ.
    #[error("the content-length is not one number")]
    ContentLength,
    /// A chunk without a proper size.
    #[error("a chunk has no proper size line")]
    ChunkSize,
    /// A chunk or the trailers do not end where they must.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// More bytes than the answer has.
    #[error("more bytes follow the end of the response")]
    Surplus,
}

impl ProtocolFault {
    /// The name in results. It never changes.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Head(_) => "bad_head",
            Self::HeadTooLong => "head_too_long",
            Self::Status(_) => "bad_status",
            Self::ContentLength => "bad_content_length",
            Self::ChunkSize => "bad_chunk_size",
            Self::ChunkEnd => "bad_chunk_end",
            Self::Surplus => "surplus_bytes",
        }
    }
}

/// Who wants to see what a response consists of.
pub(crate) trait Sink {
    /// Whether it wants to see heads. Where it does not, one that is the same to the byte as the last is not parsed again.
    fn wants_heads(&self) -> bool {
        false
    }
    /// The head of the final (not 1xx) response.
    fn head(&mut self, _status: u16, _headers: &[httparse::Header<'_>]) {}
    /// A piece of the decoded body.
    fn body(&mut self, _bytes: &[u8]) {}
}

/// A whole response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Length of the decoded body.
    pub(crate) body_bytes: u64,
    /// The server is going to close the connection, or has to.
    pub(crate) closes: bool,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// What a parsed head says.
#[derive(Clone, Copy, Debug)]
struct Head {
    len: usize,
    status: u16,
    framing: Framing,
    closes: bool,
}

/// The last head of a connection. Most servers send the same one again until the second of its date is over.
#[derive(Debug, Default)]
struct LastHead {
    bytes: Vec<u8>,
    to_head: bool,
    head: Option<Head>,
}

/// Reads the response to one request after another on a connection.
#[derive(Debug)]
pub(crate) struct ResponseReader {
    to_head: bool,
    /// A part of a head, when it came in pieces.
    pending: Vec<u8>,
    /// The length of `pending` at which it is parsed again, so that a head in tiny pieces costs no square of its length.
    parse_at: usize,
    framing: Option<Framing>,
    answer: Answer,
    started: bool,
    last: LastHead,
}

impl ResponseReader {
    pub(crate) fn new() -> Self {
        Self {
            to_head: false,
            pending: Vec::new(),
            parse_at: 0,
            framing: None,
            answer: Answer {
                status: 0,
                body_bytes: 0,
                closes: false,
            },
            started: false,
            last: LastHead::default(),
        }
    }

    /// A request has been sent whose response comes next.
    pub(crate) fn begin(&mut self, to_head: bool) {
        self.to_head = to_head;
        self.pending.clear();
        self.parse_at = 0;
        self.framing = None;
        self.answer.body_bytes = 0;
        self.started = false;
    }

    /// Whether any byte of the response has come.
    pub(crate) fn has_started(&self) -> bool {
        self.started
    }

    /// Reads the next bytes; the answer when they complete it.
    pub(crate) fn read<S: Sink>(
        &mut self,
        bytes: &[u8],
        sink: &mut S,
    ) -> Result<Option<Answer>, ProtocolFault> {
        self.started |= !bytes.is_empty();
        let mut rest = bytes;
        loop {
            if self.framing.is_none() {
                match self.read_head(rest, sink)? {
                    Some(len) => rest = &rest[len..],
                    None => return Ok(None),
                }
            }
            // None again after an interim response: the next head follows.
            if let Some(framing) = &mut self.framing {
                let answer = &mut self.answer;
                let used = framing.read(rest, |part| {
                    answer.body_bytes += part.len() as u64;
                    sink.body(part);
                })?;
                return match (framing.is_done(), used == rest.len()) {
                    (true, true) => Ok(Some(self.answer)),
                    (true, false) => Err(ProtocolFault::Surplus),
                    (false, _) => Ok(None),
                };
            }
        }
    }

    /// The server has closed the connection; the answer when that ends it properly.
    pub(crate) fn end<S: Sink>(&mut self, sink: &mut S) -> Result<Option<Answer>, ProtocolFault> {
        match self.framing {
            Some(Framing::UntilClose) => Ok(Some(self.answer)),
            Some(_) => Ok(None),
            None if self.pending.is_empty() => Ok(None),
            None => parse_head(&self.pending, self.to_head, sink).map(|_| None),
        }
    }

    /// Reads a head, and returns how many of the bytes belonged to it. None: it is not whole yet.
    fn read_head<S: Sink>(
        &mut self,
        bytes: &[u8],
        sink: &mut S,
    ) -> Result<Option<usize>, ProtocolFault> {
        if self.pending.is_empty() {
            if let Some(head) = self.last.of(bytes, self.to_head, sink) {
                return Ok(Some(self.enter(head, 0)));
            }
            if let Some(head) = parse_head(bytes, self.to_head, sink)? {
                self.last.keep(bytes, self.to_head, head);
                return Ok(Some(self.enter(head, 0)));
            }
            if bytes.is_empty() {
                return Ok(None);
            }
        }
        let before = self.pending.len();
        let room = (HEAD_LIMIT + 1).saturating_sub(before);
        let taken = &bytes[..bytes.len().min(room)];
        self.pending.extend_from_slice(taken);
        if self.pending.len() >= self.parse_at || has_blank_line(&self.pending, before) {
            self.parse_at = self.pending.len() * 2;
            if let Some(head) = parse_head(&self.pending, self.to_head, sink)? {
                self.pending.clear();
                self.parse_at = 0;
                return Ok(Some(self.enter(head, before)));
            }
        }
        match self.pending.len() > HEAD_LIMIT {
            true => Err(ProtocolFault::HeadTooLong),
            false => Ok(None),
        }
    }

    /// Goes on to the body, or to the next head after an interim response. `before` bytes of the head came earlier.
    fn enter(&mut self, head: Head, before: usize) -> usize {
        if head.status >= 200 {
            self.answer.status = head.status;
            self.answer.closes = head.closes;
            self.framing = Some(head.framing);
        }
        head.len - before
    }
}

impl LastHead {
    /// What it said, where the bytes begin with the same head.
    fn of<S: Sink>(&self, bytes: &[u8], to_head: bool, sink: &S) -> Option<Head> {
        let head = self.head.filter(|_| self.to_head == to_head)?;
        (bytes.starts_with(&self.bytes) && !sink.wants_heads()).then_some(head)
    }

    fn keep(&mut self, bytes: &[u8], to_head: bool, head: Head) {
        self.head = (head.len <= LAST_HEAD_LIMIT).then_some(head);
        self.to_head = to_head;
        if self.head.is_some() {
            self.bytes.clear();
            self.bytes.extend_from_slice(&bytes[..head.len]);
        }
    }
}

impl Framing {
    fn read(&mut self, bytes: &[u8], mut body: impl FnMut(&[u8])) -> Result<usize, ProtocolFault> {
        match self {
            Self::Length(left) => {
                let take = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                body(&bytes[..take]);
                *left -= take as u64;
                Ok(take)
            }
            Self::Chunked(chunked) => chunked.read(bytes, body),
            Self::UntilClose => {
                body(bytes);
                Ok(bytes.len())
            }
        }
    }

    fn is_done(self) -> bool {
        match self {
            Self::Length(left) => left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::UntilClose => false,
        }
    }
}

/// Whether a head may end in the bytes from `from` on. Lines may end in LF alone.
fn has_blank_line(bytes: &[u8], from: usize) -> bool {
    let tail = &bytes[from.saturating_sub(3)..];
    tail.windows(2).any(|pair| pair == b"\n\n") || tail.windows(3).any(|three| three == b"\n\r\n")
}

fn parse_head<S: Sink>(
    bytes: &[u8],
    to_head: bool,
    sink: &mut S,
) -> Result<Option<Head>, ProtocolFault> {
    // httparse skips empty lines before a head; a server has no business to send them, and endless ones would never fail.
    if matches!(bytes.first(), Some(&first) if first != b'H') {
        return Err(httparse::Error::Version.into());
    }
    let mut lines = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut lines,
    )?;
    let httparse::Status::Complete(len) = parsed else {
        return Ok(None);
    };
    if len > HEAD_LIMIT {
        return Err(ProtocolFault::HeadTooLong);
    }
    let status = response.code.unwrap_or_default();
    if status < 100 || status == 101 {
        return Err(ProtocolFault::Status(status));
    }
    let said = Said::by(response.headers)?;
    let framing = match said {
        _ if to_head || status < 200 || status == 204 || status == 304 => Framing::Length(0),
        Said { chunked: true, .. } => Framing::Chunked(Chunked::new()),
        Said { coded: true, .. } => Framing::UntilClose,
        Said { length, .. } => length.map_or(Framing::UntilClose, Framing::Length),
    };
    if status >= 200 {
        sink.head(status, response.headers);
    }
    let old = response.version == Some(0);
    Ok(Some(Head {
        len,
        status,
        closes: said.close || (old && !said.keep_alive) || framing == Framing::UntilClose,
        framing,
    }))
}

/// What the headers say about the framing.
#[derive(Clone, Copy, Default)]
struct Said {
    length: Option<u64>,
    /// The last transfer coding is chunked.
    chunked: bool,
    /// There is a transfer coding; it outranks a length.
    coded: bool,
    close: bool,
    keep_alive: bool,
}

impl Said {
    fn by(headers: &[httparse::Header<'_>]) -> Result<Self, ProtocolFault> {
        let mut said = Self::default();
        for header in headers {
            // Lengths first: most headers are passed over by one comparison of numbers.
            match header.name.len() {
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    said.close |= has_token(header.value, b"close");
                    said.keep_alive |= has_token(header.value, b"keep-alive");
                }
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let length = parse_length(header.value)?;
                    if said.length.is_some_and(|earlier| earlier != length) {
                        return Err(ProtocolFault::ContentLength);
                    }
                    said.length = Some(length);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    let last = header.value.rsplit(|&byte| byte == b',').next();
                    said.chunked = last.is_some_and(|last| is_token(last, b"chunked"));
                    said.coded = true;
                }
                _ => {}
            }
        }
        Ok(said)
    }
}

fn is_token(value: &[u8], token: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(token)
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value
        .split(|&byte| byte == b',')
        .any(|part| is_token(part, token))
}

fn parse_length(value: &[u8]) -> Result<u64, ProtocolFault> {
    let digits = value.trim_ascii();
    if digits.is_empty() {
        return Err(ProtocolFault::ContentLength);
    }
    digits.iter().try_fold(0_u64, |length, &digit| {
        let digit = match digit {
            b'0'..=b'9' => u64::from(digit - b'0'),
            _ => return Err(ProtocolFault::ContentLength),
        };
        length
            .checked_mul(10)
            .and_then(|length| length.checked_add(digit))
            .ok_or(ProtocolFault::ContentLength)
    })
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
