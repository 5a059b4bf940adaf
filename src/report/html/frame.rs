//! What all pages have: head and foot (`base.html`), style, script and policy, and how they write colours, shares and long texts.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// Characters of a long text, such as a command or a pipeline.
pub(super) const TEXT: usize = 50_000;

pub(super) struct Frame {
    pub(super) kicker: &'static str,
    pub(super) subject: &'static str,
    pub(super) title: String,
    pub(super) dir: String,
    /// None where it is about nothing that ends.
    pub(super) state: Option<State>,
    pub(super) lead: String,
    pub(super) swath: String,
    pub(super) sections: Vec<(&'static str, &'static str)>,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) script_digest: String,
}

/// How what a page is about has ended.
pub(super) struct State {
    pub(super) kind: &'static str,
    pub(super) word: &'static str,
    pub(super) when: String,
}

impl Frame {
    /// The frame of a page about a folder, by whose name it goes.
    pub(super) fn new(
        kicker: &'static str,
        subject: &'static str,
        dir: &Path,
        state: Option<State>,
        lead: String,
    ) -> Self {
        let title =
            dir.file_name().map_or_else(|| dir.display().to_string(), |name| name.to_string_lossy().into_owned());
        Self {
            kicker,
            subject,
            title,
            dir: dir.display().to_string(),
            state,
            lead,
            swath: env!("CARGO_PKG_VERSION").to_owned(),
            sections: Vec::new(),
            style: STYLE,
            script: SCRIPT,
            // The policy lets no other script run.
            script_digest: STANDARD.encode(Sha256::digest(SCRIPT)),
        }
    }
}

/// Identifier and name of those sections that a page has.
pub(super) fn sections(all: &[(&'static str, &'static str, bool)]) -> Vec<(&'static str, &'static str)> {
    all.iter().filter(|(.., is_there)| *is_there).map(|(id, name, _)| (*id, *name)).collect()
}

/// A text that fits on a page.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} ... ({} bytes in all)", &text[..end], text.len()),
    }
}

pub(super) fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// A share as percent of a bar's width.
pub(super) fn width(share: f64) -> f64 {
    (share * 1e4).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_says_how_long_it_is() {
        assert!(shortened(&"é".repeat(60_000), TEXT).ends_with(" ... (120000 bytes in all)"));
        assert_eq!(shortened("é", 1), "é");
    }
}
