//! Forward passes: which there are, in which order their logits are summed, and which go first when time is short.

use serde::{Deserialize, Serialize};

use super::{MemberPlan, Plan};

/// How the input is turned before the network sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// As it is.
    Identity,
}

/// A forward pass: one member on one view. Units, sums, stored logits and times go by its position among [`Plan::passes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pass {
    /// Index of the member.
    pub member: usize,
    /// The view.
    pub view: View,
}

/// Every pass of these members, in the order of summation: member, then view. (a + b) + (c + d) is not ((a + b) + c) + d in f32.
pub(super) fn passes(members: &[MemberPlan]) -> Vec<Pass> {
    (0..members.len()).map(|member| Pass { member, view: View::Identity }).collect()
}

/// The passes, the dispensable ones first: turned views, which only refine what a member says, before any member's own; of each kind
/// the last first.
pub(super) fn dispensable(passes: &[Pass]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..passes.len()).rev().collect();
    order.sort_by_key(|pass| passes[*pass].view == View::Identity);
    order
}

impl Plan {
    /// Each pass's share in the sum: its member's weight, spread over the member's views. All of them sum to 1.
    pub fn shares(&self) -> Vec<f32> {
        let members = self.pipeline.shares();
        let n_views = |member: usize| self.passes.iter().filter(|pass| pass.member == member).count();
        self.passes.iter().map(|pass| members[pass.member] / n_views(pass.member) as f32).collect()
    }

    /// The passes in the order in which a deadline keeps them: whatever it gives up, the first of these stay.
    pub fn kept_first(&self) -> impl Iterator<Item = usize> + '_ {
        self.dispensable.iter().rev().copied()
    }

    /// The passes that stay where only so many do, but at least one, ascending.
    pub fn keeping(&self, n_passes: usize) -> Vec<usize> {
        let mut kept: Vec<usize> = self.kept_first().take(n_passes.max(1)).collect();
        kept.sort_unstable();
        kept
    }

    /// The members that these passes belong to, by name, each once.
    pub fn members_of(&self, passes: &[usize]) -> Vec<String> {
        let mut members: Vec<usize> = passes.iter().map(|pass| self.passes[*pass].member).collect();
        members.dedup();
        members.into_iter().map(|member| self.members[member].member.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_member_goes_first() {
        let passes: Vec<Pass> = (0..3).map(|member| Pass { member, view: View::Identity }).collect();
        assert_eq!(dispensable(&passes), [2, 1, 0]);
    }
}
