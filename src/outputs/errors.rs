//! Where a mask is wrong, as RGB: what is right is pale, what is wrong has the colour of the class that it should be, or one for all, and
//! what nothing is asked of is grey. Whoever holds masks against truth draws it; a run has no truth.

use std::path::Path;

use super::png::{FileRows, PixelFormat};
use super::{OutputError, RowWriter};
use crate::atomic::WrittenFile;
use crate::config::classes::{ClassTable, NODATA_LABEL};
use crate::geom::Size;

/// What is left out.
const GREY: [u8; 3] = [128; 3];

/// The lightness of what is right: from here on, and how much darker the darkest class is.
const PALE: u16 = 255;
const SHADES: u16 = 45;

/// Starts a picture that will be called `path`, whose rows come as labels and true labels. What is wrong has the colour, if one is given.
///
/// # Errors
/// When the file cannot be created, or PNG has no such size.
pub(crate) fn create(
    path: &Path,
    size: Size,
    classes: &ClassTable,
    wrong: Option<[u8; 3]>,
) -> Result<Box<dyn RowWriter>, OutputError> {
    let rows = FileRows::create(path, size, &PixelFormat::Rgb)?;
    let colors = classes.classes().iter().map(|class| (pale(class.color.0), wrong.unwrap_or(class.color.0)));
    Ok(Box::new(Writer { rows, colors: colors.collect(), row: Vec::new() }))
}

/// A shade of nearly white, by the lightness of a colour.
fn pale([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let light = (3 * u16::from(red) + 6 * u16::from(green) + u16::from(blue)) / 10;
    [u8::try_from(PALE - SHADES + light * SHADES / 255).unwrap_or(u8::MAX); 3]
}

struct Writer {
    rows: FileRows,
    /// By true label: where it is right, and where it is not.
    colors: Vec<([u8; 3], [u8; 3])>,
    row: Vec<u8>,
}

impl RowWriter for Writer {
    fn push(&mut self, planes: &[&[u8]]) -> Result<(), OutputError> {
        let width = self.rows.size().width;
        let wrong = |labels| OutputError::Width { path: self.rows.path().to_owned(), labels, width };
        let &[labels, truth] = planes else { return Err(wrong(0)) };
        if labels.len() != width as usize || truth.len() != labels.len() {
            return Err(wrong(labels.len()));
        }
        self.row.clear();
        for (label, truth) in labels.iter().zip(truth) {
            let color = match self.colors.get(usize::from(*truth)).filter(|_| *truth != NODATA_LABEL) {
                None => GREY,
                Some((right, _)) if label == truth => *right,
                Some((_, wrong)) => *wrong,
            };
            self.row.extend(color);
        }
        self.rows.push(&self.row)
    }

    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, OutputError> {
        Ok(vec![self.rows.finish()?])
    }
}
