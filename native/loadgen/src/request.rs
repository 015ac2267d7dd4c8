//! What is sent, and what counts as a good answer to it.

use std::time::Duration;

use crate::check::{Capture, Check};
use crate::template::Template;

/// One request of a plan.
#[derive(Clone, Debug)]
pub struct Request {
    /// The name it has in results.
    pub name: String,
    /// What is written to the wire.
    pub content: Content,
    /// Which status a good answer has.
    pub expect: Expect,
    /// What a good answer has besides.
    pub checks: Vec<Check>,
    /// What is kept of a good answer, for later requests of the same user.
    pub captures: Vec<Capture>,
    /// Every so-manieth answer is held against the checks; 0 counts as 1.
    pub look_every: u32,
    /// How long its answer may take. None: as the plan says.
    pub timeout: Option<Duration>,
}

/// The bytes of a request: built before the run, or put together when it is sent.
#[derive(Clone, Debug)]
pub enum Content {
    /// The whole HTTP/1.1 request: request line, headers and body. During the run it is only written.
    Fixed(Vec<u8>),
    /// It has holes that a user's values fill.
    Template(Template),
}

/// Which status counts as good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Exactly this one.
    Status(u16),
    /// Any 2xx or 3xx.
    StatusClass,
}

/// What the method means for reading answers and for trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MethodTraits {
    /// HEAD: answers have no body whatever their headers say.
    pub(crate) is_head: bool,
    /// Sending it twice is the same as once (RFC 9110, 9.2.2), so that it may be sent again on a new connection.
    pub(crate) is_idempotent: bool,
}

impl Request {
    /// A request of fixed bytes, of which status 200 is expected and nothing else.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(name.into(), Content::Fixed(bytes.into()))
    }

    /// A request that is put together when it is sent, of which status 200 is expected and nothing else.
    pub fn template(name: impl Into<String>, template: Template) -> Self {
        Self::of(name.into(), Content::Template(template))
    }

    fn of(name: String, content: Content) -> Self {
        Self {
            name,
            content,
            expect: Expect::Status(200),
            checks: Vec::new(),
            captures: Vec::new(),
            look_every: 1,
            timeout: None,
        }
    }

    /// The same with another expectation.
    #[must_use]
    pub fn expecting(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    /// The same with a check more.
    #[must_use]
    pub fn checking(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// The bytes that it begins with; empty when there are none.
    pub(crate) fn first_bytes(&self) -> &[u8] {
        match &self.content {
            Content::Fixed(bytes) => bytes,
            Content::Template(template) => template.first_bytes(),
        }
    }

    /// Its bytes, where they need not be put together; else none.
    pub(crate) fn fixed_bytes(&self) -> &[u8] {
        match &self.content {
            Content::Fixed(bytes) => bytes,
            Content::Template(_) => &[],
        }
    }

    pub(crate) fn traits(&self) -> MethodTraits {
        let method = self.first_bytes().split(|&byte| byte == b' ').next();
        MethodTraits {
            is_head: method == Some(b"HEAD"),
            is_idempotent: matches!(
                method,
                Some(b"GET" | b"HEAD" | b"PUT" | b"DELETE" | b"OPTIONS" | b"TRACE")
            ),
        }
    }
}

impl Expect {
    /// Whether this status is good.
    pub fn accepts(self, status: u16) -> bool {
        match self {
            Self::Status(expected) => status == expected,
            Self::StatusClass => (200..400).contains(&status),
        }
    }

    /// What was expected and what came, for a person.
    pub(crate) fn explain(self, status: u16) -> String {
        match self {
            Self::Status(expected) => format!("expected status {expected}, got {status}"),
            Self::StatusClass => format!("expected a 2xx or 3xx status, got {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_accepted_as_expected() {
        assert!(Expect::Status(201).accepts(201) && !Expect::Status(201).accepts(200));
        assert!(Expect::StatusClass.accepts(304) && !Expect::StatusClass.accepts(404));
    }

    #[test]
    fn the_method_is_read_from_the_request_line() {
        let traits = |bytes: &str| Request::new("x", bytes).traits();
        assert!(traits("HEAD / HTTP/1.1\r\n\r\n").is_head);
        assert!(!traits("HEADER / HTTP/1.1\r\n\r\n").is_head);
        assert!(traits("PUT / HTTP/1.1\r\n\r\n").is_idempotent);
        assert!(!traits("POST / HTTP/1.1\r\n\r\n").is_idempotent);
        assert!(!traits("get / HTTP/1.1\r\n\r\n").is_idempotent);
    }
}
