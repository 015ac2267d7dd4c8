//! Requests with holes: parts that are put together when a request is sent, from the values that its user holds.

use std::io::Write;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;

/// A request with holes.
#[derive(Clone, Debug)]
pub struct Template {
    head: Vec<Part>,
    body: Option<Vec<Part>>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Bytes(Vec<u8>),
    /// The value of a user's slot.
    Slot {
        /// Which one.
        slot: usize,
        /// How it is written.
        form: Form,
    },
    /// Other parts, in base64.
    Base64(Vec<Part>),
}

/// How a value is written into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Text,
    /// In a header field: control characters, which would end it, become spaces.
    Field,
    /// In a URL: percent-encoded.
    Url,
    /// As a whole request target: the path and query of a link, whose server is left out.
    Link,
    /// In a form: percent-encoded, with `+` for spaces.
    Form,
    /// Inside the quotes of a JSON string.
    JsonText,
    /// As JSON: text gets its quotes, what was JSON before stays what it was.
    JsonValue,
}

/// What a user holds in a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) bytes: Vec<u8>,
    /// It is JSON and no text: a number, true, an array...
    pub(crate) is_json: bool,
}

impl Value {
    pub(crate) fn set(&mut self, bytes: &[u8], is_json: bool) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.is_json = is_json;
    }
}

impl Template {
    /// `head`: the request line and the fields, each with its CRLF, without the empty line and without a
    /// content-length, which is added when there is a `body`.
    pub fn new(head: Vec<Part>, body: Option<Vec<Part>>) -> Self {
        Self { head, body }
    }

    pub(crate) fn first_bytes(&self) -> &[u8] {
        match self.head.first() {
            Some(Part::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }

    /// All slots that it takes values from.
    pub(crate) fn slots(&self) -> Vec<usize> {
        let mut slots = Vec::new();
        for part in self.head.iter().chain(self.body.iter().flatten()) {
            part.add_slots(&mut slots);
        }
        slots
    }

    /// Writes the request to `out`; `scratch` is for its use.
    pub(crate) fn render(&self, values: &[Value], out: &mut Vec<u8>, scratch: &mut Vec<u8>) {
        out.clear();
        write_parts(&self.head, values, out);
        let Some(body) = &self.body else {
            out.extend_from_slice(b"\r\n");
            return;
        };
        scratch.clear();
        write_parts(body, values, scratch);
        // Writing to memory does not fail.
        let _ = write!(out, "content-length: {}\r\n\r\n", scratch.len());
        out.extend_from_slice(scratch);
    }
}

impl Part {
    fn add_slots(&self, slots: &mut Vec<usize>) {
        match self {
            Self::Bytes(_) => {}
            Self::Slot { slot, .. } => slots.push(*slot),
            Self::Base64(parts) => parts.iter().for_each(|part| part.add_slots(slots)),
        }
    }
}

fn write_parts(parts: &[Part], values: &[Value], out: &mut Vec<u8>) {
    for part in parts {
        match part {
            Part::Bytes(bytes) => out.extend_from_slice(bytes),
            Part::Slot { slot, form } => {
                if let Some(value) = values.get(*slot) {
                    form.write(value, out);
                }
            }
            Part::Base64(parts) => {
                let mut plain = Vec::new();
                write_parts(parts, values, &mut plain);
                out.extend_from_slice(STANDARD.encode(plain).as_bytes());
            }
        }
    }
}

impl Form {
    fn write(self, value: &Value, out: &mut Vec<u8>) {
        let bytes = &value.bytes;
        match self {
            Self::Text => out.extend_from_slice(bytes),
            Self::Field => out.extend(bytes.iter().map(|&byte| match byte {
                b'\t' | b' '..=b'~' | 0x80.. => byte,
                _ => b' ',
            })),
            Self::Url => write_percent(bytes, None, out),
            Self::Link => write_link(bytes, out),
            Self::Form => write_percent(bytes, Some(b'+'), out),
            Self::JsonText => write_json_text(bytes, out),
            Self::JsonValue if value.is_json => out.extend_from_slice(bytes),
            Self::JsonValue => {
                out.push(b'"');
                write_json_text(bytes, out);
                out.push(b'"');
            }
        }
    }
}

fn write_percent(bytes: &[u8], space: Option<u8>, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        match (byte, space) {
            (b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~', _) => {
                out.push(byte);
            }
            (b' ', Some(space)) => out.push(space),
            _ => out.extend([
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
}

/// Writes `https://server/path?query#part`, or what it has of it, as `/path?query`.
fn write_link(link: &[u8], out: &mut Vec<u8>) {
    let scheme = [&b"http:"[..], b"https:"].into_iter().find(|scheme| {
        let start = link.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let rest = &link[scheme.map_or(0, <[u8]>::len)..];
    let ends = |bytes: &[u8], of: &[u8]| {
        let end = bytes.iter().position(|byte| of.contains(byte));
        end.unwrap_or(bytes.len())
    };
    let target = match rest.strip_prefix(b"//") {
        Some(server) => &server[ends(server, b"/?#")..],
        None => rest,
    };
    let target = &target[..ends(target, b"#")];
    if !target.starts_with(b"/") {
        out.push(b'/');
    }
    for &byte in target {
        match byte {
            b'!'..=b'~' => out.push(byte),
            _ => write_percent(&[byte], None, out),
        }
    }
}

fn write_json_text(bytes: &[u8], out: &mut Vec<u8>) {
    // JSON has no other bytes than those of text.
    for &byte in String::from_utf8_lossy(bytes).as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=31 => {
                // Writing to memory does not fail.
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Value {
        Value {
            bytes: bytes.to_vec(),
            is_json: false,
        }
    }

    fn written(form: Form, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        form.write(value, &mut out);
        out
    }

    #[test]
    fn a_value_is_written_so_that_it_stays_one_value() {
        let nasty = text(b"a b\"\\\r\n\x01\xc3\xa9&=/");
        for (form, expected) in [
            (Form::Text, &b"a b\"\\\r\n\x01\xc3\xa9&=/"[..]),
            (Form::Field, b"a b\"\\   \xc3\xa9&=/"),
            (Form::Url, b"a%20b%22%5C%0D%0A%01%C3%A9%26%3D%2F"),
            (Form::Form, b"a+b%22%5C%0D%0A%01%C3%A9%26%3D%2F"),
            (Form::JsonText, b"a b\\\"\\\\\\r\\n\\u0001\xc3\xa9&=/"),
            (Form::JsonValue, b"\"a b\\\"\\\\\\r\\n\\u0001\xc3\xa9&=/\""),
        ] {
            let written = written(form, &nasty);
            assert_eq!(written, expected, "{form:?}: {}", written.escape_ascii());
        }
    }

    #[test]
    fn a_link_is_followed_on_the_same_server() {
        for (link, target) in [
            ("/next?page=2&a=%20", "/next?page=2&a=%20"),
            ("https://shop.example:8080/next?page=2#top", "/next?page=2"),
            ("HTTP://shop.example/next", "/next"),
            ("//shop.example/next", "/next"),
            ("http://shop.example", "/"),
            ("http://shop.example?page=2", "/?page=2"),
            ("next?url=http://other/", "/next?url=http://other/"),
            ("/a:b//c", "/a:b//c"),
            ("", "/"),
            ("/a b\r\n\u{e9}", "/a%20b%0D%0A%C3%A9"),
        ] {
            let written = written(Form::Link, &text(link.as_bytes()));
            assert_eq!(written.escape_ascii().to_string(), target, "{link}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_in_json() {
        assert_eq!(
            written(Form::JsonText, &text(b"a\xff")),
            "a\u{fffd}".as_bytes()
        );
        assert_eq!(written(Form::Text, &text(b"a\xff")), b"a\xff");
    }

    #[test]
    fn json_stays_json_as_a_value_and_is_text_inside_a_string() {
        let number = Value {
            bytes: b"7".to_vec(),
            is_json: true,
        };
        assert_eq!(written(Form::JsonValue, &number), b"7");
        assert_eq!(written(Form::JsonText, &number), b"7");
        assert_eq!(written(Form::JsonValue, &text(b"7")), b"\"7\"");
    }

    #[test]
    fn a_body_is_announced_with_its_length() {
        let slot = |slot| Part::Slot {
            slot,
            form: Form::Text,
        };
        let template = Template::new(
            vec![
                Part::Bytes(b"POST /".to_vec()),
                slot(0),
                Part::Bytes(b" HTTP/1.1\r\n".to_vec()),
            ],
            Some(vec![
                slot(1),
                Part::Base64(vec![slot(0), Part::Bytes(b":".to_vec())]),
            ]),
        );
        let (mut out, mut scratch) = (b"old".to_vec(), Vec::new());
        let values = [text(b"a"), text(b"body")];
        template.render(&values, &mut out, &mut scratch);
        assert_eq!(
            out.escape_ascii().to_string(),
            "POST /a HTTP/1.1\\r\\ncontent-length: 8\\r\\n\\r\\nbodyYTo="
        );
        assert_eq!(template.slots(), [0, 1, 0]);
    }

    #[test]
    fn without_a_body_there_is_no_length() {
        let template = Template::new(vec![Part::Bytes(b"GET / HTTP/1.1\r\n".to_vec())], None);
        let mut out = Vec::new();
        template.render(&[], &mut out, &mut Vec::new());
        assert_eq!(out, b"GET / HTTP/1.1\r\n\r\n");
    }
}
