//! Whatever a request's path, query and headers are: a route is found or not, values are read or not, nothing panics.

use fastr_engine::{
    below_root, decode_path, Captures, Given, Param, Pattern, Reading, RouteTable, Scalar, Source,
};
use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// Numbers that look random and are the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % limit
    }

    fn text(&mut self, pieces: &[&str], longest: usize) -> String {
        (0..self.below(longest))
            .map(|_| pieces[self.below(pieces.len())])
            .collect()
    }
}

const PIECES: &[&str] = &[
    "/",
    "a",
    "é",
    "%",
    "%2",
    "%2F",
    "%C3%A9",
    "%ff",
    "%00",
    "+",
    "-",
    "0",
    "9",
    ".",
    "=",
    "&",
    ";",
    "?",
    "{",
    "}",
    "{x}",
    "{x:int}",
    "{x:path}",
    ":",
    "_",
    "\u{10ffff}",
    "\"",
    " ",
    "\t",
];

#[test]
fn patterns_of_any_text_are_parsed_and_found_or_not() {
    let mut draw = Draw(1);
    for _ in 0..20_000 {
        let path = format!("/{}", draw.text(PIECES, 12));
        let pattern = Pattern::parse(&path).unwrap();
        let table = RouteTable::with_capacity(1);
        table.add(&pattern, None, ());
        for _ in 0..3 {
            let asked = draw.text(PIECES, 12);
            if let Some(found) = table.find(&Method::GET, &asked) {
                for index in 0..10 {
                    let _ = found.captures.get(&asked, index);
                    let _ = found.captures.get("", index);
                }
            }
        }
        if let Some(literal) = pattern.literal() {
            assert!(table.find(&Method::GET, &literal).is_some(), "{literal}");
        }
    }
}

#[test]
fn values_of_any_request_are_read_or_not() {
    let mut draw = Draw(2);
    let readings = [
        Reading::Text,
        Reading::Texts,
        Reading::Scalar(Scalar::Bool),
        Reading::Scalar(Scalar::ANY_FLOAT),
        Reading::Scalar(Scalar::Int { min: -9, max: 99 }),
        Reading::Scalar(Scalar::Str { min: 1, max: 3 }),
    ];
    let mut read = 0;
    for _ in 0..20_000 {
        let target = format!("/{}?{}", draw.text(PIECES, 8), draw.text(PIECES, 12));
        let Ok(uri) = target.parse::<Uri>() else {
            continue;
        };
        let mut headers = HeaderMap::new();
        for name in [COOKIE, HeaderName::from_static("x")] {
            for _ in 0..draw.below(3) {
                if let Ok(value) = HeaderValue::from_bytes(draw.text(PIECES, 8).as_bytes()) {
                    headers.append(name.clone(), value);
                }
            }
        }
        let Ok(decoded) = decode_path(uri.path()) else {
            continue;
        };
        assert!(!decoded.contains('\0'));
        let given = Given {
            path: below_root(&decoded, "/a"),
            captures: &Captures::default(),
            query: uri.query().unwrap_or(""),
            headers: &headers,
        };
        for source in [
            Source::Path(0),
            Source::Query("a".to_owned()),
            Source::Cookie(String::new()),
            Source::Cookie("a".to_owned()),
            Source::Header(HeaderName::from_static("x")),
        ] {
            for reading in readings {
                let source = source.clone();
                read += usize::from(Param { source, reading }.read(&given).is_ok());
            }
        }
    }
    assert!(read > 10_000);
}
