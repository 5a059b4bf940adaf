//! How far a run is.

use std::cell::Cell;
use std::time::Duration;

use super::Event;
use super::display::Display;
use super::show::Show;

/// Where a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// Scenes with a verdict.
    pub scenes: u64,
    /// Tiles whose labels are there.
    pub tiles: u64,
    /// Pixels that the networks have seen.
    pub network_pixels: u64,
}

/// Shows how a run goes on standard error.
#[derive(Debug)]
pub struct Watch {
    display: Display,
    total: Snapshot,
    failed: Cell<u64>,
}

impl Watch {
    /// Progress is worth looking at this often.
    pub const INTERVAL: Duration = Display::INTERVAL;

    /// Starts watching a run of this extent, of which earlier ones have done `known`.
    pub fn new(total: Snapshot, known: Snapshot, show: Show) -> Self {
        let display = Display::new(total.network_pixels, known.network_pixels, show);
        Self { display, total, failed: Cell::new(0) }
    }

    /// Shows where the run is, if it is time to.
    pub fn show(&mut self, now: Snapshot) {
        let event = |eta_seconds| Event::Progress {
            scenes: now.scenes,
            failed: self.failed.get(),
            of_scenes: self.total.scenes,
            tiles: now.tiles,
            of_tiles: self.total.tiles,
            mpx_per_second: self.rate(now),
            eta_seconds,
        };
        self.display.show(now.network_pixels, || self.describe(now), event);
    }

    /// Tells something about the run without tearing the bar.
    pub fn tell(&self, event: &Event<'_>) {
        if let Event::Failed { .. } = event {
            self.failed.set(self.failed.get() + 1);
        }
        self.display.tell(event);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.display.finish();
    }

    fn describe(&self, now: Snapshot) -> String {
        let failed = if self.failed.get() > 0 { format!(" ({} failed)", self.failed.get()) } else { String::new() };
        format!(
            "{}/{} scenes{failed}, {}/{} tiles, {:.2} Mpx/s through the networks",
            now.scenes,
            self.total.scenes,
            now.tiles,
            self.total.tiles,
            self.rate(now)
        )
    }

    /// Megapixels per second.
    fn rate(&self, now: Snapshot) -> f64 {
        self.display.rate(now.network_pixels) / 1e6
    }
}
