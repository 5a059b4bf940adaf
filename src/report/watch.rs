//! Progress: bars on a terminal, plain lines otherwise, or events for programs.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Event;
use super::print::tell;
use super::show::{Detail, ProgressForm, Show};
use crate::words::time;

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
    detail: Detail,
    total: Snapshot,
    /// What earlier runs had done: it took no time of this one.
    known: Snapshot,
    failed: Cell<u64>,
    started: Instant,
    shown: Instant,
}

/// Where progress goes.
#[derive(Debug)]
enum Display {
    Bar(ProgressBar),
    Lines,
    Json,
    Nothing,
}

/// Without a terminal, one line this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Programs are told this often.
const JSON_EVERY: Duration = Duration::from_secs(1);

impl Watch {
    /// Progress is worth looking at this often.
    pub const INTERVAL: Duration = Duration::from_millis(100);

    /// Starts watching a run of this extent, of which earlier ones have done `known`.
    pub fn new(total: Snapshot, known: Snapshot, show: Show) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let display = match (show.detail, show.progress) {
            (_, ProgressForm::Json) => Display::Json,
            (Detail::Quiet, _) | (_, ProgressForm::Nothing) => Display::Nothing,
            (_, ProgressForm::Auto) if is_terminal => Display::Bar(bar(total, known)),
            (_, ProgressForm::Auto | ProgressForm::Plain) => Display::Lines,
            (_, ProgressForm::Bars) => Display::Bar(bar(total, known)),
        };
        let (started, failed) = (Instant::now(), Cell::new(0));
        Self { display, detail: show.detail, total, known, failed, started, shown: started }
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
                let eta = self.eta(now).map_or_else(|| "unknown".into(), time);
                tell(&Event::Note { text: &format!("{}, ETA {eta}", self.describe(now)) });
            }
            Display::Json if since >= JSON_EVERY => tell(&self.progress(now)),
            Display::Bar(_) | Display::Lines | Display::Json | Display::Nothing => return,
        }
        self.shown = Instant::now();
    }

    /// Tells something about the run without tearing the bar, to who wants to know. Failed scenes the summary has by cause; one by one
    /// they are for programs, and for people who ask for all.
    pub fn tell(&self, event: &Event<'_>) {
        if let Event::Failed { .. } = event {
            self.failed.set(self.failed.get() + 1);
        }
        let told_to = match (event.detail(), &self.display) {
            (Detail::Verbose, Display::Json) => Detail::Quiet,
            (detail, _) => detail,
        };
        if told_to <= self.detail {
            self.aside(|| tell(event));
        }
    }

    fn aside(&self, print: impl FnOnce()) {
        match &self.display {
            Display::Bar(bar) => bar.suspend(print),
            Display::Lines | Display::Json | Display::Nothing => print(),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
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

    fn progress(&self, now: Snapshot) -> Event<'static> {
        Event::Progress {
            scenes: now.scenes,
            failed: self.failed.get(),
            of_scenes: self.total.scenes,
            tiles: now.tiles,
            of_tiles: self.total.tiles,
            mpx_per_second: self.rate(now),
            eta_seconds: self.eta(now),
        }
    }

    /// Megapixels per second.
    fn rate(&self, now: Snapshot) -> f64 {
        let seconds = self.started.elapsed().as_secs_f64();
        if seconds > 0.0 { self.seen(now) / 1e6 / seconds } else { 0.0 }
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
