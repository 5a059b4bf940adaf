//! Forward passes: which there are, in which order their logits are summed, and which go first when time is short.

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::geom::View;

/// A forward pass: one member on one view. Units, sums, stored logits and times go by its position among [`Plan::passes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pass {
    /// Index of the member.
    pub member: usize,
    /// How the member sees a tile.
    pub view: View,
}

/// Every pass of so many members, in the order of summation: member, then view. (a + b) + (c + d) is not ((a + b) + c) + d in f32.
pub(super) fn passes(n_members: usize, views: &[View]) -> Vec<Pass> {
    (0..n_members).flat_map(|member| views.iter().map(move |view| Pass { member, view: *view })).collect()
}

/// What each pass counts in a sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// Per pass: its member, and that one's weight among all members.
    weights: Vec<(usize, f32)>,
}

impl Shares {
    /// Passes that are each all of a member of this weight.
    pub fn of_members(weights: impl IntoIterator<Item = f32>) -> Self {
        Self { weights: weights.into_iter().enumerate().collect() }
    }

    /// The shares of those passes that are summed: a member's weight is spread over the views that it has seen. Where all passes are, they
    /// sum to 1.
    pub fn of(&self, passes: &[usize]) -> Vec<f32> {
        let share = |pass: &usize| {
            let (member, weight) = self.weights[*pass];
            weight / passes.iter().filter(|other| self.weights[**other].0 == member).count() as f32
        };
        passes.iter().map(share).collect()
    }

    /// The member of a pass.
    pub fn member_of(&self, pass: usize) -> usize {
        self.weights[pass].0
    }

    /// The members of those passes, in the order in which they come: the weight of each, and where its passes are among these.
    pub fn members(&self, passes: &[usize]) -> Vec<(f32, Vec<usize>)> {
        let mut members: Vec<(usize, f32, Vec<usize>)> = Vec::new();
        for (at, pass) in passes.iter().enumerate() {
            let (member, weight) = self.weights[*pass];
            match members.iter_mut().find(|(own, ..)| *own == member) {
                Some((.., places)) => places.push(at),
                None => members.push((member, weight, vec![at])),
            }
        }
        members.into_iter().map(|(_, weight, places)| (weight, places)).collect()
    }
}

/// The passes, the dispensable ones first: turned views, which only refine what a member says, before any member's own; of each kind
/// the last first.
pub(super) fn dispensable(passes: &[Pass]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..passes.len()).rev().collect();
    order.sort_by_key(|pass| passes[*pass].view == View::Identity);
    order
}

impl Plan {
    /// What each pass counts.
    pub fn shares(&self) -> Shares {
        let members = self.pipeline.shares();
        Shares { weights: self.passes.iter().map(|pass| (pass.member, members[pass.member])).collect() }
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

    /// What passes are called where a person reads it: by their members, and by the view where it is turned.
    pub fn names_of(&self, passes: &[usize]) -> Vec<String> {
        let name = |pass: &usize| {
            let Pass { member, view } = self.passes[*pass];
            let member = &self.members[member].member.name;
            if view == View::Identity { member.clone() } else { format!("{member} {}", view.name()) }
        };
        passes.iter().map(name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turned_views_go_first_and_the_last_member() {
        let of_views = |views: &[View]| dispensable(&passes(2, views));
        assert_eq!(of_views(&[View::Identity]), [1, 0]);
        assert_eq!(of_views(&[View::Hflip, View::Identity, View::Rot90]), [5, 3, 2, 0, 4, 1]);
    }

    #[test]
    fn a_members_weight_is_spread_over_the_views_it_has_seen() {
        let shares = Shares { weights: vec![(0, 0.75), (0, 0.75), (1, 0.25), (1, 0.25)] };
        assert_eq!(shares.of(&[0, 1, 2, 3]), [0.375, 0.375, 0.125, 0.125]);
        assert_eq!(shares.of(&[0, 1, 2]), [0.375, 0.375, 0.25]);
        assert_eq!(shares.of(&[3]), [0.25]);
        assert_eq!(shares.members(&[0, 1, 3]), [(0.75, vec![0, 1]), (0.25, vec![2])]);
    }
}
