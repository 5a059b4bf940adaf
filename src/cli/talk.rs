//! What commands that take long have in common: how they are watched, what they tell, how long they may take.

use std::time::{Duration, Instant};

use clap::Args;

use super::values::one_of;
use crate::app::TimeLimits;
use crate::config::Span;
use crate::lifecycle::SupervisorLink;
use crate::report::{Detail, ProgressForm, Show};

/// What a run tells.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct TalkArgs {
    /// How progress is shown on standard error: bars on a terminal and lines elsewhere (auto), or one JSON object per line.
    #[arg(long, default_value = "auto", value_name = "FORM", value_parser = one_of(ProgressForm::NAMED))]
    pub(super) progress: ProgressForm,

    /// Say nothing but errors; the exit code and report.json tell the rest.
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Also name each scene that fails as it happens, and show what each stage did with its time and what memory is for.
    #[arg(short, long)]
    pub(super) verbose: bool,
}

/// Who watches over a run.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Watching {
    /// Run in this process, without one that starts it again when it dies. For debuggers.
    #[arg(long)]
    pub(super) no_supervise: bool,
}

/// How long a command may take that began when its first attempt did.
pub(super) fn limits(supervisor: &SupervisorLink, deadline: Option<Span>, grace: Span, stall: Span) -> TimeLimits {
    let elapsed = Duration::from_millis(supervisor.attempt().elapsed_ms);
    TimeLimits {
        begun: Instant::now().checked_sub(elapsed).unwrap_or_else(Instant::now),
        deadline: deadline.map(|span| span.0),
        grace: grace.0,
        stall: Some(stall.0).filter(|time| !time.is_zero()),
        ..TimeLimits::default()
    }
}

/// What is shown of a run.
pub(super) fn show(talk: TalkArgs) -> Show {
    let detail = match talk {
        TalkArgs { quiet: true, .. } => Detail::Quiet,
        TalkArgs { verbose: true, .. } => Detail::Verbose,
        TalkArgs { .. } => Detail::Normal,
    };
    Show { progress: talk.progress, detail }
}
