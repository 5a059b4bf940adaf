//! What `swath plan` shows.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::bench::shares;
use super::resolution::resolutions;
use super::{BudgetReport, FAKE, FailedScene, SceneResolution};
use crate::words::{count, format_bytes, time};

/// Refused scenes that the text lists; the JSON has all.
const LISTED: usize = 20;

/// Ways to cut a scene that the text lists; the JSON has each scene's.
const WAYS: usize = 5;

/// A plan and a schedule, summed up.
#[derive(Clone, Debug, Serialize)]
pub struct PlanDocument {
    /// SHA-256 of the plan: equal plans give equal bytes.
    pub plan: String,
    /// Versions of what can change a byte.
    pub versions: Vec<(String, String)>,
    /// What runs the networks: "torch", or "fake" for the stand-in whose masks mean nothing.
    pub backend: &'static str,
    /// Scenes that will be segmented.
    pub scenes: Vec<PlannedScene>,
    /// Scenes that will not.
    pub refused: Vec<FailedScene>,
    /// Files that are no scenes.
    pub ignored: u64,
    /// Scenes that are mosaics, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mosaics: Option<PlannedMosaics>,
    /// The area that work is limited to, and what that leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<PlannedArea>,
    /// Units: rows of tiles, or groups of small scenes.
    pub units: u64,
    /// Tiles.
    pub tiles: u64,
    /// Pixels of all scenes.
    pub pixels: u64,
    /// Pixels that the networks see.
    pub network_pixels: u64,
    /// Share of those that ends in no mask.
    pub waste_percent: f64,
    /// The views of a tile that each member sees.
    pub views: Vec<&'static str>,
    /// What is done to label maps, in order.
    pub post: Vec<String>,
    /// What each rule of the tiler would make of the scenes that are cut.
    pub rules: Vec<PlannedRule>,
    /// The members, in the order of the pipeline.
    pub members: Vec<PlannedMember>,
    /// SHA-256 of the measurements that it goes by.
    pub profile: Option<String>,
    /// Tiles per forward pass, by size of the crop.
    pub batches: Vec<PlannedBatch>,
    /// Devices by name.
    pub devices: Vec<String>,
    /// Reader threads.
    pub readers: usize,
    /// Memory of the machine.
    pub memory: BudgetReport,
    /// Bytes of the GPU that takes most; `None` without one.
    pub gpu_memory: Option<u64>,
    /// Whether that is there, where it is known how much there is.
    pub gpu_fit: Option<GpuFit>,
    /// The most that the outputs can take.
    pub disk: u64,
    /// Bytes free there, where the system tells.
    pub disk_free: Option<u64>,
    /// Seconds by the speed of the last such run on this machine; `None` where there was none.
    pub seconds: Option<f64>,
    /// What figures of `swath bench` predict; `None` where none are named.
    pub forecast: Option<PlanForecast>,
    /// Existing files at output names that `--overwrite` lets the run replace.
    pub foreign: Vec<String>,
    /// What earlier runs into the run directory have done of it; `None` where there was none, or no directory is named.
    pub earlier: Option<EarlierWork>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Whether a plan fits into the memory of GPUs.
#[derive(Clone, Debug, Serialize)]
pub struct GpuFit {
    /// Bytes that each has.
    pub memory: u64,
    /// Whether the plan fits into that memory.
    pub fits: bool,
    /// If not: the least change that does, as options; `None` where none of them would do.
    pub change: Option<String>,
    /// What it takes then.
    pub change_bytes: Option<u64>,
}

/// How a run would go, by figures of `swath bench`.
#[derive(Clone, Debug, Serialize)]
pub struct PlanForecast {
    /// The devices that it is foretold for.
    pub hardware: String,
    /// The files of figures.
    pub files: Vec<String>,
    /// Seconds until the last file is written; the archive comes after.
    pub seconds: f64,
    /// The part of them in which the devices are opened.
    pub opening: f64,
    /// Share of the time behind that in which each device is idle.
    pub idle: Vec<f64>,
    /// Whether they say what the host takes.
    pub knows_host: bool,
}

impl PlanForecast {
    fn text(&self) -> String {
        let Self { hardware, files, seconds, idle, knows_host, .. } = self;
        let host =
            if *knows_host { "" } else { "; the host's part is not in it: add a file of `swath bench feed --json`" };
        format!("about {} on {hardware}, idle {}, by {}{host}", time(*seconds), shares(idle), files.join(", "))
    }
}

/// What a run directory holds of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EarlierWork {
    /// Scenes whose recorded files are there, byte for byte.
    pub done: u64,
    /// Scenes that are left to do.
    pub outstanding: u64,
    /// Those among them whose recorded files are damaged or gone.
    pub damaged: u64,
    /// Stage results that need not be computed again.
    pub checkpoints: u64,
}

impl EarlierWork {
    fn text(self) -> String {
        let Self { done, outstanding, damaged, checkpoints } = self;
        let all = count(done + outstanding, "scene");
        let damaged = match damaged {
            0 => String::new(),
            n => format!("; files of {} are damaged or gone", count(n, "scene")),
        };
        format!(
            "{done} of {all} done and verified, {outstanding} to do, {} usable{damaged}",
            count(checkpoints, "checkpoint")
        )
    }
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
    /// Columns and rows.
    pub size: [u32; 2],
    /// What was done about the size of its pixels, where the pipeline wants one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<SceneResolution>,
    /// Tiles.
    pub tiles: u64,
    /// What each tile owns.
    pub centre: [u32; 2],
    /// Overlap with its neighbours: columns and rows that are seen beyond it, on each side.
    pub dilation: [u32; 2],
    /// Whether pixels that several tiles see are made by all of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_blended: bool,
    /// Share of its network pixels that ends in no mask.
    pub waste_percent: f64,
}

/// Scenes that are mosaics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedMosaics {
    /// How many they are.
    pub scenes: u64,
    /// The files that they are made of.
    pub files: u64,
}

/// An area that work is limited to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedArea {
    /// Its file, or its bounds.
    pub area: String,
    /// Scenes that it does not meet: they are left out.
    pub outside: u64,
    /// Tiles that the others would have without it.
    pub of_tiles: u64,
}

/// What a rule of the tiler would make of the scenes that are cut.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PlannedRule {
    /// Its name in pipeline files.
    pub rule: &'static str,
    /// Whether it is the pipeline's.
    pub is_taken: bool,
    /// Tiles.
    pub tiles: u64,
    /// Share of the networks' pixels that ends in no mask.
    pub waste_percent: f64,
}

/// The batch for crops of one size.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PlannedBatch {
    /// Columns and rows.
    pub crop: [u32; 2],
    /// Tiles per forward pass.
    pub tiles: u32,
}

/// A member of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedMember {
    /// Its name.
    pub name: String,
    /// Its network.
    pub network: String,
    /// The arithmetic that `auto` came to.
    pub precision: &'static str,
    /// The kernels that its network is prepared for.
    pub kernels: &'static str,
    /// Share in the mean.
    pub share: f32,
    /// Number of trained values.
    pub parameters: u64,
    /// SHA-256 of its weights, or the seed.
    pub digest: String,
}

impl PlanDocument {
    /// The batches, and what they go by.
    fn batch_text(&self) -> String {
        let mut sizes: Vec<u32> = self.batches.iter().map(|batch| batch.tiles).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let listed =
            |PlannedBatch { crop: [width, height], tiles }: &PlannedBatch| format!("{tiles} of {width}x{height}");
        let text = match sizes.as_slice() {
            [] => "none".to_owned(),
            [tiles] => format!("{} in each pass", count(u64::from(*tiles), "tile")),
            _ => {
                let more = if self.batches.len() > LISTED { ", ..." } else { "" };
                self.batches.iter().take(LISTED).map(listed).collect::<Vec<_>>().join(", ") + more
            }
        };
        let by = self.profile.as_ref().map(|digest| format!("; by profile {}", digest.get(..12).unwrap_or(digest)));
        text + &by.unwrap_or_default()
    }

    /// Which scenes are mosaics, what was done about resolutions, how scenes are cut, and how other rules would cut them.
    fn tiling(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(PlannedMosaics { scenes, files }) = self.mosaics {
            lines.push(format!("mosaics     {} of {}", count(scenes, "scene"), count(files, "file")));
        }
        if let Some(PlannedArea { area, outside, of_tiles }) = &self.area {
            let left = format!("{} of the {} of scenes that it meets", self.tiles, count(*of_tiles, "tile"));
            lines.push(format!("area        {area}: {left}; {} outside, left out", count(*outside, "scene")));
        }
        let resolution = resolutions(self.scenes.iter().filter_map(|scene| scene.resolution.as_ref()));
        lines.extend(resolution.into_iter().map(|text| format!("resolution  {text}")));
        lines.extend(self.cuts().into_iter().map(|cut| format!("  tiling    {cut}")));
        let text = |r: &PlannedRule| {
            let taken = if r.is_taken { ", the pipeline's" } else { "" };
            format!("{} {:.1} % ({}{taken})", r.rule, r.waste_percent, count(r.tiles, "tile"))
        };
        let rules: Vec<String> = self.rules.iter().map(text).collect();
        if !rules.is_empty() {
            lines.push(format!("  rules     overlap and padding of what is cut: {}", rules.join(", ")));
        }
        lines
    }

    /// The document for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let mut line = |s: String| writeln!(text, "{s}").unwrap_or_default();
        line(format!("plan        {}", self.plan));
        line(format!(
            "scenes      {} to segment ({:.1} Mpx), {} refused, {} ignored",
            self.scenes.len(),
            self.pixels as f64 / 1e6,
            self.refused.len(),
            count(self.ignored, "other file")
        ));
        for refused in self.refused.iter().take(LISTED) {
            line(format!("  refused   {}: {}", refused.scene, refused.cause));
        }
        if self.refused.len() > LISTED {
            line(format!("  ... and {} more: --json has all", self.refused.len() - LISTED));
        }
        line(format!(
            "tiles       {}; {:.1} Mpx through each network, {:.1} % of it overlap and padding",
            self.tiles,
            self.network_pixels as f64 / 1e6,
            self.waste_percent
        ));
        if self.views.len() > 1 {
            let (views, last) = (self.views.len(), self.views.join(", "));
            line(format!("views       {last}: each tile goes {views} times through each network"));
        }
        if !self.post.is_empty() {
            line(format!("post        {}", self.post.join("; ")));
        }
        self.tiling().into_iter().for_each(&mut line);
        for m in &self.members {
            let millions = m.parameters as f64 / 1e6;
            let digest = m.digest.get(..12).unwrap_or(&m.digest);
            line(format!(
                "  member    {}: {} ({millions:.1} M), {} {}, share {:.3}, {digest}",
                m.name, m.network, m.precision, m.kernels, m.share
            ));
        }
        line(format!("batches     {}", self.batch_text()));
        line(format!("devices     {}; {}", self.devices.join(", "), count(self.readers as u64, "reader")));
        line(format!("RAM         {}", self.memory.reservation()));
        line(format!("VRAM        {}", self.vram()));
        let free =
            self.disk_free.map_or_else(|| "; free: unknown".into(), |free| format!(", {} free", format_bytes(free)));
        line(format!("disk        {} at most{free}", format_bytes(self.disk)));
        line(match (&self.forecast, self.seconds) {
            (Some(forecast), _) => format!("time        {}", forecast.text()),
            (None, Some(seconds)) => {
                format!("time        about {}, by the speed of the last such run on this machine", time(seconds))
            }
            (None, None) => {
                "time        unknown: no such run on this machine yet; `swath run` with this pipeline measures it"
                    .into()
            }
        });
        if let Some(earlier) = self.earlier {
            line(format!("earlier     {}", earlier.text()));
        }
        self.doubts().into_iter().for_each(line);
        text
    }

    /// The memory of GPUs.
    fn vram(&self) -> String {
        let Some(bytes) = self.gpu_memory else { return "none".into() };
        let most = self.devices.iter().map(|of| self.devices.iter().filter(|device| *device == of).count()).max();
        let each = match most {
            Some(n @ 2..) => format!("on each GPU, for {n} workers that share the weights"),
            _ => "on each GPU".to_owned(),
        };
        let fit = match &self.gpu_fit {
            None => String::new(),
            Some(GpuFit { memory, fits: true, .. }) => format!("; fits into {}", format_bytes(*memory)),
            Some(GpuFit { memory, change: Some(change), change_bytes, .. }) => {
                let then = change_bytes.map_or_else(String::new, |bytes| format!(" ({})", format_bytes(bytes)));
                format!("; does not fit into {}: {change} does{then}", format_bytes(*memory))
            }
            Some(GpuFit { memory, .. }) => {
                let less = "choose smaller tiles (tiler.centres, tiler.whole_max) or fewer members";
                format!(
                    "; does not fit into {}, not even tile by tile with members spread: {less}",
                    format_bytes(*memory)
                )
            }
        };
        format!("{} {each}{fit}", format_bytes(bytes))
    }

    /// What may keep a run from being what was meant, a line each.
    fn doubts(&self) -> Vec<String> {
        let foreign = self.foreign.iter();
        let foreign =
            foreign.map(|file| format!("in the way  {file}: not written by an earlier run; --overwrite replaces it"));
        let warnings = self.warnings.iter().map(|warning| format!("warning     {warning}"));
        let fake = (self.backend == "fake").then(|| format!("fake        {FAKE}"));
        foreign.chain(warnings).chain(fake).collect()
    }

    /// How scenes are cut, the most frequent ways first.
    fn cuts(&self) -> Vec<String> {
        let mut whole = 0u64;
        let mut ways: BTreeMap<([u32; 2], [u32; 2], bool), u64> = BTreeMap::new();
        for scene in &self.scenes {
            match scene.tiles {
                1 if scene.dilation == [0, 0] => whole += 1,
                _ => *ways.entry((scene.centre, scene.dilation, scene.is_blended)).or_default() += 1,
            }
        }
        let mut ways: Vec<_> = ways.into_iter().collect();
        ways.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let more = ways.len().saturating_sub(WAYS);
        let cut = |(([width, height], [columns, rows], is_blended), n): (([u32; 2], [u32; 2], bool), u64)| {
            let overlap = match columns == rows {
                true => format!("{} on each side", count(columns.into(), "pixel")),
                false => format!("{} and {} on each side", count(columns.into(), "column"), count(rows.into(), "row")),
            };
            let blended = if is_blended { ", blended" } else { "" };
            format!("{} in centres of {width} x {height} with an overlap of {overlap}{blended}", count(n, "scene"))
        };
        let whole = (whole > 0).then(|| format!("{} whole, each one tile", count(whole, "scene")));
        let more = (more > 0).then(|| format!("and {}: --json has all", count(more as u64, "other way")));
        whole.into_iter().chain(ways.into_iter().take(WAYS).map(cut)).chain(more).collect()
    }
}
