//! Where progress goes: a bar on a terminal, plain lines otherwise, or events for programs.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Event;
use super::print::tell;
use super::show::{Detail, ProgressForm, Show};
use crate::words::time;

/// Shows on standard error how work goes on.
#[derive(Debug)]
pub(super) struct Display {
    form: Form,
    detail: Detail,
    total: u64,
    /// What earlier commands had done: it took no time of this one.
    known: u64,
    started: Instant,
    shown: Cell<Instant>,
}

#[derive(Debug)]
enum Form {
    Bar(ProgressBar),
    Lines,
    Json,
    Nothing,
}

/// Without a terminal, one line this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Programs are told this often.
const JSON_EVERY: Duration = Duration::from_secs(1);

impl Display {
    /// Progress is worth looking at this often.
    pub(super) const INTERVAL: Duration = Duration::from_millis(100);

    /// Shows work of this extent, of which earlier commands have done `known`.
    pub(super) fn new(total: u64, known: u64, show: Show) -> Self {
        let form = match (show.detail, show.progress) {
            (_, ProgressForm::Json) => Form::Json,
            (Detail::Quiet, _) | (_, ProgressForm::Nothing) => Form::Nothing,
            (_, ProgressForm::Auto) if std::io::stderr().is_terminal() => Form::Bar(bar(total, known)),
            (_, ProgressForm::Auto | ProgressForm::Plain) => Form::Lines,
            (_, ProgressForm::Bars) => Form::Bar(bar(total, known)),
        };
        let started = Instant::now();
        Self { form, detail: show.detail, total, known, started, shown: Cell::new(started) }
    }

    /// How much of the work is done per second.
    pub(super) fn rate(&self, done: u64) -> f64 {
        let seconds = self.started.elapsed().as_secs_f64();
        if seconds > 0.0 { done.saturating_sub(self.known) as f64 / seconds } else { 0.0 }
    }

    /// Seconds to go.
    fn eta(&self, done: u64) -> Option<f64> {
        Some(self.rate(done)).filter(|rate| *rate > 0.0).map(|rate| self.total.saturating_sub(done) as f64 / rate)
    }

    /// Shows where the work is, if it is time to. An event has the seconds to go.
    pub(super) fn show(
        &self,
        done: u64,
        words: impl FnOnce() -> String,
        event: impl FnOnce(Option<f64>) -> Event<'static>,
    ) {
        let since = self.shown.get().elapsed();
        match &self.form {
            Form::Bar(bar) if since >= Self::INTERVAL => {
                bar.set_position(done);
                bar.set_message(words());
            }
            Form::Lines if since >= LINE_EVERY => {
                let eta = self.eta(done).map_or_else(|| "unknown".into(), time);
                tell(&Event::Note { text: &format!("{}, ETA {eta}", words()) });
            }
            Form::Json if since >= JSON_EVERY => tell(&event(self.eta(done))),
            Form::Bar(_) | Form::Lines | Form::Json | Form::Nothing => return,
        }
        self.shown.set(Instant::now());
    }

    /// Says beside the bar what is done while it stands still.
    pub(super) fn say(&self, words: impl FnOnce() -> String) {
        if let Form::Bar(bar) = &self.form {
            bar.set_message(words());
        }
    }

    /// Tells something about the work without tearing the bar, to who wants to know. Failed scenes the summary has by cause; one by one
    /// they are for programs, and for people who ask for all.
    pub(super) fn tell(&self, event: &Event<'_>) {
        let told_to = match (event.detail(), &self.form) {
            (Detail::Verbose, Form::Json) => Detail::Quiet,
            (detail, _) => detail,
        };
        match &self.form {
            _ if told_to > self.detail => {}
            Form::Bar(bar) => bar.suspend(|| tell(event)),
            Form::Lines | Form::Json | Form::Nothing => tell(event),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: u64, known: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {elapsed} (ETA {eta})");
    bar.set_position(known);
    bar.reset_eta();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
