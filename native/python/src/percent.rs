//! Percent-encoding of paths.

use std::borrow::Cow;

/// Decodes `%XX`; a stray `%` stays.
pub(crate) fn decoded(path: &str) -> Cow<'_, [u8]> {
    let raw = path.as_bytes();
    if !raw.contains(&b'%') {
        return raw.into();
    }
    let hex = |byte: Option<&u8>| byte.and_then(|&digit| char::from(digit).to_digit(16));
    let mut decoded = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        match (raw[at], hex(raw.get(at + 1)), hex(raw.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded.into()
}
