//! JSON as Python's `json` module reads and writes it, for the values on which both agree to the byte.
//!
//! Writing covers values of exactly the built-in types that FastAPI's `jsonable_encoder` passes through unchanged. Reading
//! covers documents without the extensions and the limits of `json.loads`. Whatever else comes is handed back.

use std::os::raw::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyNone, PyString, PyTuple, PyType};

/// Nesting from which on the framework's own code decides.
const MAX_DEPTH: usize = 100;

/// Not a value or a document that is handled here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotPlain;

impl From<PyErr> for NotPlain {
    fn from(_: PyErr) -> Self {
        Self
    }
}

/// What `jsonable_encoder` makes of a pydantic model: `dump(model)` is a plain value.
pub(crate) struct Models {
    pub(crate) base: Py<PyType>,
    pub(crate) dump: Py<PyAny>,
}

/// Writes a value as `json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))` does with what
/// `jsonable_encoder` makes of it.
pub(crate) fn write(
    value: &Bound<'_, PyAny>,
    models: &Models,
    out: &mut Vec<u8>,
) -> Result<(), NotPlain> {
    write_nested(value, models, out, 0, false)
}

fn write_nested(
    value: &Bound<'_, PyAny>,
    models: &Models,
    out: &mut Vec<u8>,
    depth: usize,
    in_dict: bool,
) -> Result<(), NotPlain> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        write_text(text.to_str()?, out);
    } else if let Ok(mapping) = value.cast_exact::<PyDict>() {
        if depth == MAX_DEPTH {
            return Err(NotPlain);
        }
        out.push(b'{');
        let mut first = true;
        for (key, item) in mapping {
            let key = key.cast_exact::<PyString>().map_err(|_| NotPlain)?;
            let key = key.to_str()?;
            // jsonable_encoder leaves these out.
            if key.starts_with("_sa") {
                return Err(NotPlain);
            }
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            write_text(key, out);
            out.push(b':');
            write_nested(&item, models, out, depth + 1, true)?;
        }
        out.push(b'}');
    } else if let Ok(items) = value.cast_exact::<PyList>() {
        write_items(items.iter(), models, out, depth, in_dict)?;
    } else if let Ok(items) = value.cast_exact::<PyTuple>() {
        write_items(items.iter(), models, out, depth, in_dict)?;
    } else if let Ok(truth) = value.cast_exact::<PyBool>() {
        out.extend_from_slice(if truth.is_true() { b"true" } else { b"false" });
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        let number: i64 = number.extract()?;
        write_whole(number, out);
    } else if value.is_none() {
        out.extend_from_slice(b"null");
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        write_float(number.value(), out)?;
    } else if !in_dict && depth < MAX_DEPTH && value.is_instance(models.base.bind(value.py()))? {
        // A model's dump runs the application's code, which must not find a dictionary that is being gone through.
        let dumped = models.dump.bind(value.py()).call1((value,))?;
        write_nested(&dumped, models, out, depth + 1, false)?;
    } else {
        return Err(NotPlain);
    }
    Ok(())
}

fn write_items<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    models: &Models,
    out: &mut Vec<u8>,
    depth: usize,
    in_dict: bool,
) -> Result<(), NotPlain> {
    if depth == MAX_DEPTH {
        return Err(NotPlain);
    }
    out.push(b'[');
    for (position, item) in items.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_nested(&item, models, out, depth + 1, in_dict)?;
    }
    out.push(b']');
    Ok(())
}

fn write_whole(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// As `float.__repr__` writes it.
fn write_float(number: f64, out: &mut Vec<u8>) -> Result<(), NotPlain> {
    if !number.is_finite() {
        return Err(NotPlain);
    }
    const ADD_DOT_0: c_int = 2;
    // SAFETY: the interpreter is attached; the result is a C string of ours, freed below, or null without memory.
    unsafe {
        let text = ffi::PyOS_double_to_string(
            number,
            b'r' as std::os::raw::c_char,
            0,
            ADD_DOT_0,
            std::ptr::null_mut(),
        );
        if text.is_null() {
            ffi::PyErr_Clear();
            return Err(NotPlain);
        }
        out.extend_from_slice(std::ffi::CStr::from_ptr(text).to_bytes());
        ffi::PyMem_Free(text.cast());
    }
    Ok(())
}

/// What stands for a byte inside a string: 0 for itself, `u` for `\u00XX`, otherwise the letter after the backslash.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[0x08] = b'b';
    table[0x0c] = b'f';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

fn write_text(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[byte as usize];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            out.extend_from_slice(&[
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        }
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// Reads a document as `json.loads(bytes)` does.
pub(crate) fn read<'py>(py: Python<'py>, document: &[u8]) -> Result<Bound<'py, PyAny>, NotPlain> {
    // json.loads guesses UTF-16 and UTF-32 from zero bytes, and has words of its own for a byte order mark.
    let text = std::str::from_utf8(document).map_err(|_| NotPlain)?;
    if document.contains(&0) || text.starts_with('\u{feff}') {
        return Err(NotPlain);
    }
    let mut reader = Reader {
        py,
        text,
        at: 0,
        unescaped: String::new(),
    };
    reader.skip_blank();
    let value = reader.value(0)?;
    reader.skip_blank();
    if reader.at == text.len() {
        Ok(value)
    } else {
        Err(NotPlain)
    }
}

struct Reader<'a, 'py> {
    py: Python<'py>,
    text: &'a str,
    at: usize,
    unescaped: String,
}

impl<'py> Reader<'_, 'py> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotPlain> {
        if self.peek() != Some(byte) {
            return Err(NotPlain);
        }
        self.at += 1;
        Ok(())
    }

    fn word<T>(&mut self, word: &str, value: T) -> Result<T, NotPlain> {
        if !self.text[self.at..].starts_with(word) {
            return Err(NotPlain);
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> Result<Bound<'py, PyAny>, NotPlain> {
        let py = self.py;
        match self.peek().ok_or(NotPlain)? {
            b'"' => Ok(self.string()?.into_any()),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b't' => self.word("true", PyBool::new(py, true).to_owned().into_any()),
            b'f' => self.word("false", PyBool::new(py, false).to_owned().into_any()),
            b'n' => self.word("null", PyNone::get(py).to_owned().into_any()),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(NotPlain),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Bound<'py, PyAny>, NotPlain> {
        if depth == MAX_DEPTH {
            return Err(NotPlain);
        }
        let mapping = PyDict::new(self.py);
        self.at += 1;
        self.skip_blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(mapping.into_any());
        }
        loop {
            let key = self.string()?;
            self.skip_blank();
            self.expect(b':')?;
            self.skip_blank();
            let value = self.value(depth + 1)?;
            mapping.set_item(key, value)?;
            self.skip_blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => {
                    self.expect(b'}')?;
                    return Ok(mapping.into_any());
                }
            }
            self.skip_blank();
        }
    }

    fn array(&mut self, depth: usize) -> Result<Bound<'py, PyAny>, NotPlain> {
        if depth == MAX_DEPTH {
            return Err(NotPlain);
        }
        let items = PyList::empty(self.py);
        self.at += 1;
        self.skip_blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(items.into_any());
        }
        loop {
            let value = self.value(depth + 1)?;
            items.append(value)?;
            self.skip_blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => {
                    self.expect(b']')?;
                    return Ok(items.into_any());
                }
            }
            self.skip_blank();
        }
    }

    fn number(&mut self) -> Result<Bound<'py, PyAny>, NotPlain> {
        let start = self.at;
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while matches!(reader.peek(), Some(b'0'..=b'9')) {
                reader.at += 1;
            }
            reader.at - from
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let whole = digits(self);
        if whole == 0 || (leading_zero && whole > 1) {
            return Err(NotPlain);
        }
        let mut fraction = false;
        if self.peek() == Some(b'.') {
            fraction = true;
            self.at += 1;
            if digits(self) == 0 {
                return Err(NotPlain);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            fraction = true;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if digits(self) == 0 {
                return Err(NotPlain);
            }
        }
        let text = &self.text[start..self.at];
        if fraction {
            let value: f64 = text.parse().map_err(|_| NotPlain)?;
            return Ok(PyFloat::new(self.py, value).into_any());
        }
        let value: i64 = text.parse().map_err(|_| NotPlain)?;
        Ok(value
            .into_pyobject(self.py)
            .map_err(|_| NotPlain)?
            .into_any())
    }

    fn string(&mut self) -> Result<Bound<'py, PyString>, NotPlain> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.peek().ok_or(NotPlain)? {
                b'"' => {
                    let text = PyString::new(self.py, &self.text[start..self.at]);
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => return self.escaped(start),
                // Control characters are refused by json.loads.
                0..=0x1f => return Err(NotPlain),
                _ => self.at += 1,
            }
        }
    }

    /// A string from its first backslash on.
    fn escaped(&mut self, start: usize) -> Result<Bound<'py, PyString>, NotPlain> {
        self.unescaped.clear();
        self.unescaped.push_str(&self.text[start..self.at]);
        loop {
            let from = self.at;
            while !matches!(self.peek().ok_or(NotPlain)?, b'"' | b'\\' | 0..=0x1f) {
                self.at += 1;
            }
            self.unescaped.push_str(&self.text[from..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(PyString::new(self.py, &self.unescaped));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let letter = self.escape()?;
                    self.unescaped.push(letter);
                }
                _ => return Err(NotPlain),
            }
        }
    }

    fn escape(&mut self) -> Result<char, NotPlain> {
        let kind = self.peek().ok_or(NotPlain)?;
        self.at += 1;
        Ok(match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4()?;
                if !(0xd800..0xdc00).contains(&first) {
                    // A lone low surrogate is no character; json.loads keeps it.
                    return char::from_u32(first).ok_or(NotPlain);
                }
                self.expect(b'\\')?;
                self.expect(b'u')?;
                let second = self.hex4()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(NotPlain);
                }
                char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
                    .ok_or(NotPlain)?
            }
            _ => return Err(NotPlain),
        })
    }

    fn hex4(&mut self) -> Result<u32, NotPlain> {
        let digits = self
            .text
            .as_bytes()
            .get(self.at..self.at + 4)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .ok_or(NotPlain)?;
        self.at += 4;
        digits.iter().try_fold(0, |value, &digit| {
            Ok(value * 16 + char::from(digit).to_digit(16).ok_or(NotPlain)?)
        })
    }
}

/// `json.loads` of exactly what is read here; raises ValueError for anything else. For tests.
#[pyfunction]
pub(crate) fn read_json<'py>(py: Python<'py>, document: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    read(py, document).map_err(|NotPlain| not_plain())
}

/// FastAPI's JSON of exactly what is written here; raises ValueError for anything else. For tests.
#[pyfunction]
pub(crate) fn write_json(
    value: &Bound<'_, PyAny>,
    model: Py<PyType>,
    dump: Py<PyAny>,
) -> PyResult<Vec<u8>> {
    let mut out = Vec::new();
    write(value, &Models { base: model, dump }, &mut out).map_err(|NotPlain| not_plain())?;
    Ok(out)
}

fn not_plain() -> PyErr {
    pyo3::exceptions::PyValueError::new_err("left to the framework")
}
