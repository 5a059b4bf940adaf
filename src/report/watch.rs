//! Progress: bars on a terminal, plain lines otherwise.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::print::eprint_line;

/// Where a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// Scenes with a verdict.
    pub scenes: u64,
    /// Tiles classified.
    pub tiles: u64,
    /// Pixels that the networks have seen.
    pub network_pixels: u64,
}

/// Shows how a run goes on standard error.
#[derive(Debug)]
pub struct Watch {
    display: Display,
    total: Snapshot,
    /// What earlier runs had done: it took no time of this one.
    known: Snapshot,
    started: Instant,
    shown: Instant,
}

/// Where progress goes.
#[derive(Debug)]
enum Display {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

/// Without a terminal, one line this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Watch {
    /// Progress is worth looking at this often.
    pub const INTERVAL: Duration = Duration::from_millis(100);

    /// Starts watching a run of this extent, of which earlier ones have done `known`; without `show` it says nothing but what
    /// [`Self::line`] is given.
    pub fn new(total: Snapshot, known: Snapshot, show: bool) -> Self {
        let display = match (show, std::io::stderr().is_terminal()) {
            (false, _) => Display::Nothing,
            (true, true) => Display::Bar(bar(total, known)),
            (true, false) => Display::Lines,
        };
        Self { display, total, known, started: Instant::now(), shown: Instant::now() }
    }

    /// Shows where the run is, if it is time to.
    pub fn show(&mut self, now: Snapshot) {
        let since = self.shown.elapsed();
        match &self.display {
            Display::Bar(bar) if since >= Self::INTERVAL => {
                bar.set_position(now.network_pixels);
                bar.set_message(self.describe(now));
            }
            Display::Lines if since >= LINE_EVERY => {
                let eta = self.eta(now).map_or_else(|| "unknown".into(), |s| format!("{s:.0} s"));
                eprint_line(&format!("{}, ETA {eta}", self.describe(now)));
            }
            Display::Bar(_) | Display::Lines | Display::Nothing => return,
        }
        self.shown = Instant::now();
    }

    /// Prints a line without tearing the bar.
    pub fn line(&self, text: &str) {
        match &self.display {
            Display::Bar(bar) => bar.suspend(|| eprint_line(text)),
            Display::Lines | Display::Nothing => eprint_line(text),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }

    fn describe(&self, now: Snapshot) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = if seconds > 0.0 { self.seen(now) / 1e6 / seconds } else { 0.0 };
        format!(
            "{}/{} scenes, {}/{} tiles, {rate:.2} Mpx/s through the networks",
            now.scenes, self.total.scenes, now.tiles, self.total.tiles
        )
    }

    fn eta(&self, now: Snapshot) -> Option<f64> {
        let left = self.total.network_pixels.saturating_sub(now.network_pixels) as f64;
        (self.seen(now) > 0.0).then(|| self.started.elapsed().as_secs_f64() * left / self.seen(now))
    }

    /// Pixels that the networks have seen in this run.
    fn seen(&self, now: Snapshot) -> f64 {
        now.network_pixels.saturating_sub(self.known.network_pixels) as f64
    }
}

fn bar(total: Snapshot, known: Snapshot) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total.network_pixels), ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {elapsed} (ETA {eta})");
    bar.set_position(known.network_pixels);
    bar.reset_eta();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
