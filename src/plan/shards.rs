//! A plan in parts: which run of its units each of several processes does, as a pure function of the plan and of how it is cut, and that
//! part alone as a plan.
//!
//! Sizes fall with the index: whoever starts late, is slow or has died costs the less the later that is. Rounds of one shard per slot
//! each take half of what is left, and the last round takes the rest evenly. For engines that do not start low indices first there
//! are shards of equal cost.

use std::ops::Range;

use super::file::BLOCK;
use super::{Plan, PlanFile, PlanFileError, PlanPart, Planned, Scene, Unit};

/// A plan is not cut into more.
pub const MOST_SHARDS: u32 = 1_000_000;

/// Rounds in which sizes fall; those before them, where there are more, are alike. The last of so many is 1/2048 of the first.
const FALLING: u64 = 12;

/// A shard takes at least so many times as long as to start what does it.
const LEAST_START_UPS: u64 = 3;

/// A border moves to the nearest one between scenes if that is so near, in percent of the smaller of the two shards.
const SCENE_SLACK_PERCENT: u64 = 3;

/// Into how many shards a plan is cut, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShardCut {
    /// Processes that work at a time: sizes fall by rounds of so many. None for shards of equal cost.
    pub slots: Option<u32>,
    /// Number of shards.
    pub count: u32,
}

/// Some units that follow each other, and what they are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The units.
    pub units: Range<usize>,
    /// The scenes that they touch.
    pub scenes: Range<usize>,
    /// Those of them of which other units lie elsewhere: at most the first and the last.
    pub cut: Vec<usize>,
    /// What the units cost, in millions of floating-point operations.
    pub cost: u64,
}

impl ShardCut {
    /// As many shards as keep so many slots at work to the end, none of which takes less than three start-ups.
    pub fn usual(total: u64, startup_cost: u64, slots: u32) -> Self {
        let wide = u64::from(slots.max(1));
        let least = startup_cost.saturating_mul(LEAST_START_UPS).max(1);
        let is_worth = |round: &u64| (total / (2 * wide)) >> round >= least;
        let rounds = (0..FALLING - 1).take_while(is_worth).count() as u64 + 1;
        let fewest = (total / least).clamp(1, wide);
        let count = if rounds == 1 { fewest } else { wide * rounds };
        Self { slots: Some(slots), count: u32::try_from(count).unwrap_or(MOST_SHARDS).min(MOST_SHARDS) }
    }

    /// Cost before the shard of this index, where all cost so much.
    fn before(self, index: u32, total: u64) -> u64 {
        let (count, index) = (u128::from(self.count.max(1)), u128::from(index.min(self.count)));
        let slots = u128::from(self.slots.unwrap_or(u32::MAX).max(1));
        let rounds = count / slots;
        let share = |part: u128, of: u128| u64::try_from(u128::from(total) * part / of).unwrap_or(u64::MAX);
        if rounds < 2 {
            return share(index, count);
        }
        // In shards of the first round: rounds that are alike, then some that fall, which with the last take two rounds' worth.
        let halved = rounds.min(u128::from(FALLING)) - 1;
        let alike = rounds - 1 - halved;
        let last = count - slots * (rounds - 1);
        let all = (slots * (alike + 2)) << halved;
        let done = match index.checked_sub(slots * alike) {
            None => (index << halved) * last,
            Some(falling) if falling < slots * halved => {
                let (round, at) = (falling / slots, falling % slots);
                let before = all - ((2 * slots) << (halved - round));
                (before + (at << (halved - round))) * last
            }
            Some(falling) => (all - 2 * slots) * last + (falling - slots * halved) * 2 * slots,
        };
        share(done, all * last)
    }
}

impl PlanFile {
    /// The units of a shard. Only the blocks around its two borders are read. Where there are more shards than units, some are empty; the
    /// first is not.
    ///
    /// # Errors
    /// When there is no such shard, the file cannot be read, or is not what was written.
    pub fn shard(&mut self, cut: &ShardCut, index: u32) -> Result<Range<usize>, PlanFileError> {
        if index >= cut.count || cut.count > MOST_SHARDS {
            let (path, count) = (self.path().to_owned(), cut.count);
            return Err(PlanFileError::Shard { path, index, count });
        }
        Ok(self.border(*cut, index)?..self.border(*cut, index + 1)?)
    }

    /// The unit that a shard begins with.
    fn border(&mut self, cut: ShardCut, index: u32) -> Result<usize, PlanFileError> {
        if index == 0 || index >= cut.count {
            return Ok(if index == 0 { 0 } else { self.n_units() });
        }
        let total = self.cost();
        let [before, wanted, behind] = [index - 1, index, index + 1].map(|index| cut.before(index, total));
        let slack = (wanted - before).min(behind - wanted).saturating_mul(SCENE_SLACK_PERCENT) / 100;
        // Of blended tiles those above a border would be run on both of its sides.
        let is_blended = !self.head().pipeline.tiling.blend.is_none();
        let nearest = match self.scene_border(wanted, if is_blended { u64::MAX } else { slack })? {
            Some(border) => border,
            None => self.unit_border(wanted)?,
        };
        let mut border = nearest.max(1).min(self.n_units());
        // The first shard has a unit, and so all of its scene.
        while is_blended && !self.is_scene_border(border)? {
            border += 1;
        }
        Ok(border)
    }

    /// The unit in which so much has been spent, and what those before it cost.
    fn unit_at(&mut self, cost: u64) -> Result<(usize, u64), PlanFileError> {
        let block = self.block_at(cost);
        let mut before = self.cost_before(block);
        if block * BLOCK >= self.n_units() {
            return Ok((self.n_units(), before));
        }
        let units = self.block(block)?;
        let mut at = 0;
        while let Some((_, own)) = units.get(at).filter(|(_, own)| before.saturating_add(*own) <= cost) {
            (at, before) = (at + 1, before + own);
        }
        Ok((block * BLOCK + at, before))
    }

    /// The border between units that is nearest to a cost.
    fn unit_border(&mut self, wanted: u64) -> Result<usize, PlanFileError> {
        let (unit, before) = self.unit_at(wanted)?;
        if unit >= self.n_units() {
            return Ok(unit);
        }
        let (_, own) = self.unit_with_cost(unit)?;
        Ok(if before + own - wanted < wanted - before { unit + 1 } else { unit })
    }

    /// The border between scenes that is nearest to a cost, if it is no farther away than that.
    fn scene_border(&mut self, wanted: u64, slack: u64) -> Result<Option<usize>, PlanFileError> {
        let (start, before) = self.unit_at(wanted)?;
        let (mut unit, mut cost, mut below) = (start, before, None);
        while wanted - cost <= slack {
            if self.is_scene_border(unit)? {
                below = Some((wanted - cost, unit));
                break;
            }
            unit -= 1;
            cost -= self.unit_with_cost(unit)?.1;
        }
        let (mut unit, mut cost) = (start, before);
        let nearer = below.map_or(slack.saturating_add(1), |(far, _)| far);
        while unit < self.n_units() {
            cost += self.unit_with_cost(unit)?.1;
            unit += 1;
            if cost - wanted >= nearer {
                break;
            }
            if self.is_scene_border(unit)? {
                return Ok(Some(unit));
            }
        }
        Ok(below.map(|(_, unit)| unit))
    }

    /// The scene in which half of all has been spent; none where there is no unit.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what was written.
    pub fn middle(&mut self) -> Result<Option<Scene>, PlanFileError> {
        let (unit, _) = self.unit_at(self.cost() / 2)?;
        if unit >= self.n_units() {
            return Ok(None);
        }
        let scene = self.unit_with_cost(unit)?.0.scenes().start;
        Ok(self.scenes(scene..scene + 1)?.pop())
    }

    /// Whether no scene has units on both sides.
    fn is_scene_border(&mut self, unit: usize) -> Result<bool, PlanFileError> {
        if unit == 0 || unit >= self.n_units() {
            return Ok(true);
        }
        let (before, _) = self.unit_with_cost(unit - 1)?;
        let (behind, _) = self.unit_with_cost(unit)?;
        Ok(before.scenes().end <= behind.scenes().start)
    }

    fn unit_with_cost(&mut self, unit: usize) -> Result<(Unit, u64), PlanFileError> {
        let found = self.block(unit / BLOCK)?.get(unit % BLOCK).copied();
        let (n, asked) = (self.n_units(), unit..unit + 1);
        found.ok_or_else(|| PlanFileError::Range { path: self.path().to_owned(), what: "units", n, asked })
    }

    /// What the units before this one cost.
    fn cost_up_to(&mut self, unit: usize) -> Result<u64, PlanFileError> {
        let (block, at) = (unit / BLOCK, unit % BLOCK);
        let before = self.cost_before(block);
        if at == 0 {
            return Ok(before);
        }
        Ok(before + self.block(block)?.iter().take(at).map(|(_, cost)| cost).sum::<u64>())
    }

    /// What some units are about. Only the blocks around the two ends are read.
    ///
    /// # Errors
    /// When the plan has no such units, the file cannot be read, or is not what was written.
    pub fn stretch(&mut self, units: Range<usize>) -> Result<Stretch, PlanFileError> {
        self.check("units", self.n_units(), &units)?;
        let cost = self.cost_up_to(units.end)? - self.cost_up_to(units.start)?;
        if units.is_empty() {
            return Ok(Stretch { units, scenes: 0..0, cut: Vec::new(), cost });
        }
        let (first, last) = (self.unit_with_cost(units.start)?.0, self.unit_with_cost(units.end - 1)?.0);
        let scenes = first.scenes().start..last.scenes().end;
        let ends = [(units.start, scenes.start), (units.end, scenes.end - 1)];
        let mut cut = Vec::new();
        for (border, scene) in ends {
            if !self.is_scene_border(border)? && !cut.contains(&scene) {
                cut.push(scene);
            }
        }
        Ok(Stretch { units, scenes, cut, cost })
    }

    /// Some units as a plan of their own, with the scenes that they touch and no others; these are counted from 0 there. What was refused in
    /// planning comes with those units that begin with the first.
    ///
    /// # Errors
    /// As [`Self::stretch`].
    pub fn part(&mut self, units: Range<usize>) -> Result<Planned, PlanFileError> {
        let Stretch { units, scenes, cut, .. } = self.stretch(units)?;
        let first_scene = scenes.start;
        let own_units = self.units(units.clone())?.into_iter().map(|unit| unit.counted_from(first_scene)).collect();
        let (refused, [ignored, outside]) = if units.start == 0 { self.left_out()? } else { Default::default() };
        let part = PlanPart {
            whole: self.digest().to_owned(),
            n_units: self.n_units(),
            units,
            first_scene,
            cut: cut.into_iter().map(|scene| scene - first_scene).collect(),
        };
        let scenes = self.scenes(scenes)?;
        let plan = Plan { part: Some(part), scenes, units: own_units, ..self.head().clone() };
        Ok(Planned { plan, refused, ignored, outside, parts: 0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sizes(slots: Option<u32>, count: u32, total: u64) -> Vec<u64> {
        let cut = ShardCut { slots, count };
        (0..count).map(|index| cut.before(index + 1, total) - cut.before(index, total)).collect()
    }

    #[test]
    fn rounds_of_one_per_slot_take_half_of_what_is_left_and_the_last_takes_the_rest() {
        assert_eq!(sizes(Some(2), 8, 1600), [400, 400, 200, 200, 100, 100, 100, 100]);
        // What does not make a round goes into the last one.
        assert_eq!(sizes(Some(2), 7, 1200), [300, 300, 150, 150, 100, 100, 100]);
        assert_eq!(sizes(Some(4), 7, 700), [100; 7]);
        assert_eq!(sizes(None, 5, 1000), [200; 5]);
        assert_eq!(sizes(Some(1), 1, 7), [7]);
        // Very many rounds begin alike.
        let many = sizes(Some(1), 20, (8 + 2) << 20);
        assert_eq!(many[..9], [1 << 20; 9]);
        assert_eq!((many[9], many[18], many[19]), (1 << 19, 1 << 10, 1 << 10));
    }

    #[test]
    fn there_are_as_many_as_take_three_start_ups_each() {
        let count = |total, start_up, slots| ShardCut::usual(total, start_up, slots).count;
        assert_eq!(ShardCut::usual(1600, 33, 2), ShardCut { slots: Some(2), count: 8 });
        assert_eq!([count(1600, 34, 2), count(1600, 100, 2), count(1600, 134, 2)], [6, 4, 2]);
        // Little work does not need every slot, and none needs one.
        assert_eq!([count(1600, 100, 16), count(200, 100, 16), count(0, 100, 16)], [5, 1, 1]);
        assert_eq!(count(u64::MAX, 0, 4), 48);
        assert_eq!(count(u64::MAX, 0, u32::MAX), MOST_SHARDS);
    }

    proptest! {
        #[test]
        fn sizes_add_up_and_never_grow(slots in 1u32..400, count in 1u32..4000, total in 0u64..1 << 60) {
            let falling = sizes(Some(slots), count, total);
            prop_assert_eq!(falling.iter().sum::<u64>(), total);
            // To the nearest whole.
            prop_assert!(falling.windows(2).all(|pair| pair[1] <= pair[0].saturating_add(1)));
            let alike = sizes(None, count, total);
            prop_assert_eq!(alike.iter().sum::<u64>(), total);
            prop_assert!(alike.iter().all(|size| size.abs_diff(total / u64::from(count)) <= 1));
        }

        #[test]
        fn the_usual_shards_take_three_start_ups(slots in 1u32..400, start_up in 1u64..1 << 30, total in 0u64..1 << 50) {
            let cut = ShardCut::usual(total, start_up, slots);
            let least = sizes(cut.slots, cut.count, total).into_iter().min().unwrap_or(0);
            prop_assert!(cut.count == 1 || least + 1 >= 3 * start_up, "{cut:?} {least}");
        }
    }
}
