//! The paired run: two servers under load in turn, in short slices, four to a block.
//!
//! Only one side has requests in flight at any time, and a slice includes its drain. What this gives is plain
//! totals per block; what they mean is for `fastr-stats` to say.

use fastr_stats::{Block, ChunkPair, Side, SideTotals, MIN_BLOCKS};

use crate::clock::{as_ns, Clock};
use crate::control::{Control, Phase, Ticker};
use crate::error::LoadError;
use crate::generator::{GeneratorCheck, GeneratorWatch};
use crate::order::{Coin, Order};
use crate::placement::OneCore;
use crate::plan::{PairedPlan, Target};
use crate::player::{Player, SideResult};

/// How many times the planned load time may be used where its blocks are too few.
const MOST_EXTENDED: u64 = 4;

/// What a paired run has shown.
#[derive(Clone, Debug)]
pub struct PairedResult {
    /// The blocks in which no request failed, in their order.
    pub blocks: Vec<Block>,
    /// The order of slices of each of these blocks.
    pub orders: Vec<Order>,
    /// Blocks in which a request failed; their outcomes are counted in `sides` all the same.
    pub discarded_blocks: usize,
    /// Response times of runs of consecutive blocks.
    pub chunks: Vec<ChunkPair>,
    /// Each side in all.
    pub sides: [SideResult; 2],
    /// How the generator fared.
    pub generator: GeneratorCheck,
    /// The core that the generator and both servers shared. None: the system placed them.
    pub core: Option<usize>,
    /// A server was dead, or connecting again and again took far longer than the load, so that the run ended before its time.
    pub ended_early: bool,
}

/// Loads two servers in turn, block by block, until the plan's load time is used up. Where that gives fewer blocks than an
/// estimate needs, it goes on, for four times as long at most.
pub fn run_paired(
    targets: &[Target; 2],
    plan: &PairedPlan,
    control: &mut dyn Control,
) -> Result<PairedResult, LoadError> {
    plan.check()?;
    let clock = Clock::start();
    let planned_ns = as_ns(plan.per_side).saturating_mul(2);
    let mut ticker = Ticker::new(control, Phase::Slices, planned_ns);
    let mut paired = Paired {
        a: Player::new(Side::A, &targets[0], plan, clock)?,
        b: Player::new(Side::B, &targets[1], plan, clock)?,
        clock,
        blocks: Vec::new(),
        orders: Vec::new(),
        discarded_blocks: 0,
        chunks: Vec::new(),
        last: None,
    };
    let roots = [targets[0].pids.as_slice(), &targets[1].pids].concat();
    let placed = plan.core_turn.and_then(|turn| OneCore::pin(&roots, turn));
    paired.calibrate(plan, &mut ticker)?;
    let watch = GeneratorWatch::start();
    let ended_early = paired.play(plan, planned_ns, &mut ticker)?;
    let generator = watch.finish(0);
    Ok(PairedResult {
        blocks: paired.blocks,
        orders: paired.orders,
        discarded_blocks: paired.discarded_blocks,
        chunks: paired.chunks,
        sides: [paired.a.finish(), paired.b.finish()],
        generator,
        core: placed.map(|placed| placed.core()),
        ended_early,
    })
}

/// A paired run that is going on.
struct Paired<'p> {
    a: Player<'p>,
    b: Player<'p>,
    clock: Clock,
    blocks: Vec<Block>,
    orders: Vec<Order>,
    discarded_blocks: usize,
    chunks: Vec<ChunkPair>,
    /// Whose slice the last one was.
    last: Option<Side>,
}

impl Paired<'_> {
    /// Finds how many connections a round can have. Sides that ask for the same number keep the same.
    fn calibrate(&mut self, plan: &PairedPlan, ticker: &mut Ticker<'_>) -> Result<(), LoadError> {
        let alike = plan.connections[0] == plan.connections[1];
        self.a.calibrate(plan.max_round, ticker, self.b.tally())?;
        if alike {
            self.b.keep(self.a.connections());
        }
        self.b.calibrate(plan.max_round, ticker, self.a.tally())?;
        if alike {
            self.a.keep(self.b.connections());
        }
        self.a.begin();
        self.b.begin();
        Ok(())
    }

    /// Plays blocks until the load time is used up, and says whether it had to end before.
    fn play(
        &mut self,
        plan: &PairedPlan,
        planned_ns: u64,
        ticker: &mut Ticker<'_>,
    ) -> Result<bool, LoadError> {
        let mut coin = Coin::new(plan.seed);
        let chunks = plan.chunks as u64;
        let patience_ns = planned_ns
            .saturating_mul(3)
            .saturating_add(as_ns(plan.request_timeout + plan.connect_timeout).saturating_mul(2));
        let started_ns = self.clock.now_ns();
        let mut ended_early = false;
        while !ended_early && self.is_wanting(planned_ns) {
            let whole = self.block(coin.toss(), ticker)?;
            ended_early = !whole || self.clock.now_ns() - started_ns > patience_ns;
            let due = u128::from(self.load_ns()) * u128::from(chunks) / u128::from(planned_ns);
            if due > self.chunks.len() as u128 && (self.chunks.len() as u64) < chunks {
                self.end_chunk();
            }
        }
        self.end_chunk();
        Ok(ended_early)
    }

    /// Whether load time is left, or more of it is needed for as many blocks as an estimate takes.
    fn is_wanting(&self, planned_ns: u64) -> bool {
        let load_ns = self.load_ns();
        let too_few = self.blocks.len() + self.discarded_blocks < MIN_BLOCKS;
        load_ns < planned_ns || (too_few && load_ns < planned_ns.saturating_mul(MOST_EXTENDED))
    }

    fn load_ns(&self) -> u64 {
        self.a.load_ns() + self.b.load_ns()
    }

    /// Plays one block. False: a server is dead.
    fn block(&mut self, order: Order, ticker: &mut Ticker<'_>) -> Result<bool, LoadError> {
        let mut totals = [SideTotals::default(); 2];
        let mut failed = 0;
        let mut whole = true;
        let cpu_before = [self.a.read_cpu(), self.b.read_cpu()];
        for side in order.sides() {
            let (player, other) = match side {
                Side::A => (&mut self.a, &mut self.b),
                Side::B => (&mut self.b, &mut self.a),
            };
            // Straight after its own slice a side may still be cleaning up, which belongs to its requests.
            let rested = self.last == Some(side);
            let idle = rested.then(|| other.read_cpu());
            let slice = player.slice(ticker, other.tally())?;
            if let Some(before) = idle {
                other.end_idle(before, slice.wall_ns);
            }
            self.last = Some(side);
            let side_totals = &mut totals[side as usize];
            side_totals.requests += slice.totals.ok;
            side_totals.wall_ns += slice.wall_ns;
            failed += slice.totals.failed;
            if player.is_dead() {
                whole = false;
                break;
            }
            let own = player.tally();
            ticker.pause(self.clock, own)?;
        }
        let cpu_after = [self.a.read_cpu(), self.b.read_cpu()];
        let sound = whole && failed == 0;
        for (side, player) in [&mut self.a, &mut self.b].into_iter().enumerate() {
            let cpu_ns = cpu_before[side]
                .zip(cpu_after[side])
                .map(|(before, after)| after - before);
            totals[side].cpu_ns = cpu_ns.unwrap_or_default();
            player.end_block(cpu_ns, sound);
        }
        if sound {
            let [a, b] = totals;
            self.blocks.push(Block { a, b });
            self.orders.push(order);
        } else {
            self.discarded_blocks += 1;
        }
        Ok(whole)
    }

    fn end_chunk(&mut self) {
        let (a, b) = (self.a.take_chunk(), self.b.take_chunk());
        if !a.buckets.is_empty() && !b.buckets.is_empty() {
            self.chunks.push(ChunkPair { a, b });
        }
    }
}
