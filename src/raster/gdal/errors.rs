//! What GDAL raises, kept per thread and put in plain words: some errors are raised although the call says that all went well.

use std::cell::RefCell;
use std::sync::Once;

use gdal::errors::CplErrType;

use crate::raster::Warnings;

thread_local! {
    static HEARD: RefCell<Heard> = RefCell::default();
}

/// What was raised since [`begin`].
#[derive(Default)]
struct Heard {
    /// What the messages call the file; whoever reports them names it.
    names: Vec<String>,
    failures: Vec<String>,
    warnings: Warnings,
}

/// A broken file can raise thousands; the first ones tell the cause.
const KEPT: usize = 16;

/// Causes that are told.
const TOLD: usize = 2;

/// Characters of a failure that are kept.
const LONGEST: usize = 300;

/// Collects errors instead of printing them. Process-wide, once.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gdal::config::set_error_handler(|class, _number, message| {
            // GDAL may raise something while this thread is in the middle of this.
            HEARD.with(|heard| {
                if let Ok(mut heard) = heard.try_borrow_mut() {
                    heard.hear(class, message);
                }
            });
        });
    });
}

impl Heard {
    fn hear(&mut self, class: CplErrType, message: &str) {
        let text = plain(message, &self.names);
        let is_new = !self.failures.contains(&text) && self.failures.len() < KEPT;
        match class {
            CplErrType::Failure | CplErrType::Fatal if is_new && !is_about_private_tags(&text) => {
                self.failures.push(text.chars().take(LONGEST).collect());
            }
            CplErrType::Warning if !is_about_header(message) => self.warnings.add(&text),
            CplErrType::Failure | CplErrType::Fatal | CplErrType::Warning | CplErrType::None | CplErrType::Debug => {}
        }
    }
}

/// Forgets what this thread's earlier calls raised; what comes is about the file that GDAL opens by this name.
pub(crate) fn begin(name: &str) {
    let mut names = vec![name.to_owned()];
    // GTIFF_DIR:2:PATH is the second page of PATH.
    names
        .extend(name.strip_prefix("GTIFF_DIR:").and_then(|page| page.split_once(':')).map(|(_, path)| path.to_owned()));
    HEARD.set(Heard { names, ..Heard::default() });
}

/// The failures that this thread's calls raised since [`begin`]: the causes, without what merely follows from them, and a remedy.
pub(super) fn take() -> Option<String> {
    take_causes().map(|causes| with_remedy(&causes))
}

/// The same without a remedy.
pub(crate) fn take_causes() -> Option<String> {
    let failures = HEARD.with_borrow_mut(|heard| std::mem::take(&mut heard.failures));
    let mut causes: Vec<&str> = Vec::new();
    for text in failures.iter().filter(|text| !is_consequence(text)) {
        if causes.len() < TOLD && !causes.iter().any(|known| text.starts_with(known)) {
            causes.push(text);
        }
    }
    if causes.is_empty() { failures.first().cloned() } else { Some(causes.join("; ")) }
}

/// The warnings that this thread's calls raised since [`begin`].
pub(super) fn take_warnings() -> Warnings {
    HEARD.with_borrow_mut(|heard| std::mem::take(&mut heard.warnings))
}

/// What GDAL raised if it did, else the crate's own words.
pub(super) fn explain(error: &gdal::errors::GdalError) -> String {
    take().unwrap_or_else(|| error.to_string())
}

/// A message without the file's name and the function that raised it.
fn plain(message: &str, names: &[String]) -> String {
    let mut text = message.trim().trim_end_matches('.').to_owned();
    for name in names.iter().filter(|name| !name.is_empty()) {
        for ending in [": ", ", ", ":"] {
            text = text.replace(&format!("{name}{ending}"), "");
        }
        text = text.replace(name.as_str(), "the file");
    }
    if let Some((_, meant)) = PLAINER.iter().find(|(said, _)| text.contains(said)) {
        return (*meant).into();
    }
    for nowhere in [" at scanline 4294967295", " at row 4294967295, col 4294967295"] {
        text = text.replace(nowhere, "");
    }
    let is_name = |head: &str| !head.is_empty() && head.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match text.split_once(':') {
        Some((head, rest)) if is_name(head) && !rest.starts_with(' ') => rest.trim().to_owned(),
        _ => text,
    }
}

/// Messages that say something else than they mean.
const PLAINER: [(&str, &str); 2] = [
    ("not recognized as ", "it begins like an image and holds none"),
    ("to read TIFF directory (0 elements", "its TIFF directory is empty"),
];

/// Tags that no TIFF reader knows are none of its business: nothing of the image is lost with them.
fn is_about_private_tags(text: &str) -> bool {
    text.contains("TIFF_SETGET_UNDEFINED")
}

/// Said while a directory is read, which may happen in the middle of the pixels: no pixel is in question.
fn is_about_header(message: &str) -> bool {
    ["TIFFReadDirectory", "TIFFFetch", "TIFFReadCustomDirectory", "TIFFVSetField"].iter().any(|f| message.contains(f))
}

/// Said by those who called the one who knows.
fn is_consequence(text: &str) -> bool {
    let says = ["IReadBlock failed", "() failed", "Failed to read directory at offset"];
    says.iter().any(|words| text.contains(words))
}

/// What can be done about a failure, behind it.
fn with_remedy(cause: &str) -> String {
    let says = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    let remedy = if says(&["missing codec", "ompression support is not"]) {
        "this GDAL lacks the compression (swath doctor lists what it has): write the file with another one"
    } else if says(&["Unsupported", "not supported", "only supported", "can not handle"]) {
        "write the file in another form (gdal_translate)"
    } else if says(&["Permission denied"]) {
        "make it readable; what belongs to a mosaic is opened below the input folder alone"
    } else if says(&["memory", "allocate"]) {
        return cause.to_owned();
    } else {
        "the file is damaged or cut short: fetch or write it again"
    };
    format!("{cause}; {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lose_the_path_and_the_function_but_not_the_cause() {
        let names = ["GTIFF_DIR:2:/a b/c.tif".to_owned(), "/a b/c.tif".to_owned()];
        for (message, expected) in [
            ("/a b/c.tif: TIFFFetchDirectory:/a b/c.tif: Can not read TIFF directory", "Can not read TIFF directory"),
            ("/a b/c.tif, band 1: IReadBlock failed at X offset 1", "band 1: IReadBlock failed at X offset 1"),
            ("JPEGLib:Corrupt JPEG data: 3 extraneous bytes", "Corrupt JPEG data: 3 extraneous bytes"),
            ("GTIFF_DIR:2:/a b/c.tif: TIFFReadEncodedTile() failed.", "TIFFReadEncodedTile() failed"),
            ("Corrupt JPEG data: 3 bytes", "Corrupt JPEG data: 3 bytes"),
        ] {
            assert_eq!(plain(message, &names), expected);
        }
    }

    #[test]
    fn the_cause_is_told_and_not_what_follows_from_it() {
        begin("a.tif");
        HEARD.with_borrow_mut(|heard| {
            for text in
                ["TIFFReadEncodedTile() failed.", "a.tif: TIFFFillTile:Read error at row 5", "a.tif: x() failed"]
            {
                heard.hear(CplErrType::Failure, text);
                heard.hear(CplErrType::Warning, "TIFFReadDirectory:Unknown tag");
                heard.hear(CplErrType::Warning, "a.tif: JPEGLib:Premature end");
            }
        });
        assert_eq!(take().unwrap(), "Read error at row 5; the file is damaged or cut short: fetch or write it again");
        assert_eq!(take_warnings().to_vec(), ["Premature end"]);
        assert_eq!(take(), None);
    }
}
