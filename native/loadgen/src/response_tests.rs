//! What the response reader makes of answers, whole, in pieces and broken.

use super::*;

#[derive(Default)]
struct Kept {
    heads: Vec<u16>,
    body: Vec<u8>,
}

impl Sink for Kept {
    fn wants_heads(&self) -> bool {
        true
    }

    fn head(&mut self, status: u16, _headers: &[httparse::Header<'_>]) {
        self.heads.push(status);
    }

    fn body(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }
}

/// What came of reading: the answer and its body, a fault, or none before the end of the stream.
type Reading = Result<Option<(Answer, Vec<u8>)>, ProtocolFault>;

fn read_pieces<'b>(pieces: impl IntoIterator<Item = &'b [u8]>, to_head: bool) -> Reading {
    let mut reader = ResponseReader::new();
    let mut kept = Kept::default();
    reader.begin(to_head);
    let mut answer = None;
    for piece in pieces {
        match answer {
            Some(_) if !piece.is_empty() => return Err(ProtocolFault::Surplus),
            Some(_) => {}
            None => answer = reader.read(piece, &mut kept)?,
        }
    }
    if answer.is_none() {
        answer = reader.end(&mut kept)?;
    }
    Ok(answer.map(|answer| {
        assert_eq!(kept.heads, [answer.status]);
        assert_eq!(kept.body.len() as u64, answer.body_bytes);
        (answer, kept.body)
    }))
}

fn read(wire: &[u8]) -> Reading {
    read_pieces([wire], false)
}

fn body_of(wire: &[u8]) -> Vec<u8> {
    read(wire).unwrap().unwrap().1
}

/// Answers of every kind; `true`: to a HEAD request.
const ANSWERS: [(&[u8], bool); 12] = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n4\r\nwiki\r\n5;a=b\r\npedia\r\n0\r\nX: y\r\n\r\n", false),
    (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", false),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", false),
    (b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n", false),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", false),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", true),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\n!", false),
    (b"HTTP/1.1 500 Internal Server Error\nContent-Length: 3\nConnection: Close, x\n\nbad", false),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nlonger than three", false),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nsame", false),
];

#[test]
fn an_answer_is_the_same_however_it_is_split_in_two() {
    for (wire, to_head) in ANSWERS {
        let whole = read_pieces([wire], to_head);
        assert!(matches!(whole, Ok(Some(_))), "{whole:?}");
        for at in 0..=wire.len() {
            let (first, second) = wire.split_at(at);
            assert_eq!(
                read_pieces([first, second], to_head),
                whole,
                "split at {at}"
            );
        }
    }
}

#[test]
fn an_answer_is_the_same_byte_by_byte() {
    for (wire, to_head) in ANSWERS {
        let whole = read_pieces([wire], to_head);
        assert_eq!(read_pieces(wire.chunks(1), to_head), whole);
    }
}

#[test]
fn an_answer_that_lacks_its_last_byte_is_not_whole_unless_the_end_of_the_stream_ends_it() {
    for (wire, to_head) in ANSWERS {
        let (answer, _) = read_pieces([wire], to_head).unwrap().unwrap();
        let cut = read_pieces([&wire[..wire.len() - 1]], to_head).unwrap();
        let until_close = answer.closes && answer.status == 200;
        assert_eq!(cut.is_some(), until_close, "{}", wire.escape_ascii());
    }
}

#[test]
fn the_body_is_told_from_its_framing() {
    assert_eq!(body_of(ANSWERS[0].0), b"hello");
    assert_eq!(body_of(ANSWERS[2].0), b"wikipedia");
    assert_eq!(body_of(ANSWERS[3].0), b"until the end");
    assert_eq!(body_of(ANSWERS[8].0), b"!");
    assert_eq!(body_of(ANSWERS[10].0), b"longer than three");
}

/// Reads answers one after another on the same connection, as one that does not look at heads.
struct Blind(Vec<u8>);

impl Sink for Blind {
    fn body(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

#[test]
fn a_head_that_comes_again_means_the_same_and_another_one_something_else() {
    let mut reader = ResponseReader::new();
    let mut read = |wire: &[u8], to_head| {
        reader.begin(to_head);
        let mut blind = Blind(Vec::new());
        let answer = reader.read(wire, &mut blind).unwrap().unwrap();
        (answer.status, answer.closes, blind.0)
    };
    let hello = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = ANSWERS[2].0;
    for _ in 0..3 {
        assert_eq!(read(hello, false), (200, false, b"hello".to_vec()));
        assert_eq!(read(hello, false), (200, false, b"hello".to_vec()));
        let longer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlonger";
        assert_eq!(read(longer, false), (200, false, b"longer".to_vec()));
        assert_eq!(read(chunked, false).2, b"wikipedia");
        assert_eq!(read(chunked, false).2, b"wikipedia");
        let only_head = &hello[..hello.len() - 5];
        assert_eq!(read(only_head, true), (200, false, Vec::new()));
        assert_eq!(read(hello, false), (200, false, b"hello".to_vec()));
    }
}

#[test]
fn whether_the_connection_stays_open_is_read_from_the_head() {
    let closes = |wire| read(wire).unwrap().unwrap().0.closes;
    assert!(!closes(ANSWERS[0].0));
    assert!(closes(ANSWERS[3].0));
    assert!(!closes(ANSWERS[4].0));
    assert!(closes(ANSWERS[9].0));
    assert!(closes(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn what_is_no_answer_is_named() {
    let length = ProtocolFault::ContentLength;
    for (wire, fault) in [
        (
            &b"SSH-2.0-OpenSSH_9.6\r\n"[..],
            httparse::Error::Version.into(),
        ),
        (
            b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            httparse::Error::Version.into(),
        ),
        (b"HTTP/3.0 200 OK\r\n\r\n", httparse::Error::Version.into()),
        (b"HTTP/1.1 abc OK\r\n\r\n", httparse::Error::Status.into()),
        (
            b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
            httparse::Error::HeaderName.into(),
        ),
        (b"HTTP/1.1 099 Odd\r\n\r\n", ProtocolFault::Status(99)),
        (
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            ProtocolFault::Status(101),
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", length),
        (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", length),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            length,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
            length,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok",
            ProtocolFault::Surplus,
        ),
        (
            b"HTTP/1.1 204 No Content\r\n\r\nbody",
            ProtocolFault::Surplus,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            ProtocolFault::ChunkSize,
        ),
    ] {
        assert_eq!(read(wire), Err(fault), "{}", wire.escape_ascii());
        assert_eq!(
            read_pieces(wire.chunks(1), false),
            Err(fault),
            "{}",
            wire.escape_ascii()
        );
    }
}

#[test]
fn a_head_without_an_end_is_given_up_at_its_limit_and_keeps_no_more_than_that() {
    let mut reader = ResponseReader::new();
    reader.begin(false);
    let line = [b"X-Filler: ".as_slice(), &[b'x'; 500], b"\r\n"].concat();
    let mut fed = reader.read(b"HTTP/1.1 200 OK\r\n", &mut Kept::default());
    let mut lines = 0;
    while fed == Ok(None) {
        lines += 1;
        assert!(lines < 1_000);
        fed = reader.read(&line, &mut Kept::default());
    }
    assert!(
        matches!(
            fed,
            Err(ProtocolFault::HeadTooLong | ProtocolFault::Head(_))
        ),
        "{fed:?}"
    );
    assert!(reader.pending.capacity() <= 4 * HEAD_LIMIT);
}

#[test]
fn a_long_head_in_single_bytes_is_read() {
    let mut wire = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n".to_vec();
    for number in 0..50 {
        wire.extend_from_slice(format!("X-{number}: {}\r\n", "y".repeat(1_000)).as_bytes());
    }
    wire.extend_from_slice(b"\r\nok");
    let (answer, body) = read_pieces(wire.chunks(1), false).unwrap().unwrap();
    assert_eq!((answer.status, body.as_slice()), (200, &b"ok"[..]));
}

/// xorshift64: enough to choose bytes and places.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[test]
fn broken_answers_are_judged_the_same_in_any_pieces_and_never_panic() {
    const SPICE: &[u8] = b"\r\n\0 :;,0123456789abcdefHTP/.\xff\x80-";
    let mut dice = Dice(0x1234_5678_9abc_def1);
    for _ in 0..20_000 {
        let (wire, to_head) = ANSWERS[dice.below(ANSWERS.len())];
        let mut wire = wire.to_vec();
        for _ in 0..=dice.below(4) {
            let at = dice.below(wire.len());
            match dice.below(3) {
                0 => wire[at] = SPICE[dice.below(SPICE.len())],
                1 => wire.insert(at, SPICE[dice.below(SPICE.len())]),
                _ => drop(wire.remove(at)),
            }
        }
        let whole = read_pieces([wire.as_slice()], to_head);
        let piece = 1 + dice.below(9);
        let pieces = read_pieces(wire.chunks(piece), to_head);
        assert_eq!(pieces, whole, "{} in {piece}s", wire.escape_ascii());
    }
}
