//! The globs of `--include` and `--exclude`, and which of them match nothing: a typing error, most likely.

use std::cell::RefCell;
use std::path::Path;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::ScanError;

/// Characters that make a pattern match more than itself.
const WILD: [char; 4] = ['*', '?', '[', '{'];

/// Some globs over paths relative to a folder.
pub(super) struct Patterns<'a> {
    option: &'static str,
    texts: &'a [String],
    globs: GlobSet,
    has_matched: RefCell<Vec<bool>>,
}

impl<'a> Patterns<'a> {
    /// The globs that an option was given.
    pub(super) fn new(option: &'static str, texts: &'a [String]) -> Result<Self, ScanError> {
        let mut builder = GlobSetBuilder::new();
        let fail =
            |pattern: &str, e: globset::Error| ScanError::Pattern { pattern: pattern.into(), detail: e.to_string() };
        for text in texts {
            // `old/` is how people write that a folder is meant.
            builder.add(Glob::new(text.trim_end_matches('/')).map_err(|e| fail(text, e))?);
        }
        let globs = builder.build().map_err(|e| fail(&texts.join(" "), e))?;
        Ok(Self { option, texts, globs, has_matched: RefCell::new(vec![false; texts.len()]) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether one matches a path.
    pub(super) fn is_match(&self, path: &Path) -> bool {
        let matches = self.globs.matches(path);
        let mut has_matched = self.has_matched.borrow_mut();
        matches.iter().for_each(|idx| has_matched[*idx] = true);
        !matches.is_empty()
    }

    /// Whether one matches a folder, by its path or as its name, wherever it lies.
    pub(super) fn is_folder_match(&self, folder: &Path) -> bool {
        let is_name = |text: &String| {
            let text = text.trim_end_matches('/');
            !text.contains(WILD) && folder.file_name().is_some_and(|name| name == text)
        };
        let by_name = self.texts.iter().position(is_name);
        by_name.into_iter().for_each(|idx| self.has_matched.borrow_mut()[idx] = true);
        self.is_match(folder) || by_name.is_some()
    }

    /// A line for each that has matched nothing.
    pub(super) fn unmatched(&self) -> Vec<String> {
        let has_matched = self.has_matched.borrow();
        let idle = self.texts.iter().zip(has_matched.iter()).filter(|(_, has_matched)| !**has_matched);
        idle.map(|(text, _)| format!("{} `{text}` matches nothing", self.option)).collect()
    }
}
