//! Class masks as GeoTIFF, row by row. They are files of any origin, so they are decoded like scenes: in a process of their own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::geom::{PixelRect, Size, Span};
use crate::raster::{Fitting, Mask, PixelBuf, PixelType, ReadRequest, SceneHeader, whole};

/// How long the decoder may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes that are asked for at a time, at least a row.
const WINDOW: usize = 1 << 20;

/// Opens the GeoTIFFs of one side, one after the other.
pub(super) struct Rasters(Fitting);

/// A class mask being read.
pub(crate) struct RasterLabels<'a> {
    source: &'a mut Fitting,
    path: PathBuf,
    header: SceneHeader,
    /// The value that stands for no data by the file's own word.
    nodata: Option<u16>,
    /// Values, and whether they are data, of the rows that were read last.
    window: Rows,
    next_row: u32,
}

/// Some rows of a mask.
struct Rows {
    rows: Span,
    values: Vec<u16>,
    is_nodata: Vec<bool>,
}

impl Rasters {
    pub(super) fn new() -> Self {
        Self(Fitting::new(TIMEOUT))
    }

    /// Opens a file and looks at its header.
    pub(super) fn open(&mut self, path: &Path) -> Result<RasterLabels<'_>, String> {
        let header = self.0.inspect(path).map_err(|e| format!("`{}`: {e}", path.display()))?;
        check(&header).map_err(|reason| format!("`{}` {reason}", path.display()))?;
        Ok(RasterLabels {
            source: &mut self.0,
            path: path.to_owned(),
            nodata: header.nodata.first().copied().flatten().and_then(whole),
            header,
            window: Rows { rows: Span::new(0, 0), values: Vec::new(), is_nodata: Vec::new() },
            next_row: 0,
        })
    }
}

/// The rows that are asked for at a time, from one on.
pub(super) fn strip(from: u32, size: Size, pixel_bytes: usize) -> Span {
    let n_rows = u32::try_from(WINDOW / (size.width as usize * pixel_bytes).max(1)).unwrap_or(u32::MAX).max(1);
    Span::new(from, from.saturating_add(n_rows).min(size.height))
}

/// What keeps a file from being a class mask.
fn check(header: &SceneHeader) -> Result<(), String> {
    let n_planes = header.n_bands - u32::from(header.mask == Mask::Dataset && header.n_bands == 2);
    if n_planes != 1 {
        return Err(format!("holds {n_planes} bands; a class mask holds one band of class values"));
    }
    if ![PixelType::U8, PixelType::U16, PixelType::I16].contains(&header.dtype) {
        return Err(format!(
            "holds {} values; a class mask holds u8 or u16: convert it with gdal_translate -ot UInt16",
            header.dtype
        ));
    }
    Ok(())
}

impl RasterLabels<'_> {
    pub(super) fn size(&self) -> Size {
        self.header.size
    }

    /// The value that the file declares to be no data.
    pub(super) fn nodata(&self) -> Option<u16> {
        self.nodata
    }

    /// Replaces the contents by the next row and by which of its pixels hold no data; `false` behind the last one.
    pub(super) fn next_row(&mut self, values: &mut Vec<u16>, is_nodata: &mut Vec<bool>) -> Result<bool, String> {
        values.clear();
        is_nodata.clear();
        if self.next_row == self.header.size.height {
            return Ok(false);
        }
        if self.next_row >= self.window.rows.end {
            self.window = self.read()?;
        }
        let width = self.header.size.width as usize;
        let at = (self.next_row - self.window.rows.start) as usize * width;
        values.extend_from_slice(&self.window.values[at..at + width]);
        is_nodata.extend_from_slice(&self.window.is_nodata[at..at + width]);
        self.next_row += 1;
        Ok(true)
    }

    fn read(&mut self) -> Result<Rows, String> {
        let (size, dtype) = (self.header.size, self.header.dtype);
        let rows = strip(self.next_row, size, dtype.bytes());
        let window = PixelRect::from_spans(Span::new(0, size.width), rows);
        let mask = self.header.mask == Mask::Dataset;
        let request = ReadRequest { mask, ..self.header.request(self.path.clone(), None, window, vec![1]) };
        let mut buffer = PixelBuf::of_bytes(dtype, request.buffer_bytes());
        let read = self.source.for_request(&self.header, &request).read(&request, buffer.bytes_mut());
        read.map_err(|e| format!("`{}`: {e}", self.path.display()))?;
        let valid = buffer.split_tail(request.plane_bytes());
        let (values, mut is_nodata) = self.classes(&buffer)?;
        is_nodata.iter_mut().zip(valid).for_each(|(is_nodata, valid)| *is_nodata |= valid == 0);
        Ok(Rows { rows, values, is_nodata })
    }

    /// The values as class values, and which of them are declared to be no data.
    fn classes(&self, buffer: &PixelBuf) -> Result<(Vec<u16>, Vec<bool>), String> {
        let is_nodata = |value: &u16| self.nodata == Some(*value);
        let values: Vec<u16> = match buffer.dtype().bytes() {
            1 => buffer.bytes().iter().map(|v| u16::from(*v)).collect(),
            _ if buffer.dtype() == PixelType::I16 => return self.signed(buffer.values()),
            _ => buffer.values::<u16>().to_vec(),
        };
        let is_nodata = values.iter().map(is_nodata).collect();
        Ok((values, is_nodata))
    }

    /// Signed values: only what is no data may be negative.
    fn signed(&self, values: &[i16]) -> Result<(Vec<u16>, Vec<bool>), String> {
        let nodata = self.header.nodata.first().copied().flatten();
        let is_nodata: Vec<bool> = values.iter().map(|v| nodata == Some(f64::from(*v))).collect();
        let negative = values.iter().zip(&is_nodata).find(|(value, is_nodata)| **value < 0 && !**is_nodata);
        if let Some((value, _)) = negative {
            return Err(format!("`{}` holds {value}, which is no class value", self.path.display()));
        }
        Ok((values.iter().map(|v| u16::try_from(*v).unwrap_or(u16::MAX)).collect(), is_nodata))
    }
}
