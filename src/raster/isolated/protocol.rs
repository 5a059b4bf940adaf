//! What goes between a source and its decoder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::DecoderLimits;
use crate::geom::GeoTransform;
use crate::raster::{Allowed, BurnRequest, Burned, RasterError, ReadReply, ReadRequest, SceneHeader};

/// What a decoder is told first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// What it may take.
    pub limits: DecoderLimits,
    /// What it may open.
    pub allowed: Allowed,
    /// Whether it is for mosaics: then it is confined to the folders that are allowed.
    pub mosaics: bool,
}

/// The child's first word, after it was told its limits: its limit of address space in bytes, or why it cannot serve.
pub(super) type Ready = Result<u64, String>;

/// Asks a decoder.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    /// What the answer repeats: answers to questions that were given up are skipped.
    pub(super) number: u64,
    pub(super) ask: Ask,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Looks at a header.
    Inspect { path: PathBuf, page: Option<u32> },
    /// Finds the files that a mosaic is made of.
    Parts { path: PathBuf },
    /// Reads a strip into the shared memory, from this byte on.
    Read { strip: ReadRequest, at: u64 },
    /// Burns shapes into the shared memory.
    Rasterise(Box<BurnRequest>),
}

/// What a decoder says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) number: u64,
    pub(super) said: Result<Said, RasterError>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    Header(Box<ExactHeader>),
    Parts(Vec<PathBuf>),
    Pixels(ReadReply),
    Burned(Burned),
}

/// A header whose numbers survive JSON, which knows no NaN and rounds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExactHeader {
    header: SceneHeader,
    nodata: Vec<Option<u64>>,
    transform: Option<[u64; 6]>,
    pixel_metres: Option<[u64; 2]>,
}

impl From<SceneHeader> for ExactHeader {
    fn from(mut header: SceneHeader) -> Self {
        let nodata = std::mem::take(&mut header.nodata).into_iter().map(|v| v.map(f64::to_bits)).collect();
        let transform = header.transform.take().map(|t| t.0.map(f64::to_bits));
        let pixel_metres = header.pixel_metres.take().map(|metres| metres.map(f64::to_bits));
        Self { header, nodata, transform, pixel_metres }
    }
}

impl ExactHeader {
    /// The header, if it can be one: a decoder whose memory is in disorder may say anything.
    pub(super) fn into_header(self) -> Option<SceneHeader> {
        let Self { mut header, nodata, transform, pixel_metres } = self;
        header.nodata = nodata.into_iter().map(|v| v.map(f64::from_bits)).collect();
        header.transform = transform.map(|t| GeoTransform(t.map(f64::from_bits)));
        header.pixel_metres = pixel_metres.map(|metres| metres.map(f64::from_bits));
        let is_sound = !header.size.is_empty()
            && !header.block.is_empty()
            && header.n_bands > 0
            && header.nodata.len() == header.n_bands as usize;
        is_sound.then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Size;
    use crate::raster::{MemoryRaster, PixelType};

    #[test]
    fn headers_cross_with_every_bit_and_impossible_ones_do_not() {
        let mut header = MemoryRaster::u8(Size::new(2, 1), 2, &[0; 4]).header;
        header.dtype = PixelType::F32;
        header.nodata = vec![Some(f64::NAN), Some(0.1 + 0.2)];
        header.transform = Some(GeoTransform([1e300, 1.0 / 3.0, f64::INFINITY, -0.0, 5e-324, 123_456.789_012_345_67]));
        header.pixel_metres = Some([0.1 + 0.2, 1.0 / 3.0]);
        let text = serde_json::to_string(&ExactHeader::from(header.clone())).unwrap();
        let came = serde_json::from_str::<ExactHeader>(&text).unwrap().into_header().unwrap();
        let bits = |h: &SceneHeader| h.nodata.iter().map(|v| v.map(f64::to_bits)).collect::<Vec<_>>();
        assert_eq!(bits(&came), bits(&header));
        assert_eq!(came.transform.map(|t| t.0.map(f64::to_bits)), header.transform.map(|t| t.0.map(f64::to_bits)));
        assert_eq!(came.pixel_metres.map(|m| m.map(f64::to_bits)), header.pixel_metres.map(|m| m.map(f64::to_bits)));
        assert_eq!((came.size, came.dtype, came.crs.clone()), (header.size, header.dtype, header.crs.clone()));
        header.size = Size::new(0, 5);
        assert!(ExactHeader::from(header.clone()).into_header().is_none());
        header.size = Size::new(2, 1);
        header.nodata.pop();
        assert!(ExactHeader::from(header).into_header().is_none());
    }
}
