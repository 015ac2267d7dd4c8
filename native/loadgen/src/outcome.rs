//! What became of requests: the taxonomy of outcomes, and their counts.

use std::collections::BTreeMap;

use crate::driver::Exchange;

/// What became of one request. Exactly one of these is counted for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// A whole answer came, and it is as the request expects.
    Ok,
    /// Nothing listens at the address.
    ConnectRefused,
    /// The connection was not made in time.
    ConnectTimeout,
    /// This process, or the machine, had no file descriptor left for the connection.
    FdExhausted,
    /// The connection could not be made for another reason, such as no route.
    ConnectFailed,
    /// The TLS handshake failed, or what came later could not be decrypted.
    TlsFailed,
    /// The connection was reset, or writing to it failed, before the answer was whole.
    Reset,
    /// The server closed the connection before the answer was whole.
    Eof,
    /// The answer was not whole in time.
    Timeout,
    /// What came is not an HTTP/1.1 answer to this request.
    ProtocolError,
    /// A whole answer with a status that was not expected.
    UnexpectedStatus,
    /// A whole answer with the expected status that fails another check.
    CheckFailed,
    /// It was not over when the run ended and its drain time with it. Its times are lower bounds.
    Unfinished,
}

impl Outcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Self; 13] = [
        Self::Ok,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::FdExhausted,
        Self::ConnectFailed,
        Self::TlsFailed,
        Self::Reset,
        Self::Eof,
        Self::Timeout,
        Self::ProtocolError,
        Self::UnexpectedStatus,
        Self::CheckFailed,
        Self::Unfinished,
    ];

    /// The name in results and reports. It never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::FdExhausted => "fd_exhausted",
            Self::ConnectFailed => "connect_failed",
            Self::TlsFailed => "tls_failed",
            Self::Reset => "reset",
            Self::Eof => "eof",
            Self::Timeout => "timeout",
            Self::ProtocolError => "protocol_error",
            Self::UnexpectedStatus => "unexpected_status",
            Self::CheckFailed => "check_failed",
            Self::Unfinished => "unfinished",
        }
    }

    /// Whether no connection could be made, so that trying again at once would only spin.
    pub const fn is_connect_failure(self) -> bool {
        matches!(
            self,
            Self::ConnectRefused
                | Self::ConnectTimeout
                | Self::FdExhausted
                | Self::ConnectFailed
                | Self::TlsFailed
        )
    }
}

/// Details of one outcome that are told apart; what comes on top is counted under [`OTHER_DETAILS`].
const MOST_DETAILS: usize = 32;
/// The detail under which rare ones are put together.
const OTHER_DETAILS: &str = "other";

/// How often each [`Outcome`] happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    counts: [u64; Outcome::ALL.len()],
    unexpected: BTreeMap<u16, u64>,
    details: BTreeMap<Outcome, BTreeMap<String, u64>>,
}

impl Outcomes {
    /// Counts one request. `status` is that of the answer, and only kept when it was unexpected.
    pub fn count(&mut self, outcome: Outcome, status: u16) {
        self.counts[outcome as usize] += 1;
        if outcome == Outcome::UnexpectedStatus {
            *self.unexpected.entry(status).or_default() += 1;
        }
    }

    /// Counts a request that is over, and why it ended as it did.
    pub(crate) fn take(&mut self, exchange: &Exchange) {
        self.count(exchange.outcome, exchange.status);
        if let Some(detail) = exchange.fault.name() {
            self.note(exchange.outcome, detail);
        }
    }

    fn note(&mut self, outcome: Outcome, detail: &str) {
        let details = self.details.entry(outcome).or_default();
        match details.get_mut(detail) {
            Some(count) => *count += 1,
            None => {
                let name = match details.len() < MOST_DETAILS {
                    true => detail,
                    false => OTHER_DETAILS,
                };
                *details.entry(name.to_owned()).or_default() += 1;
            }
        }
    }

    /// Why requests ended as they did, where that is known, and how often: kinds of protocol faults by name
    /// (`bad_head`, `bad_content_length`...), what the system said, which check failed.
    pub fn details(&self) -> &BTreeMap<Outcome, BTreeMap<String, u64>> {
        &self.details
    }

    /// How often this outcome happened.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize]
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All requests that were not answered as expected.
    pub fn failed(&self) -> u64 {
        self.total() - self.of(Outcome::Ok)
    }

    /// The counts that are not zero, in the order of [`Outcome::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL
            .into_iter()
            .map(|outcome| (outcome, self.of(outcome)))
            .filter(|&(_, count)| count > 0)
    }

    /// Which unexpected status codes came, and how often, in ascending order.
    pub fn unexpected_statuses(&self) -> &BTreeMap<u16, u64> {
        &self.unexpected
    }

    /// Adds the counts of another part of the run.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        for (&status, more) in &other.unexpected {
            *self.unexpected.entry(status).or_default() += more;
        }
        for (&outcome, details) in &other.details {
            let own = self.details.entry(outcome).or_default();
            for (detail, more) in details {
                *own.entry(detail.clone()).or_default() += more;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_listed_at_its_own_place_under_its_own_name() {
        let mut names: Vec<_> = Outcome::ALL.iter().map(|o| o.as_str()).collect();
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Outcome::ALL.len());
    }

    #[test]
    fn merged_counts_are_the_sum_of_their_parts() {
        let (mut one, mut two) = (Outcomes::default(), Outcomes::default());
        one.count(Outcome::Ok, 200);
        one.count(Outcome::UnexpectedStatus, 500);
        two.count(Outcome::UnexpectedStatus, 500);
        two.count(Outcome::UnexpectedStatus, 404);
        one.note(Outcome::ProtocolError, "bad_head");
        two.note(Outcome::ProtocolError, "bad_head");
        two.note(Outcome::ProtocolError, "surplus_bytes");
        one.merge(&two);
        assert_eq!((one.total(), one.failed()), (4, 3));
        let statuses: Vec<_> = one.unexpected_statuses().iter().collect();
        assert_eq!(statuses, [(&404, &1), (&500, &2)]);
        let details: Vec<_> = one.details()[&Outcome::ProtocolError].iter().collect();
        let (head, surplus) = ("bad_head".to_owned(), "surplus_bytes".to_owned());
        assert_eq!(details, [(&head, &2), (&surplus, &1)]);
    }

    #[test]
    fn details_without_end_are_put_together() {
        let mut outcomes = Outcomes::default();
        for number in 0..1_000 {
            outcomes.note(Outcome::CheckFailed, &number.to_string());
        }
        let details = &outcomes.details()[&Outcome::CheckFailed];
        assert_eq!(details.len(), MOST_DETAILS + 1);
        assert_eq!(details[OTHER_DETAILS], 1_000 - MOST_DETAILS as u64);
    }
}
