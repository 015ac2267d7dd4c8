//! What users do: flows of requests, chosen by weight, with values from feeds. Values of a plan.

use std::sync::Arc;

use crate::error::LoadError;
use crate::pacer::Think;
use crate::request::{Content, Request};

/// What users do. Each connection is a user, who holds values and cookies from flow to flow.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// Each time a user is free one of them is chosen, in exact proportion to the weights.
    pub flows: Vec<Flow>,
    /// Requests that each user sends once before the load begins, by their index; nothing counts them.
    pub start: Vec<usize>,
    /// Where values come from.
    pub feeds: Vec<Feed>,
    /// How many values a user holds.
    pub slots: usize,
    /// Whether users keep cookies.
    pub cookies: bool,
}

/// Requests that a user sends one after another. It ends when one of them fails.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The name it has in results.
    pub name: String,
    /// How often it is chosen, in proportion to the others.
    pub weight: u32,
    /// What it consists of.
    pub steps: Vec<Step>,
}

/// One request of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Which of the plan's requests.
    pub request: usize,
    /// How long the user waits before it, after the answer to the step before. Of the first step it is not looked at:
    /// that is the pacer's.
    pub pause: Think,
}

/// Rows of values. Each flow that begins takes the next row, or each user takes one for good; after the last comes the
/// first.
#[derive(Clone, Debug)]
pub struct Feed {
    slots: Vec<usize>,
    shuffled: bool,
    per_user: bool,
    /// All values one after another; where each ends, and whether it is JSON.
    bytes: Arc<[u8]>,
    ends: Arc<[(usize, bool)]>,
}

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedValue<'a> {
    /// Text, or any bytes.
    Text(&'a [u8]),
    /// JSON: a number, true, an array...
    Json(&'a [u8]),
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for FeedValue<'a> {
    fn from(text: &'a T) -> Self {
        Self::Text(text.as_ref())
    }
}

impl Scenario {
    /// Each of these requests is a flow of its own, and they are sent in turn.
    pub fn in_turn(requests: &[Request]) -> Self {
        let alone = |(index, request): (usize, &Request)| Flow {
            name: request.name.clone(),
            weight: 1,
            steps: vec![Step {
                request: index,
                pause: Think::Never,
            }],
        };
        Self {
            flows: requests.iter().enumerate().map(alone).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn check(&self, requests: &[Request]) -> Result<(), LoadError> {
        let refused = |reason: &str| Err(LoadError::Scenario(reason.to_owned()));
        if self.flows.iter().all(|flow| flow.weight == 0) {
            return refused("no flow has a weight above 0");
        }
        if self.flows.iter().any(|flow| flow.steps.is_empty()) {
            return refused("a flow has no step");
        }
        let steps = self.flows.iter().flat_map(|flow| &flow.steps);
        let mut named = steps.map(|step| &step.request).chain(&self.start);
        if named.any(|&index| index >= requests.len()) {
            return refused("a step names a request that is not there");
        }
        let fed = self.feeds.iter().flat_map(|feed| &feed.slots).copied();
        let read = requests.iter().flat_map(slots_of);
        if fed.chain(read).any(|slot| slot >= self.slots) {
            return refused("there are fewer slots than are used");
        }
        Ok(())
    }
}

/// The slots that a request reads or fills.
fn slots_of(request: &Request) -> Vec<usize> {
    let mut slots = match &request.content {
        Content::Fixed(_) => Vec::new(),
        Content::Template(template) => template.slots(),
    };
    slots.extend(request.captures.iter().map(|capture| capture.slot));
    slots
}

impl Feed {
    /// Every row has a value for each of the slots. `shuffled`: rows are taken by chance instead of in turn.
    pub fn new<'a, R, V>(
        slots: Vec<usize>,
        rows: impl IntoIterator<Item = R>,
        shuffled: bool,
    ) -> Result<Self, LoadError>
    where
        R: IntoIterator<Item = V>,
        V: Into<FeedValue<'a>>,
    {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for row in rows {
            let before = ends.len();
            for value in row {
                let (value, is_json) = match value.into() {
                    FeedValue::Text(text) => (text, false),
                    FeedValue::Json(json) => (json, true),
                };
                bytes.extend_from_slice(value);
                ends.push((bytes.len(), is_json));
            }
            if ends.len() - before != slots.len() {
                return Err(LoadError::Scenario(format!(
                    "a row of a feed has {} values instead of {}",
                    ends.len() - before,
                    slots.len()
                )));
            }
        }
        if ends.is_empty() {
            return Err(LoadError::Scenario("a feed has no rows".to_owned()));
        }
        Ok(Self {
            slots,
            shuffled,
            per_user: false,
            bytes: bytes.into(),
            ends: ends.into(),
        })
    }

    /// The same, with each user taking a row before everything else and keeping it.
    #[must_use]
    pub fn per_user(mut self) -> Self {
        self.per_user = true;
        self
    }

    pub(crate) fn rows(&self) -> usize {
        self.ends.len() / self.slots.len()
    }

    pub(crate) fn is_shuffled(&self) -> bool {
        self.shuffled
    }

    pub(crate) fn is_per_user(&self) -> bool {
        self.per_user
    }

    /// The slots and the values of a row.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = (usize, FeedValue<'_>)> {
        let first = row * self.slots.len();
        self.slots.iter().enumerate().map(move |(column, &slot)| {
            let at = first + column;
            let start = at.checked_sub(1).map_or(0, |before| self.ends[before].0);
            let (end, is_json) = self.ends[at];
            let bytes = &self.bytes[start..end];
            let value = match is_json {
                true => FeedValue::Json(bytes),
                false => FeedValue::Text(bytes),
            };
            (slot, value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_gives_each_row_as_it_was() {
        use FeedValue::{Json, Text};
        let rows = [[Text(b"a"), Json(b"1")], [Json(b"[]"), Text(b"")]];
        let feed = Feed::new(vec![3, 1], rows, false).unwrap();
        assert_eq!(feed.rows(), 2);
        let row = |row| feed.row(row).collect::<Vec<_>>();
        assert_eq!(row(0), [(3, Text(b"a")), (1, Json(b"1"))]);
        assert_eq!(row(1), [(3, Json(b"[]")), (1, Text(b""))]);
    }

    #[test]
    fn ragged_and_empty_feeds_are_refused() {
        let none: [[&str; 1]; 0] = [];
        assert!(Feed::new(vec![0], none, false).is_err());
        assert!(Feed::new(vec![0, 1], [vec!["a", "b"], vec!["c"]], false).is_err());
        assert!(Feed::new(vec![], [Vec::<&str>::new()], false).is_err());
    }

    #[test]
    fn a_scenario_that_cannot_be_played_is_refused() {
        let requests = [Request::new("one", "GET / HTTP/1.1\r\n\r\n")];
        let good = Scenario::in_turn(&requests);
        assert!(good.check(&requests).is_ok());
        assert!(Scenario::default().check(&requests).is_err());
        let mut no_request = good.clone();
        no_request.start = vec![1];
        assert!(no_request.check(&requests).is_err());
        let mut no_steps = good.clone();
        no_steps.flows[0].steps.clear();
        assert!(no_steps.check(&requests).is_err());
        let mut no_slots = good;
        no_slots.feeds = vec![Feed::new(vec![0], [["a"]], false).unwrap()];
        assert!(no_slots.check(&requests).is_err());
    }
}
