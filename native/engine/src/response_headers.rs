//! The header fields of an application's response.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::ResponseError;

/// Checks headers and takes out what the engine decides: transfer-encoding.
pub(crate) fn response_headers<'a>(
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(HeaderMap, Option<u64>), ResponseError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut map = HeaderMap::try_with_capacity(headers.size_hint().0)
        .map_err(|_| ResponseError::TooManyHeaders)?;
    let mut length = None;
    for (raw_name, raw_value) in headers {
        let name = HeaderName::from_bytes(raw_name)
            .map_err(|_| ResponseError::HeaderName(text(raw_name)))?;
        if name == TRANSFER_ENCODING {
            continue;
        }
        let value = HeaderValue::from_bytes(raw_value)
            .map_err(|_| ResponseError::HeaderValue(text(raw_name)))?;
        if name == CONTENT_LENGTH {
            let number = value
                .to_str()
                .ok()
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            let number = number.and_then(|digits| digits.parse().ok());
            if number.is_none() || length.is_some_and(|known| Some(known) != number) {
                return Err(ResponseError::ContentLength(text(raw_value)));
            }
            length = number;
            map.try_insert(name, value)
                .map_err(|_| ResponseError::TooManyHeaders)?;
        } else {
            map.try_append(name, value)
                .map_err(|_| ResponseError::TooManyHeaders)?;
        }
    }
    Ok((map, length))
}
