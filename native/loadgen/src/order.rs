//! In which order a block visits the two sides: chosen by a seeded coin, so that a run can be repeated.

use fastr_stats::Side;

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

/// A seeded coin: splitmix64, of which one bit a throw is used.
#[derive(Clone, Debug)]
pub(crate) struct Coin {
    state: u64,
}

impl Coin {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn toss(&mut self) -> Order {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        match (mixed ^ (mixed >> 31)) & 1 {
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
