//! Progress: bars on a terminal, plain lines otherwise.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
    bar: Option<ProgressBar>,
    total: Snapshot,
    started: Instant,
    last_line: Instant,
}

/// Without a terminal, one line this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Watch {
    /// Starts watching a run of this extent.
    pub fn new(total: Snapshot) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total.network_pixels), ProgressDrawTarget::stderr_with_hz(5));
            let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {elapsed} (ETA {eta})");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, total, started: Instant::now(), last_line: Instant::now() }
    }

    /// Shows where the run is.
    pub fn show(&mut self, now: Snapshot) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(now.network_pixels);
                bar.set_message(self.describe(now));
            }
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let eta = self.eta(now).map_or_else(|| "unknown".into(), |s| format!("{s:.0} s"));
                eprint_line(&format!("{}, ETA {eta}", self.describe(now)));
            }
            None => {}
        }
    }

    /// Prints a line without tearing the bar.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprint_line(text)),
            None => eprint_line(text),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn describe(&self, now: Snapshot) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = if seconds > 0.0 { now.network_pixels as f64 / 1e6 / seconds } else { 0.0 };
        format!(
            "{}/{} scenes, {}/{} tiles, {rate:.2} Mpx/s through the networks",
            now.scenes, self.total.scenes, now.tiles, self.total.tiles
        )
    }

    fn eta(&self, now: Snapshot) -> Option<f64> {
        let done = now.network_pixels as f64;
        let left = self.total.network_pixels.saturating_sub(now.network_pixels) as f64;
        (done > 0.0).then(|| self.started.elapsed().as_secs_f64() * left / done)
    }
}

/// Prints to standard output; what a closed pipe refuses is dropped.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: there is nobody to tell.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Prints a line to standard error; what a dead terminal refuses is dropped.
pub fn eprint_line(text: &str) {
    // As above.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
