//! How much of a run a person wants to see, and in which form.

use console::{Term, measure_text_width, style};

/// The form of progress on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressForm {
    /// Bars on a terminal, lines otherwise.
    #[default]
    Auto,
    /// A bar.
    Bars,
    /// A line now and then.
    Plain,
    /// One JSON object per line, for programs.
    Json,
    /// None.
    Nothing,
}

impl ProgressForm {
    /// All of them.
    pub const NAMED: [(&'static str, Self); 5] = [
        ("auto", Self::Auto),
        ("bars", Self::Bars),
        ("plain", Self::Plain),
        ("json", Self::Json),
        ("none", Self::Nothing),
    ];
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Errors alone.
    Quiet,
    /// What a person needs to know.
    #[default]
    Normal,
    /// Also each failure as it happens, the stage table and what memory is for.
    Verbose,
}

/// What is shown of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// The form of progress.
    pub progress: ProgressForm,
    /// How much is said.
    pub detail: Detail,
}

impl Show {
    /// Nothing but errors.
    pub const NOTHING: Self = Self { progress: ProgressForm::Nothing, detail: Detail::Quiet };
}

/// A page of text: how wide it is, and whether it has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Columns; `None` where lines are not wrapped, because programs read them.
    pub width: Option<usize>,
    /// Whether it has colours.
    pub color: bool,
}

/// Width of the labels at the start of a line.
const LABEL: usize = 12;

/// No page is narrower: a word and its label must fit.
const NARROWEST: usize = 40;

/// What a line tells, as far as its colour goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Bad,
    Warning,
}

impl Page {
    /// Standard output: as wide as the terminal, or as the environment variable COLUMNS says.
    pub fn of_stdout() -> Self {
        let term = Term::stdout();
        let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = told.or_else(|| term.size_checked().map(|(_, columns)| usize::from(columns)));
        Self { width: width.map(|w: usize| w.max(NARROWEST)), color: console::colors_enabled() }
    }

    /// A labelled line, wrapped below its text.
    pub(super) fn line(self, tone: Tone, label: &str, text: &str) -> String {
        let first = format!("{label:<LABEL$}");
        let wrapped = match self.width {
            None => format!("{first}{text}"),
            Some(width) => {
                let indent = " ".repeat(LABEL);
                let options = textwrap::Options::new(width).initial_indent(&first).subsequent_indent(&indent);
                textwrap::fill(text, options.break_words(true))
            }
        };
        let (head, rest) = wrapped.split_at(first.len().min(wrapped.len()));
        format!("{}{rest}\n", self.paint(tone, head))
    }

    fn paint(self, tone: Tone, text: &str) -> String {
        let styled = style(text).force_styling(self.color && measure_text_width(text) > 0);
        match tone {
            Tone::Plain => text.to_owned(),
            Tone::Good => styled.green().to_string(),
            Tone::Bad => styled.red().bold().to_string(),
            Tone::Warning => styled.yellow().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_below_their_text_and_nothing_is_cut() {
        let page = Page { width: Some(40), color: false };
        let text = "fourteen scenes have a pixel type that the pipeline cannot scale";
        let lines = page.line(Tone::Plain, "failed", text);
        assert!(lines.lines().all(|line| line.len() <= 40), "{lines}");
        assert!(
            lines.starts_with("failed      fourteen") && lines.lines().skip(1).all(|l| l.starts_with("            "))
        );
        assert_eq!(lines.split_whitespace().skip(1).collect::<Vec<_>>().join(" "), text);
        assert_eq!(Page { width: None, ..page }.line(Tone::Plain, "failed", text), format!("failed      {text}\n"));
    }

    #[test]
    fn colour_is_for_the_label_alone() {
        let page = Page { width: None, color: true };
        let line = page.line(Tone::Bad, "failed", "x");
        assert!(line.contains('\u{1b}') && line.ends_with("x\n"), "{line:?}");
        assert!(!page.line(Tone::Plain, "failed", "x").contains('\u{1b}'));
    }
}
