//! What a plan takes of GPUs' memory, and which change of it takes less.

use std::collections::BTreeMap;

use super::{Assignment, BackendKind, Pass, Plan, Scene, Schedule};
use crate::config::Batch;

/// What a worker holds on its GPU whatever it runs: the context of CUDA, kernels, workspaces of cuDNN and cuBLAS. A guess on the high side.
const CONTEXT: u64 = 512 << 20;

/// What may be changed so that a plan takes less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roomier {
    /// Crops per pass, where that is other than planned.
    pub batch: Option<u32>,
    /// Whether each device holds as few members as possible.
    pub partition: bool,
    /// Bytes of the GPU that takes most.
    pub bytes: u64,
}

impl Plan {
    /// Bytes of the GPU that takes most: every worker on it has weights and activations of its own. None without a GPU.
    pub fn gpu_bytes(&self, schedule: &Schedule) -> Option<u64> {
        self.gpu_bytes_with(None, schedule, &schedule.assignment, &self.a_scene_of_each_crop())
    }

    /// The first of these that fits into so much memory: fewer crops per pass, then members spread over the devices, then both. None where
    /// not even that does.
    pub fn roomier(&self, schedule: &Schedule, memory: u64) -> Option<Roomier> {
        let costs: Vec<u64> = self.members.iter().map(|m| m.member.spec.macs()[0].max(1)).collect();
        let spread = Assignment::partition(schedule.devices.len(), &costs);
        let scenes = self.a_scene_of_each_crop();
        let largest = scenes.iter().map(|scene| self.batch(scene.grid.crop())).max().unwrap_or(1);
        let batches = || std::iter::once(None).chain((1..largest).rev().map(Some));
        let ways = [(false, &schedule.assignment), (true, &spread)];
        let mut ways =
            ways.into_iter().flat_map(|(partition, how)| batches().map(move |batch| (batch, partition, how)));
        ways.find_map(|(batch, partition, assignment)| {
            let bytes = self.gpu_bytes_with(batch, schedule, assignment, &scenes)?;
            (bytes <= memory).then_some(Roomier { batch, partition, bytes })
        })
    }

    fn gpu_bytes_with(
        &self,
        batch: Option<u32>,
        schedule: &Schedule,
        assignment: &Assignment,
        scenes: &[Scene],
    ) -> Option<u64> {
        let mut gpus: BTreeMap<usize, u64> = BTreeMap::new();
        let all: Vec<usize> = (0..self.members.len()).collect();
        let activations = |held: &[usize], passes: bool| self.part(held, passes, batch, scenes).activation_bytes();
        for (idx, device) in schedule.devices.iter().enumerate() {
            let Some(gpu) = device.gpu() else { continue };
            let held = assignment.held_by(idx);
            let weights: u64 = held.iter().map(|member| self.members[*member].weights_bytes()).sum();
            let weights = if self.backend == BackendKind::Torch { weights } else { 0 };
            // Who combines what several ran has all their logits, and runs nothing.
            let combines = idx == 0 && assignment.groups().len() > 1;
            let combined = || activations(&all, true) - activations(&all, false).min(activations(&all, true));
            *gpus.entry(gpu).or_default() +=
                CONTEXT + weights + activations(&held, true) + if combines { combined() } else { 0 };
        }
        gpus.into_values().max()
    }

    /// The plan of some members, as far as it says what a device holds; without their passes no logits are kept.
    fn part(&self, held: &[usize], passes: bool, batch: Option<u32>, scenes: &[Scene]) -> Self {
        let mut part = Self { scenes: scenes.to_vec(), ..self.head() };
        part.pipeline.batch = batch.map_or(part.pipeline.batch, Batch::Tiles);
        part.members = held.iter().map(|member| self.members[*member].clone()).collect();
        let of_part = |pass: &Pass| Some(Pass { member: held.iter().position(|m| *m == pass.member)?, ..*pass });
        part.passes = self.passes.iter().filter_map(of_part).filter(|_| passes).collect();
        part
    }

    fn a_scene_of_each_crop(&self) -> Vec<Scene> {
        let crops: BTreeMap<_, _> = self.scenes.iter().map(|scene| (scene.grid.crop(), scene)).collect();
        crops.into_values().cloned().collect()
    }
}
