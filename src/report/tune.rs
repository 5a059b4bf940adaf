//! `swath tune`: what was measured, and what follows.

use serde::Serialize;

use super::bench::{figure, tabled};
use crate::words::time;

/// What was measured, and what follows.
#[derive(Debug, Serialize)]
pub struct TuneFigures {
    /// The class of the device.
    pub device_class: String,
    /// SHA-256 of the profile, by which plans name it.
    pub profile: String,
    /// Where it lies.
    pub file: String,
    /// The measurements of this time.
    pub measured: Vec<TuneRow>,
    /// Seconds from the start of a process to its first labels, if that could be measured.
    pub start_up: Option<f64>,
    /// What plans of this pipeline take.
    pub chosen: Vec<ProfileRow>,
}

/// One way to run a member, and how fast it is.
#[derive(Debug, Serialize)]
pub struct TuneRow {
    /// The member.
    pub member: String,
    /// Arithmetic.
    pub precision: String,
    /// The kernels that its network was prepared for.
    pub kernels: String,
    /// Columns and rows of the crop.
    pub crop: [u32; 2],
    /// Crops per pass.
    pub batch: u32,
    /// Milliseconds per crop, the fastest pass.
    pub ms: Option<f64>,
    /// Share of pixels that have the label that f32 gives them.
    pub agreement: Option<f64>,
    /// Why it is not chosen from, where it is not.
    pub refused: Option<String>,
}

/// What plans take for a member on a crop, beside what they would without measurements.
#[derive(Debug, Serialize)]
pub struct ProfileRow {
    /// The member.
    pub member: String,
    /// Columns and rows of the crop.
    pub crop: [u32; 2],
    /// Kernels.
    pub kernels: &'static str,
    /// Crops per pass: one number for all members.
    pub batch: u32,
    /// Milliseconds per crop.
    pub ms: Option<f64>,
    /// The kernels without measurements.
    pub usual_kernels: &'static str,
    /// Milliseconds per crop with those, one crop per pass.
    pub usual_ms: Option<f64>,
}

/// The profiles on a machine.
#[derive(Debug, Serialize)]
pub struct ProfileList {
    /// One per class and backend.
    pub profiles: Vec<ProfileFigures>,
}

/// A stored profile, without its times.
#[derive(Debug, Serialize)]
pub struct ProfileFigures {
    /// The class of devices.
    pub device_class: String,
    /// What ran the networks.
    pub backend: &'static str,
    /// The libtorch that it was measured with.
    pub libtorch: Option<String>,
    /// Number of measurements.
    pub timings: usize,
    /// SHA-256 that plans name it by.
    pub digest: String,
    /// Where it lies.
    pub file: String,
}

fn crop([width, height]: [u32; 2]) -> String {
    format!("{width}x{height}")
}

impl TuneFigures {
    /// The tables for people.
    pub fn text(&self) -> String {
        let names = ["member", "precision", "kernels", "crop", "batch", "ms/crop", "as f32", ""];
        let row = |row: &TuneRow| {
            let agreement = row.agreement.map_or_else(|| "-".to_owned(), |share| format!("{:.3} %", share * 100.0));
            [
                row.member.clone(),
                row.precision.clone(),
                row.kernels.clone(),
                crop(row.crop),
                row.batch.to_string(),
                figure(row.ms, 3),
                agreement,
                row.refused.clone().unwrap_or_default(),
            ]
        };
        let mut text = tabled(names, self.measured.iter().map(row));
        let names = ["member", "crop", "kernels", "batch", "ms/crop", "without", "ms/crop", "tuned/default"];
        let row = |row: &ProfileRow| {
            let ratio = row.ms.zip(row.usual_ms).map(|(tuned, usual)| tuned / usual);
            [
                row.member.clone(),
                crop(row.crop),
                row.kernels.to_owned(),
                row.batch.to_string(),
                figure(row.ms, 3),
                row.usual_kernels.to_owned(),
                figure(row.usual_ms, 3),
                figure(ratio, 3),
            ]
        };
        text += "\nplans take:\n";
        text += &tabled(names, self.chosen.iter().map(row));
        let sum = |of: fn(&ProfileRow) -> Option<f64>| self.chosen.iter().map(of).sum::<Option<f64>>();
        if let Some((tuned, usual)) = sum(|row| row.ms).zip(sum(|row| row.usual_ms)).filter(|(_, usual)| *usual > 0.0) {
            text += &format!("all together: {:.3} of the time without measurements\n", tuned / usual);
        }
        if let Some(seconds) = self.start_up {
            text += &format!("start-up, to the first labels: {}\n", time(seconds));
        }
        let Self { device_class, profile, file, .. } = self;
        text += &format!("\nprofile {} of the class {device_class}: {file}\n", profile.get(..12).unwrap_or(profile));
        text
    }
}

impl ProfileList {
    /// The table for people.
    pub fn text(&self) -> String {
        if self.profiles.is_empty() {
            return "nothing is measured on this machine yet: swath tune PIPELINE\n".to_owned();
        }
        let row = |p: &ProfileFigures| {
            let digest = p.digest.get(..12).unwrap_or(&p.digest).to_owned();
            let libtorch = p.libtorch.clone().unwrap_or_else(|| "-".into());
            let backend = p.backend.to_owned();
            [p.device_class.clone(), backend, libtorch, p.timings.to_string(), digest, p.file.clone()]
        };
        tabled(["class", "backend", "libtorch", "times", "profile", "file"], self.profiles.iter().map(row))
    }
}
