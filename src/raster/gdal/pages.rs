//! The pages of a file: its images at full size, which GDAL calls subdatasets. Overviews and masks are none.

use std::path::Path;

use gdal::{Dataset, Metadata};

use super::directory::Directory;
use crate::raster::RasterError;

/// A page, as it is opened.
pub(super) enum Page {
    /// By the name of the file: GDAL gives only this one its overviews and masks.
    First,
    /// By this name.
    Other(String),
}

/// Where the directory of an open image is in its file.
pub(super) fn offset_of(dataset: &Dataset) -> Option<u64> {
    dataset.rasterband(1).ok()?.metadata_item("IFD_OFFSET", "TIFF")?.parse().ok()
}

/// Finds the page of this number, counted from 1, or the only one.
pub(super) fn select(whole: &Dataset, path: &Path, page: Option<u32>) -> Result<Page, RasterError> {
    let names = names(whole);
    let n_pages = names.len().max(1);
    let refuse = |reason: String| Err(RasterError::Refused { reason });
    let Some(number) = page else {
        return match n_pages {
            1 => Ok(Page::First),
            _ => refuse(format!(
                "it has {n_pages} pages; name one: `{}`, TAB, `page=1` on a line of a list file (-i LIST.txt)",
                path.file_name().unwrap_or_default().to_string_lossy()
            )),
        };
    };
    let at = (number as usize).checked_sub(1).filter(|at| *at < n_pages);
    let Some(at) = at else {
        let has = if n_pages == 1 { "1 page".to_owned() } else { format!("{n_pages} pages") };
        return refuse(format!("there is no page {number}: the file has {has}"));
    };
    match names.get(at).filter(|name| !name.starts_with("GTIFF_DIR:1:")) {
        None => Ok(Page::First),
        Some(name) if has_mask(path, name) => refuse(format!(
            "page {number} has a mask of its own, which GDAL does not read with it; write the page and its mask to a file of its own"
        )),
        Some(name) => Ok(Page::Other(name.clone())),
    }
}

/// The names under which GDAL opens the pages, in the file's order; none where there is but one.
fn names(whole: &Dataset) -> Vec<String> {
    let listed = whole.metadata_domain("SUBDATASETS").unwrap_or_default();
    let name = |entry: &String| {
        let (key, name) = entry.split_once('=')?;
        key.ends_with("_NAME").then(|| name.to_owned())
    };
    listed.iter().filter_map(name).collect()
}

/// Directories behind a page's that are looked at: its overviews and masks.
const MOST_BEHIND: usize = 64;

/// Whether a mask follows the page that GDAL opens by this name.
fn has_mask(path: &Path, name: &str) -> bool {
    let offset = super::preflight::open_named(&["GTiff"], name).ok().and_then(|page| offset_of(&page));
    let own = offset.and_then(|offset| Directory::read(path, offset));
    let behind = std::iter::successors(own, |directory| Directory::read(path, directory.next));
    behind.skip(1).take(MOST_BEHIND).take_while(|directory| !directory.is_page()).any(|directory| directory.is_mask())
}
