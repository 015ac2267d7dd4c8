//! In which order a block visits the two sides: chosen by a seeded coin, so that a run can be repeated.

use fastr_stats::Side;

use crate::random::Random;

/// The order of a block's four slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// A, B, B, A.
    Abba,
    /// B, A, A, B.
    Baab,
}

impl Order {
    /// The sides in turn.
    pub const fn sides(self) -> [Side; 4] {
        match self {
            Self::Abba => [Side::A, Side::B, Side::B, Side::A],
            Self::Baab => [Side::B, Side::A, Side::A, Side::B],
        }
    }

    /// `"abba"` or `"baab"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Abba => "abba",
            Self::Baab => "baab",
        }
    }
}

/// A seeded coin.
#[derive(Clone, Debug)]
pub(crate) struct Coin {
    random: Random,
}

impl Coin {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
        }
    }

    pub(crate) fn toss(&mut self) -> Order {
        match self.random.bits() & 1 {
            0 => Order::Abba,
            _ => Order::Baab,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tosses_the_same_and_both_orders_come_about_equally_often() {
        let tosses = |seed| {
            let mut coin = Coin::new(seed);
            (0..1_000).map(|_| coin.toss()).collect::<Vec<_>>()
        };
        assert_eq!(tosses(7), tosses(7));
        assert_ne!(tosses(7), tosses(8));
        let abba = tosses(7)
            .iter()
            .filter(|&&order| order == Order::Abba)
            .count();
        assert!((400..600).contains(&abba), "{abba}");
    }
}
