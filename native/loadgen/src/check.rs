//! What a good answer has besides its status, and what is kept of it: values of a plan, and their application to one
//! answer.

use std::cell::OnceCell;
use std::fmt;

use memchr::memmem;
use regex::bytes::Regex;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::error::LoadError;
use crate::template::Value;

/// Something that a good answer has.
#[derive(Clone, Debug)]
pub enum Check {
    /// The body contains these bytes.
    Contains(Vec<u8>),
    /// The body matches somewhere.
    Matches(Regex),
    /// The body is JSON that has this value.
    Json {
        /// Where: a pointer as in RFC 6901.
        pointer: String,
        /// What; numbers are equal when their values are. None: anything.
        value: Option<Json>,
    },
    /// There is this header.
    Header {
        /// Its name, in any case.
        name: String,
        /// Its whole value. None: any.
        value: Option<Vec<u8>>,
    },
    /// The SHA-256 of the body.
    Sha256([u8; 32]),
    /// The length of the decoded body in bytes: the cheapest check that sees a truncated answer.
    BodyBytes(u64),
}

/// A value of an answer that later requests of the same user need.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The slot that it goes to.
    pub slot: usize,
    /// Where it is found.
    pub source: Source,
}

/// Where a captured value is found.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a JSON body: a pointer as in RFC 6901.
    Json(String),
    /// In the first header of this name, in any case.
    Header(String),
    /// In the body: the first group of the first match, or all of it where the pattern has no group.
    Regex(Regex),
}

/// A pattern for bodies; it is matched in linear time. Refused when it is none.
pub fn pattern(text: &str) -> Result<Regex, LoadError> {
    Regex::new(text).map_err(|error| LoadError::BadPattern {
        pattern: text.to_owned(),
        reason: error.to_string(),
    })
}

/// A JSON pointer. Refused when it is none.
pub fn pointer(text: &str) -> Result<String, LoadError> {
    let escapes = text
        .match_indices('~')
        .all(|(at, _)| text[at + 1..].starts_with(['0', '1']));
    match escapes && (text.is_empty() || text.starts_with('/')) {
        true => Ok(text.to_owned()),
        false => Err(LoadError::BadPointer(text.to_owned())),
    }
}

/// A whole answer.
pub(crate) struct Seen<'a> {
    /// The decoded body, where anybody needs it.
    pub(crate) body: &'a [u8],
    pub(crate) body_bytes: u64,
    /// The values of the headers that were asked for, in the order of [`wanted_headers`].
    pub(crate) headers: &'a [Option<Vec<u8>>],
}

/// The headers that checks and captures look at.
pub(crate) fn wanted_headers<'a>(
    checks: &'a [Check],
    captures: &'a [Capture],
) -> impl Iterator<Item = &'a str> {
    let checked = checks.iter().filter_map(|check| match check {
        Check::Header { name, .. } => Some(name.as_str()),
        _ => None,
    });
    let captured = captures.iter().filter_map(|capture| match &capture.source {
        Source::Header(name) => Some(name.as_str()),
        _ => None,
    });
    checked.chain(captured)
}

/// The first check that fails, or the first value that is not there, in words; captured values go to their slots.
pub(crate) fn examine(
    checks: &[Check],
    captures: &[Capture],
    seen: &Seen<'_>,
    values: &mut [Value],
) -> Result<(), String> {
    let mut headers = seen.headers.iter();
    let parsed = OnceCell::new();
    let json = || {
        parsed
            .get_or_init(|| serde_json::from_slice::<Json>(seen.body).ok())
            .as_ref()
    };
    for check in checks {
        let holds = match check {
            Check::Contains(bytes) => memmem::find(seen.body, bytes).is_some(),
            Check::Matches(regex) => regex.is_match(seen.body),
            Check::Json { pointer, value } => {
                json().is_some_and(|body| match (body.pointer(pointer), value) {
                    (Some(found), Some(value)) => equal(found, value),
                    (found, None) => found.is_some(),
                    (None, Some(_)) => false,
                })
            }
            Check::Header { value, .. } => {
                let found = headers.next().and_then(Option::as_ref);
                match value {
                    Some(value) => found == Some(value),
                    None => found.is_some(),
                }
            }
            Check::Sha256(hash) => Sha256::digest(seen.body).as_slice() == hash,
            Check::BodyBytes(bytes) => seen.body_bytes == *bytes,
        };
        if !holds {
            return Err(check.to_string());
        }
    }
    for Capture { slot, source } in captures {
        let Some(value) = values.get_mut(*slot) else {
            continue;
        };
        let found = match source {
            Source::Json(pointer) => json().and_then(|body| {
                let (bytes, is_json) = match body.pointer(pointer)? {
                    Json::String(text) => (text.clone().into_bytes(), false),
                    other => (other.to_string().into_bytes(), true),
                };
                Some(Value { bytes, is_json })
            }),
            Source::Header(_) => headers.next().cloned().flatten().map(text),
            Source::Regex(regex) => regex.captures(seen.body).and_then(|found| {
                let group = found.get(usize::from(regex.captures_len() > 1))?;
                Some(text(group.as_bytes().to_vec()))
            }),
        };
        *value = found.ok_or_else(|| source.to_string())?;
    }
    Ok(())
}

fn text(bytes: Vec<u8>) -> Value {
    Value {
        bytes,
        is_json: false,
    }
}

/// Whether two JSON values are equal: 1 and 1.0 are.
fn equal(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => {
            // Numbers are kept as they were written: whole ones of any size are compared as such.
            one == other
                || same(one.as_i64(), other.as_i64())
                || ((one.is_f64() || other.is_f64()) && same(one.as_f64(), other.as_f64()))
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => one == other,
    }
}

fn same<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.is_some() && one == other
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(bytes) => {
                write!(f, "the body contains {:?}", String::from_utf8_lossy(bytes))
            }
            Self::Matches(regex) => write!(f, "the body matches {:?}", regex.as_str()),
            Self::Json { pointer, value } => match value {
                Some(value) => write!(f, "the JSON value at {pointer:?} is {value}"),
                None => write!(f, "there is a JSON value at {pointer:?}"),
            },
            Self::Header { name, value } => match value {
                Some(value) => {
                    let value = String::from_utf8_lossy(value);
                    write!(f, "the header {name} is {value:?}")
                }
                None => write!(f, "there is a header {name}"),
            },
            Self::Sha256(_) => f.write_str("the body has its SHA-256"),
            Self::BodyBytes(bytes) => write!(f, "the body has {bytes} bytes"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(pointer) => write!(f, "there is a JSON value at {pointer:?} to capture"),
            Self::Header(name) => write!(f, "there is a header {name} to capture"),
            Self::Regex(regex) => {
                write!(f, "the body matches {:?}, to capture from", regex.as_str())
            }
        }
    }
}

impl Check {
    /// That a body is JSON that has this value, given as JSON text (None: any), at this pointer. Refused when they are
    /// none.
    pub fn json(at: &str, value: Option<&str>) -> Result<Self, LoadError> {
        let parsed = value.map(serde_json::from_str).transpose();
        Ok(Self::Json {
            pointer: pointer(at)?,
            value: parsed.map_err(|error| LoadError::BadJson(error.to_string()))?,
        })
    }

    /// Whether it needs the bytes of the body.
    pub(crate) fn reads_body(&self) -> bool {
        !matches!(self, Self::Header { .. } | Self::BodyBytes(_))
    }
}

impl Capture {
    /// Whether it needs the bytes of the body.
    pub(crate) fn reads_body(&self) -> bool {
        !matches!(self.source, Source::Header(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"items":[{"id":7,"name":"an \"apple\""}],"count":1,"a/b":null}"#;

    fn holds(check: Check, headers: &[Option<Vec<u8>>]) -> bool {
        let seen = Seen {
            body: BODY,
            body_bytes: BODY.len() as u64,
            headers,
        };
        let result = examine(std::slice::from_ref(&check), &[], &seen, &mut []);
        if let Err(words) = &result {
            assert_eq!(*words, check.to_string());
        }
        result.is_ok()
    }

    fn parsed(text: &str) -> Json {
        serde_json::from_str(text).unwrap()
    }

    fn json(pointer: &str, value: Option<&str>) -> Check {
        Check::json(pointer, value).unwrap()
    }

    #[test]
    fn bodies_are_held_against_their_checks() {
        assert!(holds(Check::Contains(b"apple".to_vec()), &[]));
        assert!(!holds(Check::Contains(b"pear".to_vec()), &[]));
        assert!(holds(Check::Matches(pattern(r#""id":\d+"#).unwrap()), &[]));
        assert!(!holds(Check::Matches(pattern("^x").unwrap()), &[]));
        assert!(holds(json("/items/0/id", Some("7.0")), &[]));
        assert!(!holds(json("/items/0/id", Some("\"7\"")), &[]));
        assert!(holds(json("/a~1b", Some("null")), &[]));
        assert!(holds(json("/count", None), &[]));
        assert!(!holds(json("/other", None), &[]));
        assert!(!holds(json("/items/1/id", Some("7")), &[]));
        let hash = Sha256::digest(BODY).into();
        assert!(holds(Check::Sha256(hash), &[]));
        assert!(!holds(Check::Sha256([0; 32]), &[]));
        assert!(holds(Check::BodyBytes(BODY.len() as u64), &[]));
        assert!(!holds(Check::BodyBytes(1), &[]));
    }

    #[test]
    fn headers_are_there_or_have_a_value() {
        let header = |value: Option<&[u8]>| Check::Header {
            name: "X-A".to_owned(),
            value: value.map(<[u8]>::to_vec),
        };
        let there = [Some(b"1".to_vec())];
        assert!(holds(header(None), &there) && holds(header(Some(b"1")), &there));
        assert!(!holds(header(Some(b"2")), &there) && !holds(header(None), &[None]));
    }

    #[test]
    fn values_are_captured_with_their_kind() {
        let capture = |slot, source| Capture { slot, source };
        let captures = [
            capture(0, Source::Json("/items/0/id".to_owned())),
            capture(1, Source::Json("/items/0/name".to_owned())),
            capture(2, Source::Header("X-A".to_owned())),
            capture(3, Source::Regex(pattern(r#"count":(\d)"#).unwrap())),
            capture(4, Source::Regex(pattern("ap+le").unwrap())),
        ];
        let seen = Seen {
            body: BODY,
            body_bytes: 0,
            headers: &[Some(b"head".to_vec())],
        };
        let mut values = vec![Value::default(); 5];
        examine(&[], &captures, &seen, &mut values).unwrap();
        let texts: Vec<_> = values
            .iter()
            .map(|value| String::from_utf8_lossy(&value.bytes))
            .collect();
        assert_eq!(texts, ["7", "an \"apple\"", "head", "1", "apple"]);
        let kinds: Vec<_> = values.iter().map(|value| value.is_json).collect();
        assert_eq!(kinds, [true, false, false, false, false]);
    }

    #[test]
    fn numbers_of_any_size_stay_what_they_were() {
        let body = br#"{"z": 18446744073709551617, "a": 1.10, "o": {"z": 1, "a": 2}}"#;
        let check = |pointer, value| {
            let seen = Seen {
                body,
                body_bytes: 0,
                headers: &[],
            };
            examine(&[json(pointer, Some(value))], &[], &seen, &mut []).is_ok()
        };
        assert!(check("/z", "18446744073709551617") && !check("/z", "18446744073709551618"));
        assert!(!equal(&parsed("1e400"), &parsed("2e400")) && equal(&parsed("-0"), &parsed("0")));
        assert!(check("/a", "1.1") && check("/a", "11e-1") && !check("/a", "1.2"));
        let mut values = vec![Value::default(); 3];
        let captures: Vec<Capture> = ["/z", "/a", "/o"]
            .into_iter()
            .enumerate()
            .map(|(slot, at)| Capture {
                slot,
                source: Source::Json(at.to_owned()),
            })
            .collect();
        let seen = Seen {
            body,
            body_bytes: 0,
            headers: &[],
        };
        examine(&[], &captures, &seen, &mut values).unwrap();
        let texts: Vec<_> = values
            .iter()
            .map(|value| value.bytes.escape_ascii().to_string())
            .collect();
        assert_eq!(
            texts,
            ["18446744073709551617", "1.10", r#"{\"z\":1,\"a\":2}"#]
        );
    }

    #[test]
    fn what_is_not_there_to_capture_is_named() {
        let captures = [Capture {
            slot: 0,
            source: Source::Json("/token".to_owned()),
        }];
        for body in [BODY, b"no json", b""] {
            let seen = Seen {
                body,
                body_bytes: 0,
                headers: &[],
            };
            let failed = examine(&[], &captures, &seen, &mut [Value::default()]);
            assert_eq!(
                failed,
                Err("there is a JSON value at \"/token\" to capture".to_owned())
            );
        }
    }

    #[test]
    fn json_that_is_nested_endlessly_only_fails_its_check() {
        let body = b"[".repeat(200_000);
        let seen = Seen {
            body: &body,
            body_bytes: 0,
            headers: &[],
        };
        assert!(examine(&[json("/0", None)], &[], &seen, &mut []).is_err());
    }

    #[test]
    fn pointers_and_patterns_that_are_none_are_refused() {
        assert!(pointer("").is_ok() && pointer("/a~0b/~1").is_ok());
        for bad in ["a", "/a~", "/a~2"] {
            assert!(pointer(bad).is_err(), "{bad}");
        }
        assert!(pattern("(").is_err());
    }
}
