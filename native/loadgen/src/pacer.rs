//! Load shapes: when the next request of a free connection is due.
//!
//! A plan's [`Pacing`] becomes a [`Pacer`], which the send loop asks; it knows no load shape itself. In a *closed loop*
//! each connection is a user, who sends again some time after the answer. In an *open loop* requests are due by a
//! schedule that does not care about answers: whichever connection is free takes the earliest one, and what is due and
//! not taken yet is the queue. It is never stored: a second cursor over the same schedule counts it.

use std::time::Duration;

use crate::clock::as_ns;
use crate::error::LoadError;
use crate::profile::Profile;
use crate::random::Random;

/// How load is offered.
#[derive(Clone, Debug, PartialEq)]
pub enum Pacing {
    /// Users who wait for each answer.
    Closed {
        /// How many users there are; None: as many as connections. Never more than those.
        users: Option<Profile>,
        /// How long a user waits between an answer and the next request.
        think: Think,
    },
    /// A schedule.
    Open {
        /// Requests a second.
        rate: Profile,
        /// How they are spaced.
        arrivals: Arrivals,
        /// How many may be due and unsent; what comes on top is dropped and counted. None: any number.
        most_queued: Option<u64>,
    },
}

/// A user's pause between an answer and the next request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Think {
    /// There is none.
    #[default]
    Never,
    /// Always as long.
    Fixed(Duration),
    /// Anything between the two is as likely.
    Uniform(Duration, Duration),
}

/// How the requests of a schedule are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// At equal distances: a constant arrival rate.
    Even,
    /// As from very many users who know nothing of each other: exponential distances.
    Poisson,
}

impl Pacing {
    /// The closed loop in which every connection sends at once.
    pub const fn closed() -> Self {
        Self::Closed {
            users: None,
            think: Think::Never,
        }
    }

    /// Whether latency counts from a schedule.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    pub(crate) fn check(&self) -> Result<(), LoadError> {
        match self {
            Self::Closed { users, think } => {
                if let Some(users) = users {
                    users.check("the number of users")?;
                }
                match think {
                    Think::Uniform(from, to) if from > to => Err(LoadError::OutOfRange {
                        what: "the shortest think time",
                        value: from.as_secs_f64(),
                    }),
                    _ => Ok(()),
                }
            }
            Self::Open { rate, .. } => rate.check("the rate"),
        }
    }

    /// The pacer of a run of so many connections. All its chance comes from the seed.
    pub(crate) fn pacer(&self, connections: usize, seed: u64) -> Box<dyn Pacer + '_> {
        match self {
            Self::Closed { users, think } => Box::new(Closed {
                users: users.as_ref(),
                think: *think,
                has_started: vec![false; connections],
                random: Random::new(seed),
                started_ns: 0,
            }),
            Self::Open {
                rate,
                arrivals,
                most_queued,
            } => Box::new(Open {
                taken: Schedule::new(rate, *arrivals, seed),
                due: Schedule::new(rate, *arrivals, seed),
                most_queued: *most_queued,
                dropped: 0,
                started_ns: 0,
                end_ns: u64::MAX,
            }),
        }
    }
}

/// Decides when the next request of a connection that has become free is due. Times are those of the run's clock.
pub(crate) trait Pacer {
    /// The load starts now; nothing is due from `end_ns` on.
    fn begin(&mut self, now_ns: u64, end_ns: u64);

    /// When the connection, free since `free_ns`, sends next: a time in the past means at once, None never again.
    fn next_due_ns(&mut self, connection: usize, free_ns: u64) -> Option<u64>;

    /// How many requests are due at this time, before `end_ns`, and have not been handed out.
    fn queued(&mut self, now_ns: u64, end_ns: u64) -> u64;

    /// How many requests have been due before `end_ns`, handed out or not. None: there is no schedule.
    fn scheduled(&mut self, end_ns: u64) -> Option<u64>;

    /// How many requests were due and never handed out because too many were queued.
    fn dropped(&self) -> u64;
}

struct Closed<'p> {
    users: Option<&'p Profile>,
    think: Think,
    /// By connection: its user has sent before.
    has_started: Vec<bool>,
    random: Random,
    started_ns: u64,
}

impl Pacer for Closed<'_> {
    fn begin(&mut self, now_ns: u64, _end_ns: u64) {
        self.started_ns = now_ns;
        self.has_started.fill(false);
    }

    fn next_due_ns(&mut self, connection: usize, free_ns: u64) -> Option<u64> {
        let has_started = std::mem::replace(&mut self.has_started[connection], true);
        let due_ns = match has_started {
            true => free_ns.saturating_add(self.think.pause_ns(&mut self.random)),
            false => free_ns,
        };
        let Some(users) = self.users else {
            return Some(due_ns);
        };
        let active_ns = users.exceeds(connection as f64, due_ns.saturating_sub(self.started_ns))?;
        Some(active_ns.saturating_add(self.started_ns))
    }

    fn queued(&mut self, _now_ns: u64, _end_ns: u64) -> u64 {
        0
    }

    fn scheduled(&mut self, _end_ns: u64) -> Option<u64> {
        None
    }

    fn dropped(&self) -> u64 {
        0
    }
}

impl Think {
    pub(crate) fn pause_ns(self, random: &mut Random) -> u64 {
        match self {
            Self::Never => 0,
            Self::Fixed(pause) => as_ns(pause),
            Self::Uniform(from, to) => {
                let span_ns = as_ns(to.saturating_sub(from)) as f64;
                as_ns(from) + (span_ns * random.uniform()) as u64
            }
        }
    }
}

struct Open<'p> {
    taken: Schedule<'p>,
    /// Runs ahead of `taken` to the present: the distance is the queue.
    due: Schedule<'p>,
    most_queued: Option<u64>,
    dropped: u64,
    started_ns: u64,
    end_ns: u64,
}

impl Pacer for Open<'_> {
    fn begin(&mut self, now_ns: u64, end_ns: u64) {
        self.started_ns = now_ns;
        self.end_ns = end_ns;
    }

    fn next_due_ns(&mut self, _connection: usize, free_ns: u64) -> Option<u64> {
        if let Some(most) = self.most_queued {
            while self.queued(free_ns, self.end_ns) > most {
                self.taken.next()?;
                self.dropped += 1;
            }
        }
        Some(self.taken.next()?.saturating_add(self.started_ns))
    }

    fn queued(&mut self, now_ns: u64, end_ns: u64) -> u64 {
        let by_ns = now_ns
            .min(end_ns.saturating_sub(1))
            .saturating_sub(self.started_ns);
        while self.due.peek().is_some_and(|next_ns| next_ns <= by_ns) {
            self.due.next();
        }
        self.due.count.saturating_sub(self.taken.count)
    }

    fn scheduled(&mut self, end_ns: u64) -> Option<u64> {
        self.queued(end_ns, end_ns);
        Some(self.due.count)
    }

    fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// The due times of an open loop, one after another, from the start of the load.
#[derive(Clone)]
struct Schedule<'p> {
    rate: &'p Profile,
    arrivals: Arrivals,
    random: Random,
    /// The area under the rate at which the next request is due.
    area: f64,
    segment: usize,
    next_ns: Option<u64>,
    /// Requests so far.
    count: u64,
}

impl<'p> Schedule<'p> {
    fn new(rate: &'p Profile, arrivals: Arrivals, seed: u64) -> Self {
        let mut schedule = Self {
            rate,
            arrivals,
            random: Random::new(seed),
            area: 0.0,
            segment: 0,
            next_ns: None,
            count: 0,
        };
        if arrivals == Arrivals::Poisson {
            schedule.area = schedule.random.exponential();
        }
        schedule.find();
        schedule
    }

    fn find(&mut self) {
        self.next_ns = self.rate.reaches_area(self.area, &mut self.segment);
    }

    fn peek(&self) -> Option<u64> {
        self.next_ns
    }

    fn next(&mut self) -> Option<u64> {
        let due_ns = self.next_ns?;
        self.count += 1;
        self.area = match self.arrivals {
            // Counted, not added up, so that no error grows with the length of the run.
            Arrivals::Even => self.count as f64,
            Arrivals::Poisson => self.area + self.random.exponential(),
        };
        self.find();
        Some(due_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn open(rate: Profile, arrivals: Arrivals, most_queued: Option<u64>) -> Pacing {
        Pacing::Open {
            rate,
            arrivals,
            most_queued,
        }
    }

    #[test]
    fn a_constant_rate_is_due_at_equal_distances_whoever_asks() {
        let pacing = open(Profile::constant(1_000.0), Arrivals::Even, None);
        let mut pacer = pacing.pacer(2, 1);
        pacer.begin(500, u64::MAX);
        for count in 0..10 {
            assert_eq!(
                pacer.next_due_ns(count % 2, 0),
                Some(count as u64 * 1_000_000 + 500)
            );
        }
    }

    #[test]
    fn what_is_due_and_not_taken_is_the_queue() {
        let pacing = open(Profile::constant(1_000.0), Arrivals::Even, None);
        let mut pacer = pacing.pacer(1, 1);
        pacer.begin(0, u64::MAX);
        assert_eq!(pacer.queued(0, u64::MAX), 1);
        pacer.next_due_ns(0, 0);
        assert_eq!(pacer.queued(0, u64::MAX), 0);
        // Due at 0, 1, ... 10 ms; one is taken.
        assert_eq!(pacer.queued(10_000_000, u64::MAX), 10);
        // Nothing is due from the end on.
        assert_eq!(pacer.queued(20_000_000, 12_000_000), 11);
        assert_eq!(pacer.scheduled(12_000_000), Some(12));
    }

    #[test]
    fn a_queue_with_a_limit_drops_the_oldest_and_counts_them() {
        let pacing = open(Profile::constant(1_000.0), Arrivals::Even, Some(3));
        let mut pacer = pacing.pacer(1, 1);
        pacer.begin(0, u64::MAX);
        assert_eq!(pacer.next_due_ns(0, 10_000_000), Some(8_000_000));
        assert_eq!(pacer.dropped(), 8);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_their_kind() {
        let pacing = open(Profile::constant(1_000.0), Arrivals::Poisson, None);
        let mut pacer = pacing.pacer(1, 7);
        pacer.begin(0, u64::MAX);
        let times: Vec<u64> = (0..100_000)
            .map(|_| pacer.next_due_ns(0, 0).unwrap())
            .collect();
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
        let rate = times.len() as f64 * 1e9 / *times.last().unwrap() as f64;
        // The count's standard deviation is 0.32 %.
        assert!((rate / 1_000.0 - 1.0).abs() < 0.0135, "{rate}");
        let long = times
            .windows(2)
            .filter(|pair| pair[1] - pair[0] > 1_000_000)
            .count();
        let share = long as f64 / times.len() as f64;
        assert!((share - (-1.0_f64).exp()).abs() < 0.006, "{share}");
    }

    #[test]
    fn the_same_seed_is_the_same_schedule_and_another_one_another() {
        let pacing = open(Profile::constant(10.0), Arrivals::Poisson, None);
        let first = |seed| pacing.pacer(1, seed).next_due_ns(0, 0);
        assert_eq!(first(3), first(3));
        assert_ne!(first(3), first(4));
    }

    #[test]
    fn a_rate_that_ends_at_zero_is_over() {
        let rate = Profile::stages(
            10.0,
            &[(Duration::from_secs(1), 10.0), (Duration::ZERO, 0.0)],
        );
        let pacing = open(rate, Arrivals::Even, None);
        let mut pacer = pacing.pacer(1, 1);
        pacer.begin(0, u64::MAX);
        let due: Vec<u64> = std::iter::from_fn(|| pacer.next_due_ns(0, 0)).collect();
        assert_eq!(due.len(), 10);
        assert_eq!(due.last(), Some(&(9 * SECOND_NS / 10)));
    }

    #[test]
    fn users_think_between_requests_but_not_before_the_first() {
        let pacing = Pacing::Closed {
            users: None,
            think: Think::Fixed(Duration::from_millis(5)),
        };
        let mut pacer = pacing.pacer(2, 1);
        pacer.begin(0, u64::MAX);
        assert_eq!(pacer.next_due_ns(0, 70), Some(70));
        assert_eq!(pacer.next_due_ns(0, 100), Some(5_000_100));
        assert_eq!(pacer.next_due_ns(1, 100), Some(100));
    }

    #[test]
    fn uniform_pauses_stay_between_their_ends_and_use_the_room() {
        let (from, to) = (Duration::from_nanos(100), Duration::from_nanos(200));
        let mut random = Random::new(5);
        let pauses: Vec<u64> = (0..1_000)
            .map(|_| Think::Uniform(from, to).pause_ns(&mut random))
            .collect();
        assert!(pauses.iter().all(|pause| (100..=200).contains(pause)));
        assert!(pauses.iter().any(|&pause| pause < 110) && pauses.iter().any(|&pause| pause > 190));
    }

    #[test]
    fn users_come_and_go_with_their_profile() {
        let seconds = Duration::from_secs;
        let users = Profile::stages(1.0, &[(seconds(2), 3.0), (Duration::ZERO, 0.0)]);
        let pacing = Pacing::Closed {
            users: Some(users),
            think: Think::Never,
        };
        let mut pacer = pacing.pacer(4, 1);
        pacer.begin(1_000, u64::MAX);
        assert_eq!(pacer.next_due_ns(0, 1_000), Some(1_000));
        let second = pacer.next_due_ns(1, 1_000).unwrap();
        assert!(second.abs_diff(1_000) < 100, "{second}");
        let third = pacer.next_due_ns(2, 1_000).unwrap();
        assert!(third.abs_diff(SECOND_NS + 1_000) < 100, "{third}");
        assert_eq!(pacer.next_due_ns(3, 1_000), None);
        assert_eq!(pacer.next_due_ns(0, 3 * SECOND_NS), None);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(open(Profile::constant(0.0), Arrivals::Even, None)
            .check()
            .is_err());
        assert!(open(Profile::constant(5.0), Arrivals::Even, None)
            .check()
            .is_ok());
        let backwards = Think::Uniform(Duration::from_secs(2), Duration::from_secs(1));
        let closed = Pacing::Closed {
            users: None,
            think: backwards,
        };
        assert!(closed.check().is_err());
    }
}
