//! A quantity over time: how many requests a second are due, or how many users there are.

use std::time::Duration;

use crate::error::LoadError;

const NS: f64 = 1e9;

/// Straight lines from point to point, and from the last point on the last value for ever.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    segments: Vec<Segment>,
    last: f64,
}

/// One straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Segment {
    start_s: f64,
    length_s: f64,
    from: f64,
    to: f64,
    /// The area under all segments before this one.
    before: f64,
}

impl Profile {
    /// The same value all the time.
    pub fn constant(value: f64) -> Self {
        Self {
            segments: Vec::new(),
            last: value,
        }
    }

    /// Starts at `from` and goes to each stage's value in a straight line over its time. A stage without time is a jump.
    pub fn stages(from: f64, stages: &[(Duration, f64)]) -> Self {
        let mut segments = Vec::with_capacity(stages.len());
        let (mut start_s, mut before, mut value) = (0.0, 0.0, from);
        for &(length, to) in stages {
            let length_s = length.as_secs_f64();
            if length_s > 0.0 {
                segments.push(Segment {
                    start_s,
                    length_s,
                    from: value,
                    to,
                    before,
                });
            }
            before += length_s * (value + to) / 2.0;
            start_s += length_s;
            value = to;
        }
        Self {
            segments,
            last: value,
        }
    }

    pub(crate) fn check(&self, what: &'static str) -> Result<(), LoadError> {
        let values = self.segments.iter().flat_map(|line| [line.from, line.to]);
        let values: Vec<f64> = values.chain([self.last]).collect();
        if let Some(&value) = values.iter().find(|value| !(0.0..=1e9).contains(*value)) {
            return Err(LoadError::OutOfRange { what, value });
        }
        match values.iter().all(|&value| value == 0.0) {
            true => Err(LoadError::NothingToDo(what)),
            false => Ok(()),
        }
    }

    /// What is left behind the stages: where they end, and the area under them.
    fn tail(&self) -> (f64, f64) {
        self.segments
            .last()
            .map_or((0.0, 0.0), |line| (line.end_s(), line.before + line.area()))
    }

    /// When the area under the profile reaches `area`; None: never. `hint` is the segment of an earlier, smaller area.
    pub(crate) fn reaches_area(&self, area: f64, hint: &mut usize) -> Option<u64> {
        while let Some(line) = self.segments.get(*hint) {
            if area < line.before + line.area() {
                return Some(to_ns(line.start_s + line.time_of_area(area - line.before)));
            }
            *hint += 1;
        }
        let (end_s, before) = self.tail();
        (self.last > 0.0).then(|| to_ns(end_s + (area - before) / self.last))
    }

    /// The first time from `from_ns` on at which the profile lies above `level`; None: never.
    pub(crate) fn exceeds(&self, level: f64, from_ns: u64) -> Option<u64> {
        let from_s = from_ns as f64 / NS;
        for line in &self.segments {
            if line.end_s() <= from_s {
                continue;
            }
            let start_s = line.start_s.max(from_s);
            if line.at(start_s) > level {
                return Some(from_ns.max(to_ns(start_s)));
            }
            if line.to > level {
                let slope = (line.to - line.from) / line.length_s;
                let crossing_s = line.start_s + (level - line.from) / slope;
                // A hair later, where it lies above and not on the level.
                return Some(from_ns.max(to_ns(crossing_s) + 1));
            }
        }
        let (end_s, _) = self.tail();
        (self.last > level).then(|| from_ns.max(to_ns(end_s)))
    }
}

impl Segment {
    fn end_s(&self) -> f64 {
        self.start_s + self.length_s
    }

    fn area(&self) -> f64 {
        self.length_s * (self.from + self.to) / 2.0
    }

    fn at(&self, time_s: f64) -> f64 {
        self.from + (self.to - self.from) * (time_s - self.start_s) / self.length_s
    }

    /// How long from the start it takes to cover an area. This form of the quadratic's root needs no case for a level
    /// line, nor for one that starts at zero.
    fn time_of_area(&self, area: f64) -> f64 {
        if area <= 0.0 {
            return 0.0;
        }
        let slope = (self.to - self.from) / self.length_s;
        let root = (self.from * self.from + 2.0 * slope * area).max(0.0).sqrt();
        (2.0 * area / (self.from + root)).min(self.length_s)
    }
}

fn to_ns(seconds: f64) -> u64 {
    // A cast saturates: later than five centuries is never.
    (seconds * NS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ramp() -> Profile {
        Profile::stages(
            0.0,
            &[(2 * SECOND, 100.0), (SECOND, 100.0), (2 * SECOND, 0.0)],
        )
    }

    #[test]
    fn values_lie_on_straight_lines() {
        let ramp = ramp();
        for (line, at_s, value) in [
            (0, 0.0, 0.0),
            (0, 1.0, 50.0),
            (1, 2.5, 100.0),
            (2, 4.0, 50.0),
        ] {
            assert!(
                (ramp.segments[line].at(at_s) - value).abs() < 1e-9,
                "{at_s}"
            );
        }
        assert_eq!(ramp.tail(), (5.0, 300.0));
    }

    #[test]
    fn the_area_is_reached_when_the_integral_says() {
        let (ramp, mut hint) = (ramp(), 0);
        // 25 t^2 up to 100 at 2 s, then 100 a second, then down.
        for (area, ms) in [
            (0.0, 0),
            (25.0, 1_000),
            (100.0, 2_000),
            (150.0, 2_500),
            (200.0, 3_000),
        ] {
            let at = ramp.reaches_area(area, &mut hint).unwrap();
            assert!(at.abs_diff(ms * 1_000_000) < 1_000, "{area}: {at}");
        }
        let at = ramp.reaches_area(275.0, &mut hint).unwrap();
        assert!(at.abs_diff(4_000_000_000) < 1_000, "{at}");
        assert_eq!(ramp.reaches_area(301.0, &mut hint), None);
    }

    #[test]
    fn a_constant_reaches_areas_at_equal_steps() {
        let constant = Profile::constant(1_000.0);
        let mut hint = 0;
        for count in [0_u32, 1, 7, 1_000_000] {
            let at = constant.reaches_area(f64::from(count), &mut hint).unwrap();
            assert_eq!(at, u64::from(count) * 1_000_000);
        }
        assert_eq!(Profile::constant(0.0).reaches_area(1.0, &mut 0), None);
    }

    #[test]
    fn a_level_is_exceeded_from_its_crossing_on() {
        let ramp = ramp();
        assert!(ramp.exceeds(50.0, 0).unwrap().abs_diff(1_000_000_000) < 10);
        assert_eq!(ramp.exceeds(50.0, 1_500_000_000), Some(1_500_000_000));
        assert_eq!(ramp.exceeds(100.0, 0), None);
        assert_eq!(ramp.exceeds(60.0, 4_500_000_000), None);
        assert_eq!(Profile::constant(3.0).exceeds(2.0, 77), Some(77));
        assert_eq!(Profile::constant(3.0).exceeds(3.0, 77), None);
    }

    #[test]
    fn a_stage_without_time_is_a_jump() {
        let jump = Profile::stages(1.0, &[(SECOND, 1.0), (Duration::ZERO, 5.0)]);
        assert_eq!(jump.exceeds(2.0, 0), Some(1_000_000_000));
        assert_eq!(jump.tail(), (1.0, 1.0));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        assert!(Profile::constant(5.0).check("rate").is_ok());
        for bad in [-1.0, f64::NAN, f64::INFINITY, 2e9] {
            assert!(Profile::constant(bad).check("rate").is_err());
        }
        assert!(Profile::constant(0.0).check("rate").is_err());
        assert!(Profile::stages(0.0, &[(SECOND, 0.0)])
            .check("rate")
            .is_err());
    }
}
