//! What a run tells programs: one JSON object per line on standard error (`--progress json`).

use serde::Serialize;

use super::{PackageReport, Totals};

/// Everything that is told. A program that reads it must bear unknown events and unknown fields.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// The work is known.
    Started {
        /// Scenes to segment, those that earlier runs did included.
        scenes: u64,
        /// Their tiles.
        tiles: u64,
        /// Their pixels.
        pixels: u64,
        /// "torch" or "fake".
        backend: &'a str,
        /// Devices by name.
        devices: &'a str,
        /// Bytes of memory that are reserved.
        memory: u64,
    },
    /// How far it is.
    Progress {
        /// Scenes with a verdict.
        scenes: u64,
        /// Those of them that failed in this run.
        failed: u64,
        /// Of so many scenes.
        of_scenes: u64,
        /// Tiles whose labels are there.
        tiles: u64,
        /// Of so many tiles.
        of_tiles: u64,
        /// Million pixels per second through the networks.
        mpx_per_second: f64,
        /// Seconds to go; `null` as long as nothing is known.
        eta_seconds: Option<f64>,
    },
    /// A scene has no mask.
    Failed {
        /// The file.
        scene: &'a str,
        /// The stage that noticed.
        stage: &'a str,
        /// Why.
        cause: &'a str,
    },
    /// Something a person should know.
    Warning {
        /// In words.
        text: &'a str,
    },
    /// Anything else that is said.
    Note {
        /// In words.
        text: &'a str,
    },
    /// Why the program ends without a result.
    Error {
        /// The error with its causes.
        text: &'a str,
    },
    /// The run came to its end; report.json has the rest.
    Finished {
        /// Sums.
        totals: &'a Totals,
        /// The archive, if there is one.
        archive: Option<&'a PackageReport>,
        /// The report.
        report: &'a str,
    },
}
