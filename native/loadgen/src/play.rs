//! Who sends what next: plays a [`Scenario`], flow by flow and step by step.

use crate::random::Random;
use crate::scenario::{Feed, Scenario};
use crate::users::Users;

/// What became of one flow of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowResult {
    /// The flow's name.
    pub name: String,
    /// How often all of its steps went well.
    pub completed: u64,
    /// How often one failed, so that the rest was left out.
    pub failed: u64,
    /// How often the end of the run left the rest out.
    pub cut: u64,
}

/// The players of a scenario, one for each connection.
pub(crate) struct Play<'p> {
    scenario: &'p Scenario,
    /// By connection: the flow it is in, and how many of its steps are over.
    places: Vec<Option<(usize, usize)>>,
    /// By flow: how far it is behind its share.
    credits: Vec<i64>,
    total_weight: i64,
    /// By feed: the row that comes next.
    next_rows: Vec<usize>,
    random: Random,
    pub(crate) flows: Vec<FlowResult>,
}

impl<'p> Play<'p> {
    pub(crate) fn new(scenario: &'p Scenario, connections: usize, seed: u64) -> Self {
        let weights = scenario.flows.iter().map(|flow| i64::from(flow.weight));
        let flows = scenario.flows.iter().map(|flow| FlowResult {
            name: flow.name.clone(),
            completed: 0,
            failed: 0,
            cut: 0,
        });
        Self {
            scenario,
            places: vec![None; connections],
            credits: vec![0; scenario.flows.len()],
            total_weight: weights.sum(),
            next_rows: vec![0; scenario.feeds.len()],
            random: Random::new(!seed),
            flows: flows.collect(),
        }
    }

    pub(crate) fn scenario(&self) -> &'p Scenario {
        self.scenario
    }

    /// Nothing has become of flows so far.
    pub(crate) fn forget(&mut self) {
        for flow in &mut self.flows {
            (flow.completed, flow.failed, flow.cut) = (0, 0, 0);
        }
    }

    /// The next step of the flow that the user is in: its request, and how long to wait for it.
    pub(crate) fn next_step(&mut self, connection: usize) -> Option<(usize, u64)> {
        let (flow, step) = self.places[connection]?;
        let step = self.scenario.flows[flow].steps[step];
        Some((step.request, step.pause.pause_ns(&mut self.random)))
    }

    /// The user begins a flow; its first request.
    pub(crate) fn begin(&mut self, connection: usize, users: &mut Users<'_>) -> usize {
        let flow = self.choose();
        self.places[connection] = Some((flow, 0));
        self.feed(connection, users, false);
        self.scenario.flows[flow].steps[0].request
    }

    /// Gives the user the rows that it keeps.
    pub(crate) fn equip(&mut self, connection: usize, users: &mut Users<'_>) {
        self.feed(connection, users, true);
    }

    fn feed(&mut self, connection: usize, users: &mut Users<'_>, per_user: bool) {
        let feeds = self.scenario.feeds.iter().zip(&mut self.next_rows);
        for (feed, next_row) in feeds.filter(|(feed, _)| feed.is_per_user() == per_user) {
            let row = row_of(feed, next_row, &mut self.random);
            for (slot, value) in feed.row(row) {
                users.set(connection, slot, value);
            }
        }
    }

    /// A flow that would have begun and did not; its first request.
    pub(crate) fn skip(&mut self) -> usize {
        let flow = self.choose();
        self.scenario.flows[flow].steps[0].request
    }

    /// The end of the run leaves out the rest of the flow that the user is in.
    pub(crate) fn cut(&mut self, connection: usize) {
        if let Some((flow, _)) = self.places[connection].take() {
            self.flows[flow].cut += 1;
        }
    }

    /// The same for every user.
    pub(crate) fn cut_all(&mut self) {
        for connection in 0..self.places.len() {
            self.cut(connection);
        }
    }

    /// The user's request is over.
    pub(crate) fn over(&mut self, connection: usize, good: bool) {
        let Some((flow, step)) = self.places[connection] else {
            return;
        };
        let is_last = step + 1 == self.scenario.flows[flow].steps.len();
        self.places[connection] = match good && !is_last {
            true => Some((flow, step + 1)),
            false => None,
        };
        self.flows[flow].completed += u64::from(good && is_last);
        self.flows[flow].failed += u64::from(!good);
    }

    /// The flow that is furthest behind its share; of several the first. Any run of as many choices as all weights
    /// together has each flow exactly as often as its weight says.
    fn choose(&mut self) -> usize {
        if self.credits.len() == 1 {
            return 0;
        }
        let mut chosen = 0;
        for (index, flow) in self.scenario.flows.iter().enumerate() {
            self.credits[index] += i64::from(flow.weight);
            if self.credits[index] > self.credits[chosen] {
                chosen = index;
            }
        }
        self.credits[chosen] -= self.total_weight;
        chosen
    }
}

fn row_of(feed: &Feed, next_row: &mut usize, random: &mut Random) -> usize {
    let rows = feed.rows();
    if feed.is_shuffled() {
        return (random.bits() % rows as u64) as usize;
    }
    let row = *next_row;
    *next_row = (row + 1) % rows;
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pacer::Think;
    use crate::request::Request;
    use crate::scenario::{Flow, Step};

    fn flow(name: &str, weight: u32, requests: &[usize]) -> Flow {
        let step = |&request| Step {
            request,
            pause: Think::Never,
        };
        Flow {
            name: name.to_owned(),
            weight,
            steps: requests.iter().map(step).collect(),
        }
    }

    #[test]
    fn flows_are_begun_in_exact_proportion_to_their_weights_and_spread_out() {
        let scenario = Scenario {
            flows: vec![flow("a", 5, &[0]), flow("b", 1, &[1]), flow("c", 1, &[2])],
            ..Scenario::default()
        };
        let mut users = Users::new(&[], 0, false);
        let mut play = Play::new(&scenario, 1, 1);
        let chosen: Vec<usize> = (0..7).map(|_| play.begin(0, &mut users)).collect();
        assert_eq!(chosen, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn a_flow_goes_from_step_to_step_and_ends_at_a_failure() {
        let scenario = Scenario {
            flows: vec![flow("a", 1, &[4, 5, 6])],
            ..Scenario::default()
        };
        let mut users = Users::new(&[], 0, false);
        let mut play = Play::new(&scenario, 2, 1);
        assert_eq!(play.next_step(1), None);
        assert_eq!(play.begin(1, &mut users), 4);
        play.over(1, true);
        assert_eq!(play.next_step(1), Some((5, 0)));
        play.over(1, true);
        assert_eq!(play.next_step(1), Some((6, 0)));
        play.over(1, true);
        assert_eq!(play.next_step(1), None);
        play.begin(1, &mut users);
        play.over(1, false);
        assert_eq!(play.next_step(1), None);
        assert_eq!((play.flows[0].completed, play.flows[0].failed), (1, 1));
    }

    #[test]
    fn each_flow_that_begins_takes_the_next_row_and_each_user_keeps_its_own() {
        let requests = [Request::template(
            "one",
            crate::template::Template::new(
                [0, 1]
                    .map(|slot| crate::template::Part::Slot {
                        slot,
                        form: crate::template::Form::Text,
                    })
                    .to_vec(),
                None,
            ),
        )];
        let scenario = Scenario {
            feeds: vec![
                Feed::new(vec![0], [["x"], ["y"]], false).unwrap(),
                Feed::new(vec![1], [["ann"], ["bob"]], false)
                    .unwrap()
                    .per_user(),
            ],
            slots: 2,
            ..Scenario::in_turn(&requests)
        };
        let mut users = Users::new(&requests, 2, false);
        users.resize(2);
        let mut play = Play::new(&scenario, 2, 1);
        let mut out = Vec::new();
        play.equip(0, &mut users);
        play.equip(1, &mut users);
        for (connection, expected) in [(0, "xann"), (1, "ybob"), (0, "xann"), (0, "yann")] {
            let request = play.begin(connection, &mut users);
            assert!(users.render(connection, request, false, &mut out));
            assert_eq!(out, format!("{expected}\r\n").into_bytes());
            play.over(connection, true);
        }
    }

    #[test]
    fn shuffled_rows_come_by_the_seed() {
        let rows: Vec<[String; 1]> = (0..100).map(|row| [row.to_string()]).collect();
        let feed = Feed::new(vec![0], &rows, true).unwrap();
        let taken = |seed| {
            let (mut random, mut next) = (Random::new(seed), 0);
            (0..10)
                .map(|_| row_of(&feed, &mut next, &mut random))
                .collect::<Vec<_>>()
        };
        assert_eq!(taken(1), taken(1));
        assert_ne!(taken(1), taken(2));
        assert!(taken(1).iter().all(|&row| row < 100));
    }
}
