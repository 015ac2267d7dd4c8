//! Values of parameters, read from a request's head as a framework's validation would, or not at all.
//!
//! Every function here knows a subset of what the framework accepts, on which both agree for certain. Everything else
//! (`" 7 "`, `1_000`, a stray `%`, a second cookie header) is [`Unsure`]: the framework's own code decides about it.

use std::borrow::Cow;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName};

use crate::routes::Captures;

/// Not in the subset: let the framework decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsure;

/// Where a parameter comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The parameter of the path at this index, from left to right.
    Path(usize),
    /// The query string, under this name.
    Query(String),
    /// A header.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// Text, of this many characters.
    Str {
        /// The fewest characters.
        min: usize,
        /// The most characters.
        max: usize,
    },
    /// A whole number within these bounds, both included.
    Int {
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// A number within bounds.
    Float {
        /// `ge`.
        at_least: f64,
        /// `le`.
        at_most: f64,
        /// `gt`.
        above: f64,
        /// `lt`.
        below: f64,
    },
    /// True or false.
    Bool,
}

impl Scalar {
    /// A number without bounds.
    pub const ANY_FLOAT: Self = Self::Float {
        at_least: f64::NEG_INFINITY,
        at_most: f64::INFINITY,
        above: f64::NEG_INFINITY,
        below: f64::INFINITY,
    };
}

/// How a parameter's text becomes a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// One value, converted here.
    Scalar(Scalar),
    /// One value as text, for somebody else to validate.
    Text,
    /// All values of that name as text, for somebody else to validate.
    Texts,
}

/// A parameter of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Where it comes from.
    pub source: Source,
    /// What it becomes.
    pub reading: Reading,
}

/// A parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// The request does not have it.
    Missing,
    /// Text.
    Str(Cow<'a, str>),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// All texts of a name, at least one.
    Texts(Vec<Cow<'a, str>>),
}

/// More digits might not fit.
const MAX_INT_DIGITS: usize = 18;
const MAX_FLOAT_DIGITS: usize = 40;

impl Scalar {
    /// Converts text.
    pub fn read<'a>(&self, text: Cow<'a, str>) -> Result<Value<'a>, Unsure> {
        match *self {
            Self::Str { min, max } => {
                let bounded = min > 0 || max < usize::MAX;
                if bounded && !(min..=max).contains(&text.chars().count()) {
                    return Err(Unsure);
                }
                Ok(Value::Str(text))
            }
            Self::Int { min, max } => {
                let digits = text.strip_prefix('-').unwrap_or(&text);
                if digits.len() > MAX_INT_DIGITS || !is_digits(digits) {
                    return Err(Unsure);
                }
                let value = text.parse().map_err(|_| Unsure)?;
                (min..=max)
                    .contains(&value)
                    .then_some(Value::Int(value))
                    .ok_or(Unsure)
            }
            Self::Float {
                at_least,
                at_most,
                above,
                below,
            } => {
                let digits = text.strip_prefix('-').unwrap_or(&text);
                let plain = match digits.split_once('.') {
                    Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
                    None => is_digits(digits),
                };
                if digits.len() > MAX_FLOAT_DIGITS || !plain {
                    return Err(Unsure);
                }
                let value: f64 = text.parse().map_err(|_| Unsure)?;
                let inside = value >= at_least
                    && value <= at_most
                    && (value > above || above == f64::NEG_INFINITY)
                    && (value < below || below == f64::INFINITY);
                inside.then_some(Value::Float(value)).ok_or(Unsure)
            }
            Self::Bool => match &*text {
                "true" | "True" | "1" | "on" | "t" | "y" | "yes" => Ok(Value::Bool(true)),
                "false" | "False" | "0" | "off" | "f" | "n" | "no" => Ok(Value::Bool(false)),
                _ => Err(Unsure),
            },
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What the parameters of a route are read from.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The decoded path, without the root path.
    pub path: &'a str,
    /// Where the template's parameters are in it.
    pub captures: &'a Captures,
    /// The query string as sent.
    pub query: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

impl Param {
    /// Reads the value.
    pub fn read<'a>(&self, given: &Given<'a>) -> Result<Value<'a>, Unsure> {
        let text = match &self.source {
            Source::Path(index) => {
                Some(given.captures.get(given.path, *index).ok_or(Unsure)?.into())
            }
            Source::Query(name) => match self.reading {
                Reading::Texts => return texts(query_values(given.query, name)),
                _ => last(query_values(given.query, name))?,
            },
            Source::Header(name) => match self.reading {
                Reading::Texts => {
                    let all = given.headers.get_all(name).iter();
                    return texts(
                        all.map(|value| value.to_str().map(Cow::from).map_err(|_| Unsure)),
                    );
                }
                _ => match given.headers.get(name) {
                    Some(value) => Some(value.to_str().map_err(|_| Unsure)?.into()),
                    None => None,
                },
            },
            Source::Cookie(name) => cookie(given.headers, name)?.map(Cow::from),
        };
        match (text, self.reading) {
            (None, _) => Ok(Value::Missing),
            (Some(text), Reading::Scalar(scalar)) => scalar.read(text),
            (Some(text), Reading::Text | Reading::Texts) => Ok(Value::Str(text)),
        }
    }
}

fn last<'a>(
    mut values: impl Iterator<Item = Result<Cow<'a, str>, Unsure>>,
) -> Result<Option<Cow<'a, str>>, Unsure> {
    values.try_fold(None, |_, value| value.map(Some))
}

fn texts<'a>(
    values: impl Iterator<Item = Result<Cow<'a, str>, Unsure>>,
) -> Result<Value<'a>, Unsure> {
    let all = values.collect::<Result<Vec<_>, _>>()?;
    Ok(if all.is_empty() {
        Value::Missing
    } else {
        Value::Texts(all)
    })
}

/// The values of a name in a query string, in order.
fn query_values<'a, 'n>(
    query: &'a str,
    name: &'n str,
) -> impl Iterator<Item = Result<Cow<'a, str>, Unsure>> + use<'a, 'n> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .filter_map(move |pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match decode_form(key) {
                Ok(key) if key == name => Some(decode_form(value)),
                Ok(_) => None,
                Err(unsure) => Some(Err(unsure)),
            }
        })
}

/// Decodes a name or value of a query string: `+` is a space, `%XX` a byte of UTF-8.
fn decode_form(text: &str) -> Result<Cow<'_, str>, Unsure> {
    let plain = |byte: u8| byte.is_ascii() && byte != b'+' && byte != b'%';
    if text.bytes().all(plain) {
        return Ok(text.into());
    }
    if text.contains('+') {
        return Ok(decode_percent(&text.replace('+', " "))?.into_owned().into());
    }
    decode_percent(text)
}

/// Decodes `%XX`. Unsure about raw bytes outside ASCII, a `%` without two digits, and what is no UTF-8 afterwards.
fn decode_percent(text: &str) -> Result<Cow<'_, str>, Unsure> {
    if !text.is_ascii() {
        return Err(Unsure);
    }
    if !text.contains('%') {
        return Ok(text.into());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(Unsure);
        };
        decoded.push((high * 16 + low) as u8);
        rest = &after[2..];
    }
    String::from_utf8(decoded)
        .map(Cow::Owned)
        .map_err(|_| Unsure)
}

/// A request path, decoded. Unsure about control characters, on which the frameworks' expressions have opinions.
pub fn decode_path(raw: &str) -> Result<Cow<'_, str>, Unsure> {
    let path = decode_percent(raw)?;
    if path
        .contains(|letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}'))
    {
        return Err(Unsure);
    }
    Ok(path)
}

/// The path below the root path, as Starlette takes it off.
pub fn below_root<'a>(path: &'a str, root: &str) -> &'a str {
    match path.strip_prefix(root) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

/// A cookie's value. Unsure about quotes, which have escapes, and about anything outside ASCII.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Unsure> {
    let mut found = None;
    for field in headers.get_all(COOKIE) {
        let field = field.to_str().map_err(|_| Unsure)?;
        if field.contains('"') {
            return Err(Unsure);
        }
        for pair in field.split(';') {
            let (key, value) = pair.split_once('=').unwrap_or(("", pair));
            let blank = |letter| matches!(letter, ' ' | '\t');
            let (key, value) = (key.trim_matches(blank), value.trim_matches(blank));
            if key == name && !(key.is_empty() && value.is_empty()) {
                found = Some(value);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INT: Scalar = Scalar::Int {
        min: i64::MIN,
        max: i64::MAX,
    };

    fn read(scalar: Scalar, text: &str) -> Result<Value<'_>, Unsure> {
        scalar.read(text.into())
    }

    #[test]
    fn whole_numbers_are_digits_with_a_sign() {
        assert_eq!(read(INT, "-42"), Ok(Value::Int(-42)));
        assert_eq!(read(INT, "007"), Ok(Value::Int(7)));
        for text in [
            "",
            "-",
            "+1",
            " 1",
            "1.0",
            "1_0",
            "1e3",
            "9999999999999999999",
            "٣",
        ] {
            assert_eq!(read(INT, text), Err(Unsure), "{text:?}");
        }
        let bounded = Scalar::Int { min: 1, max: 9 };
        assert_eq!(read(bounded, "9"), Ok(Value::Int(9)));
        assert_eq!(read(bounded, "0"), Err(Unsure));
    }

    #[test]
    fn numbers_are_plain_decimals() {
        assert_eq!(read(Scalar::ANY_FLOAT, "-1.50"), Ok(Value::Float(-1.5)));
        assert_eq!(read(Scalar::ANY_FLOAT, "3"), Ok(Value::Float(3.0)));
        for text in ["nan", "inf", "1.", ".5", "1e3", "", "1_0.0"] {
            assert_eq!(read(Scalar::ANY_FLOAT, text), Err(Unsure), "{text:?}");
        }
        let open = Scalar::Float {
            at_least: f64::NEG_INFINITY,
            at_most: 2.0,
            above: 0.0,
            below: f64::INFINITY,
        };
        assert_eq!(read(open, "2"), Ok(Value::Float(2.0)));
        assert_eq!(read(open, "0.0"), Err(Unsure));
    }

    #[test]
    fn text_is_counted_in_characters() {
        let short = Scalar::Str { min: 1, max: 2 };
        assert_eq!(read(short, "üü"), Ok(Value::Str("üü".into())));
        assert_eq!(read(short, ""), Err(Unsure));
        assert_eq!(read(short, "abc"), Err(Unsure));
        assert_eq!(read(Scalar::Bool, "yes"), Ok(Value::Bool(true)));
        assert_eq!(read(Scalar::Bool, "YES"), Err(Unsure));
    }

    fn from_query(query: &str, name: &str) -> Result<Option<String>, Unsure> {
        last(query_values(query, name)).map(|value| value.map(Cow::into_owned))
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        assert_eq!(from_query("a=1&b=2&a=3", "a"), Ok(Some("3".to_owned())));
        assert_eq!(from_query("&&a", "a"), Ok(Some(String::new())));
        assert_eq!(
            from_query("a=x%20y+z%2B", "a"),
            Ok(Some("x y z+".to_owned()))
        );
        assert_eq!(from_query("%61=1", "a"), Ok(Some("1".to_owned())));
        assert_eq!(from_query("a;b=1", "b"), Ok(None));
        assert_eq!(from_query("", "a"), Ok(None));
        assert_eq!(from_query("a=%ff", "a"), Err(Unsure));
        assert_eq!(from_query("a=%4", "a"), Err(Unsure));
        assert_eq!(from_query("a=1&%zz=2", "a"), Err(Unsure));
    }

    #[test]
    fn cookies_are_read_without_their_quoting() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "a=1; b = 2 ;a=3;;x".parse().unwrap());
        headers.append(COOKIE, "c==".parse().unwrap());
        assert_eq!(cookie(&headers, "a"), Ok(Some("3")));
        assert_eq!(cookie(&headers, "b"), Ok(Some("2")));
        assert_eq!(cookie(&headers, "c"), Ok(Some("=")));
        assert_eq!(cookie(&headers, ""), Ok(Some("x")));
        assert_eq!(cookie(&headers, "d"), Ok(None));
        headers.append(COOKIE, "d=\"q\"".parse().unwrap());
        assert_eq!(cookie(&headers, "a"), Err(Unsure));
    }

    #[test]
    fn paths_with_control_characters_are_left_alone() {
        assert_eq!(decode_path("/a%20b/%C3%BC"), Ok("/a b/ü".into()));
        for raw in ["/%0A", "/%00", "/%C2%85", "/%E2%80%A8", "/%ff", "/%"] {
            assert_eq!(decode_path(raw), Err(Unsure), "{raw}");
        }
        assert_eq!(below_root("/api/x", "/api"), "/x");
        assert_eq!(below_root("/api", "/api"), "");
        assert_eq!(below_root("/apix", "/api"), "/apix");
        assert_eq!(below_root("/x", ""), "/x");
    }
}
