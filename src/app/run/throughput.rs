//! How fast earlier runs were on this machine: where the time in a plan comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::app::cache;
use crate::atomic;
use crate::plan::{BackendKind, Plan, Schedule};

/// Megapixels per second through the networks, by what ran where.
type Speeds = BTreeMap<String, f64>;

/// A run shorter than this says nothing about the next.
const SHORTEST_SECONDS: f64 = 2.0;

fn file() -> Option<PathBuf> {
    cache::path("throughput.json")
}

fn stored() -> Speeds {
    let text = file().and_then(|path| std::fs::read(path).ok());
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn key(plan: &Plan, schedule: &Schedule) -> String {
    let members = plan.members.iter().map(|m| format!("{} {:?}", m.member.spec, m.resolved_precision));
    let mut members = members.collect::<Vec<_>>().join(" + ");
    if plan.pipeline.views.len() > 1 {
        members += &format!(" in {} views", plan.pipeline.views.len());
    }
    format!("{:?} on {} x {}: {members}", plan.backend, schedule.devices.len(), plan.device_class)
}

/// The last measurement of such a run, in megapixels per second.
pub(in crate::app) fn recall(plan: &Plan, schedule: &Schedule) -> Option<f64> {
    stored().get(&key(plan, schedule)).copied().filter(|speed| *speed > 0.0)
}

/// Keeps a measurement, unless nothing was run. What cannot be kept is not worth an error: the next plan says "unknown".
pub(in crate::app) fn remember(plan: &Plan, schedule: &Schedule, network_pixels: u64, seconds: f64) {
    let says_something = seconds >= SHORTEST_SECONDS && plan.backend != BackendKind::Null;
    let Some(file) = file().filter(|_| says_something) else { return };
    let mut speeds = stored();
    speeds.insert(key(plan, schedule), network_pixels as f64 / 1e6 / seconds);
    if let Ok(text) = serde_json::to_vec_pretty(&speeds) {
        drop(atomic::write(&file, &text));
    }
}
