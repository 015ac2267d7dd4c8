//! What is sent, and what counts as a good answer to it.

use crate::outcome::Outcome;

/// One request of a plan, built before the run: during the run its bytes are only written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The name it has in results.
    pub name: String,
    /// The whole HTTP/1.1 request: request line, headers and body.
    pub bytes: Vec<u8>,
    /// Whether the method is HEAD, whose answers have no body whatever their headers say.
    pub head: bool,
    /// What counts as a good answer.
    pub expect: Expect,
}

/// What counts as a good answer. Checks of headers and bodies join here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// Exactly this status.
    Status(u16),
    /// Any 2xx or 3xx status.
    StatusClass,
    /// This status, and a decoded body of this many bytes: the cheapest check that sees a truncated answer.
    BodyBytes {
        /// The status.
        status: u16,
        /// The length of the body, without its chunked framing.
        bytes: u64,
    },
}

impl Expect {
    /// Judges a whole answer.
    pub fn judge(self, status: u16, body_bytes: u64) -> Outcome {
        let as_expected = match self {
            Self::Status(expected) => status == expected,
            Self::StatusClass => (200..400).contains(&status),
            Self::BodyBytes {
                status: expected, ..
            } => status == expected,
        };
        match self {
            _ if !as_expected => Outcome::UnexpectedStatus,
            Self::BodyBytes { bytes, .. } if bytes != body_bytes => Outcome::CheckFailed,
            _ => Outcome::Ok,
        }
    }

    /// What was expected and what came, for a person.
    pub(crate) fn explain(self, status: u16, body_bytes: u64) -> String {
        match self {
            Self::Status(expected) => format!("expected status {expected}, got {status}"),
            Self::StatusClass => format!("expected a 2xx or 3xx status, got {status}"),
            Self::BodyBytes {
                status: expected,
                bytes,
            } => format!(
                "expected status {expected} and {bytes} body bytes, got {status} and {body_bytes}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_status_first_and_then_by_its_length() {
        assert_eq!(Expect::Status(201).judge(201, 9), Outcome::Ok);
        assert_eq!(Expect::Status(201).judge(200, 9), Outcome::UnexpectedStatus);
        assert_eq!(Expect::StatusClass.judge(304, 0), Outcome::Ok);
        assert_eq!(Expect::StatusClass.judge(404, 0), Outcome::UnexpectedStatus);
        let sized = Expect::BodyBytes {
            status: 200,
            bytes: 3,
        };
        assert_eq!(sized.judge(200, 3), Outcome::Ok);
        assert_eq!(sized.judge(200, 2), Outcome::CheckFailed);
        assert_eq!(sized.judge(500, 2), Outcome::UnexpectedStatus);
    }
}
