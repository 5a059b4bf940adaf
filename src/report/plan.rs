//! What `swath plan` shows.

use std::fmt::Write;

use serde::Serialize;

use super::BudgetReport;
use super::words::time;
use crate::config::format_bytes;

/// Refused scenes that the text lists; the JSON has all.
const LISTED: usize = 20;

/// A plan and a schedule, summed up.
#[derive(Clone, Debug, Serialize)]
pub struct PlanDocument {
    /// SHA-256 of the plan: equal plans give equal bytes.
    pub plan: String,
    /// Versions of what can change a byte.
    pub versions: Vec<(&'static str, String)>,
    /// Scenes that will be segmented.
    pub scenes: Vec<PlannedScene>,
    /// Scenes that will not.
    pub refused: Vec<RefusedScene>,
    /// Files that are no scenes.
    pub ignored: u64,
    /// Units of work.
    pub units: u64,
    /// Tiles.
    pub tiles: u64,
    /// Pixels of all scenes.
    pub pixels: u64,
    /// Pixels that the networks see.
    pub network_pixels: u64,
    /// Share of those that ends in no mask.
    pub waste_percent: f64,
    /// The ensemble.
    pub members: Vec<PlannedMember>,
    /// Devices by name.
    pub devices: Vec<String>,
    /// Reader threads.
    pub readers: usize,
    /// Memory of the machine.
    pub memory: BudgetReport,
    /// Memory of each GPU; `None` without one.
    pub gpu_memory: Option<u64>,
    /// The most that the outputs can take.
    pub disk: u64,
    /// Bytes free there, where the system tells.
    pub disk_free: Option<u64>,
    /// Seconds by the speed of the last such run on this machine; `None` where there was none.
    pub seconds: Option<f64>,
    /// Existing files at output names that `--overwrite` would replace.
    pub foreign: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A scene of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedScene {
    /// The file.
    pub file: String,
    /// The page of it, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Name of its outputs.
    pub name: String,
    /// Width and height.
    pub size: [u32; 2],
    /// Tiles.
    pub tiles: u64,
    /// What each tile owns.
    pub centre: [u32; 2],
    /// Ring around it.
    pub dilation: u32,
    /// Share of its network pixels that ends in no mask.
    pub waste_percent: f64,
}

/// A scene that cannot be planned.
#[derive(Clone, Debug, Serialize)]
pub struct RefusedScene {
    /// The file.
    pub file: String,
    /// Why.
    pub cause: String,
}

/// A member of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedMember {
    /// Its name.
    pub name: String,
    /// Its network.
    pub network: String,
    /// Arithmetic.
    pub precision: String,
    /// Share in the mean.
    pub share: f32,
    /// Trained values.
    pub parameters: u64,
    /// SHA-256 of its weights, or the seed.
    pub digest: String,
}

impl PlanDocument {
    /// The document for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let mut line = |s: String| writeln!(text, "{s}").unwrap_or_default();
        line(format!("plan        {}", self.plan));
        line(format!(
            "scenes      {} to segment ({:.1} Mpx), {} refused, {} other files ignored",
            self.scenes.len(),
            self.pixels as f64 / 1e6,
            self.refused.len(),
            self.ignored
        ));
        for refused in self.refused.iter().take(LISTED) {
            line(format!("  refused   {}: {}", refused.file, refused.cause));
        }
        if self.refused.len() > LISTED {
            line(format!("  ... and {} more: --json has all", self.refused.len() - LISTED));
        }
        line(format!(
            "tiles       {} in {} units; {:.1} Mpx through each network, {:.1} % of it ring and padding",
            self.tiles,
            self.units,
            self.network_pixels as f64 / 1e6,
            self.waste_percent
        ));
        for m in &self.members {
            let millions = m.parameters as f64 / 1e6;
            let digest = m.digest.get(..12).unwrap_or(&m.digest);
            line(format!(
                "  member    {}: {} ({millions:.1} M), {}, share {:.3}, {digest}",
                m.name, m.network, m.precision, m.share
            ));
        }
        line(format!("devices     {}; {} readers", self.devices.join(", "), self.readers));
        line(format!("RAM         {}", self.memory.reservation()));
        line(format!(
            "VRAM        {}",
            self.gpu_memory.map_or("none".into(), |b| format!("{} on each GPU", format_bytes(b)))
        ));
        let free = self.disk_free.map_or_else(String::new, |free| format!(", {} free", format_bytes(free)));
        line(format!("disk        {} at most{free}", format_bytes(self.disk)));
        line(match self.seconds {
            Some(seconds) => {
                format!("time        about {}, by the speed of the last such run on this machine", time(seconds))
            }
            None => "time        unknown: no such run on this machine yet; `swath run` with this pipeline measures it"
                .into(),
        });
        for file in &self.foreign {
            line(format!("in the way  {file}: not written by an earlier run; --overwrite would replace it"));
        }
        for warning in &self.warnings {
            line(format!("warning     {warning}"));
        }
        text
    }
}
