//! Truth as labelled scenes have it, colours and ids and other values, as class values, row by row.

use std::path::Path;

use super::geotiff::strip;
use crate::config::classes::ClassId;
use crate::dataset::{IGNORED, MaskFile, Masks, Unknown};
use crate::geom::{PixelRect, Size, Span};
use crate::outputs::MaskReader;

/// A mask being read through a rule.
pub(crate) struct RuledLabels<'a> {
    masks: &'a mut Masks,
    file: MaskFile,
    /// By class.
    values: &'a [u16],
    /// Classes of the rows that were read last.
    window: Vec<ClassId>,
    rows: Span,
    next_row: u32,
    unknown: Unknown,
}

impl<'a> RuledLabels<'a> {
    pub(super) fn open(path: &Path, masks: &'a mut Masks, values: &'a [u16]) -> Result<Self, String> {
        let file = masks.open(path)?;
        let palette = MaskReader::open(path).ok().and_then(|png| png.palette()).unwrap_or_default();
        if masks.contradicts(&palette) {
            return Err(format!(
                "`{}` is a picture of a mask: its palette has the colours of classes, and not where the classes' values are",
                path.display()
            ));
        }
        let rows = Span::new(0, 0);
        Ok(Self { masks, file, values, window: Vec::new(), rows, next_row: 0, unknown: Unknown::default() })
    }

    pub(super) fn size(&self) -> Size {
        self.file.header().size
    }

    /// Replaces the contents by the next row and by which of its pixels take no part; `false` behind the last one.
    ///
    /// # Errors
    /// When the file is damaged, or, behind the last row, when it held what is no class.
    pub(super) fn next_row(&mut self, values: &mut Vec<u16>, is_left_out: &mut Vec<bool>) -> Result<bool, String> {
        values.clear();
        is_left_out.clear();
        let size = self.size();
        if self.next_row == size.height {
            let refused = self.masks.refuse(&self.file, &self.unknown);
            return refused.map(|()| false).map_err(|reason| format!("{reason}; --ignore VALUE leaves a value out"));
        }
        if self.next_row >= self.rows.end {
            self.rows = strip(self.next_row, size, self.file.pixel_bytes());
            let window = PixelRect::from_spans(Span::new(0, size.width), self.rows);
            self.masks.read(&self.file, window, &mut self.window, &mut self.unknown)?;
        }
        let width = size.width as usize;
        let at = (self.next_row - self.rows.start) as usize * width;
        for class in &self.window[at..at + width] {
            values.push(self.values.get(usize::from(*class)).copied().unwrap_or_default());
            is_left_out.push(*class == IGNORED);
        }
        self.next_row += 1;
        Ok(true)
    }
}
