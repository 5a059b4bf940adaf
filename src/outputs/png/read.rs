//! Masks of any origin, read row by row.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use png::{ColorType, DecodeOptions, Decoder, DecodingError};

use super::OutputError;
use crate::config::MaskDepth;
use crate::geom::Size;

/// A mask being read. Memory is one row and fixed buffers.
pub struct MaskReader<R: Read = File> {
    path: PathBuf,
    png: png::Reader<BufReader<Forward<R>>>,
    size: Size,
    samples: Samples,
    rows_left: u32,
    ended: bool,
}

/// How a row's bytes hold its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Samples {
    Grey(MaskDepth),
    /// Indices of 1, 2, 4 or 8 bits, the first in the highest.
    Palette {
        bits: u8,
    },
}

/// A reader without a way back. The decoder's bounds ask for [`Seek`], its code never seeks.
struct Forward<R>(R);

impl<R: Read> Read for Forward<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<R> Seek for Forward<R> {
    fn seek(&mut self, _: io::SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl MaskReader<File> {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// When it cannot be read, is no PNG, or holds anything but one class value per pixel.
    pub fn open(path: &Path) -> Result<Self, OutputError> {
        let file = File::open(path).map_err(|source| OutputError::Open { path: path.to_owned(), source })?;
        Self::from_reader(file, path)
    }
}

impl<R: Read> MaskReader<R> {
    /// Reads a mask from anywhere; errors call it `path`.
    ///
    /// # Errors
    /// As [`MaskReader::open`]'s.
    pub fn from_reader(from: R, path: &Path) -> Result<Self, OutputError> {
        let mut options = DecodeOptions::default();
        options.set_ignore_adler32(false);
        let decoder = Decoder::new_with_options(BufReader::with_capacity(1 << 15, Forward(from)), options);
        let png = decoder.read_info().map_err(|source| OutputError::Decode { path: path.to_owned(), source })?;
        let samples = samples(png.info()).map_err(|found| OutputError::NotAMask { path: path.to_owned(), found })?;
        let (width, height) = png.info().size();
        let size = Size::new(width, height);
        Ok(Self { path: path.to_owned(), png, size, samples, rows_left: height, ended: false })
    }

    /// Extent.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Depth of the values; palette indices have 8 bits.
    pub fn depth(&self) -> MaskDepth {
        match self.samples {
            Samples::Grey(depth) => depth,
            Samples::Palette { .. } => MaskDepth::Eight,
        }
    }

    /// Whether the values are indices of a palette.
    pub fn is_palette(&self) -> bool {
        matches!(self.samples, Samples::Palette { .. })
    }

    /// The palette's colours, if the values are indices of one.
    pub fn palette(&self) -> Option<Vec<[u8; 3]>> {
        let colors = self.png.info().palette.as_deref().unwrap_or_default();
        self.is_palette().then(|| colors.as_chunks().0.to_vec())
    }

    /// Replaces the content of `into` by the values of the next row; `false` behind the last one.
    ///
    /// Only who has come to `false` knows that the file is whole: the call that returns it has read the file to its
    /// last chunk.
    ///
    /// # Errors
    /// When the file is damaged or ends too early.
    pub fn next_row(&mut self, into: &mut Vec<u16>) -> Result<bool, OutputError> {
        into.clear();
        if self.rows_left == 0 {
            self.end().map_err(|source| OutputError::Decode { path: self.path.clone(), source })?;
            return Ok(false);
        }
        match self.png.next_row() {
            Ok(Some(row)) => unpack(row.data(), self.samples, self.size.width as usize, into),
            Ok(None) => {
                let source = DecodingError::IoError(io::ErrorKind::UnexpectedEof.into());
                return Err(OutputError::Decode { path: self.path.clone(), source });
            }
            Err(source) => return Err(OutputError::Decode { path: self.path.clone(), source }),
        }
        self.rows_left -= 1;
        Ok(true)
    }

    fn end(&mut self) -> Result<(), DecodingError> {
        if !self.ended {
            self.png.next_row()?;
            self.png.finish()?;
            self.ended = true;
        }
        Ok(())
    }
}

/// How the file holds its values, or what it holds instead.
fn samples(info: &png::Info<'_>) -> Result<Samples, String> {
    if info.interlaced {
        return Err("interlaced rows".into());
    }
    let bits = info.bit_depth as u8;
    match info.color_type {
        ColorType::Grayscale => match MaskDepth::try_from(bits) {
            Ok(depth) => Ok(Samples::Grey(depth)),
            Err(_) => Err(format!("grey values of {bits} bits")),
        },
        ColorType::Indexed => Ok(Samples::Palette { bits }),
        ColorType::Rgb => Err("RGB colours".into()),
        ColorType::Rgba => Err("RGB colours with alpha".into()),
        ColorType::GrayscaleAlpha => Err("grey values with alpha".into()),
    }
}

fn unpack(bytes: &[u8], samples: Samples, width: usize, into: &mut Vec<u16>) {
    match samples {
        Samples::Grey(MaskDepth::Sixteen) => into.extend(bytes.as_chunks().0.iter().map(|b| u16::from_be_bytes(*b))),
        Samples::Grey(MaskDepth::Eight) | Samples::Palette { bits: 8 } => {
            into.extend(bytes.iter().map(|b| u16::from(*b)))
        }
        Samples::Palette { bits } => {
            let per_byte = usize::from(8 / bits);
            let indices = bytes.iter().flat_map(|byte| {
                (1..=per_byte).map(move |i| (u16::from(*byte) >> (8 - i * usize::from(bits))) & ((1 << bits) - 1))
            });
            into.extend(indices.take(width));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::Hashed;

    fn read_all(bytes: &[u8]) -> Result<Vec<Vec<u16>>, OutputError> {
        let mut reader = MaskReader::from_reader(bytes, Path::new("a.png"))?;
        let (mut rows, mut row) = (Vec::new(), Vec::new());
        while reader.next_row(&mut row)? {
            rows.push(row.clone());
        }
        assert!(!reader.next_row(&mut row)?, "the end stays the end");
        Ok(rows)
    }

    fn png(size: (u32, u32), color: ColorType, bits: png::BitDepth, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, size.0, size.1);
        encoder.set_color(color);
        encoder.set_depth(bits);
        if color == ColorType::Indexed {
            encoder.set_palette([0; 48].as_slice());
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        out
    }

    fn sample() -> Vec<u8> {
        let values: Vec<u8> = (0..64 * 50u32).map(|i| u8::try_from((i * i / 7) % 251).unwrap()).collect();
        png((64, 50), ColorType::Grayscale, png::BitDepth::Eight, &values)
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_that_names_it() {
        let whole = sample();
        assert_eq!(read_all(&whole).unwrap().len(), 50);
        for n in 0..whole.len() {
            let error = read_all(&whole[..n]).expect_err("a cut file");
            assert!(matches!(error, OutputError::Decode { .. }) && error.to_string().contains("a.png"), "{n}: {error}");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_in_the_pixels_is_an_error() {
        let whole = sample();
        let start = whole.windows(4).position(|w| w == b"IDAT").unwrap();
        for i in start..whole.len() - 8 {
            let mut broken = whole.clone();
            broken[i] ^= 1 << (i % 8);
            assert!(read_all(&broken).is_err(), "byte {i}");
        }
    }

    #[test]
    fn values_come_big_endian_from_16_bits() {
        let bytes = png((2, 2), ColorType::Grayscale, png::BitDepth::Sixteen, &[1, 2, 0, 0, 255, 255, 0, 7]);
        assert_eq!(read_all(&bytes).unwrap(), [[0x102, 0], [65535, 7]]);
    }

    #[test]
    fn palette_indices_of_any_width_are_values() {
        let cases: [(png::BitDepth, [u8; 4]); 4] = [
            (png::BitDepth::One, [0b1010_0000, 0, 0, 0]),
            (png::BitDepth::Two, [0b11_10_01_00, 0b10_00_00_00, 0, 0]),
            (png::BitDepth::Four, [0x9f, 0x03, 0xa0, 0]),
            (png::BitDepth::Eight, [1, 2, 3, 4]),
        ];
        let wanted: [&[u16]; 4] = [&[1, 0, 1], &[3, 2, 1, 0, 2], &[9, 15, 0, 3, 10], &[1, 2, 3, 4]];
        for ((bits, data), wanted) in cases.into_iter().zip(wanted) {
            let width = u32::try_from(wanted.len()).unwrap();
            let row = &data[..(wanted.len() * bits as usize).div_ceil(8)];
            assert_eq!(read_all(&png((width, 1), ColorType::Indexed, bits, row)).unwrap(), [wanted], "{bits:?}");
        }
    }

    #[test]
    fn pictures_are_refused_in_words() {
        let cases = [
            (png((1, 1), ColorType::Rgb, png::BitDepth::Eight, &[0; 3]), "RGB colours;"),
            (png((1, 1), ColorType::Rgba, png::BitDepth::Eight, &[0; 4]), "RGB colours with alpha;"),
            (png((1, 1), ColorType::GrayscaleAlpha, png::BitDepth::Eight, &[0; 2]), "grey values with alpha;"),
            (png((1, 1), ColorType::Grayscale, png::BitDepth::One, &[0]), "grey values of 1 bits;"),
        ];
        for (bytes, words) in cases {
            let error = read_all(&bytes).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("a class mask holds one grey value"), "{error}");
        }
    }

    #[test]
    fn what_is_no_png_is_an_error() {
        assert!(matches!(read_all(b"GIF89a, or so it says").unwrap_err(), OutputError::Decode { .. }));
        let missing = MaskReader::open(Path::new("/nowhere/a.png")).err().unwrap();
        assert_eq!(missing.to_string(), "cannot open the mask `/nowhere/a.png`");
    }

    #[test]
    fn wide_rows_are_read_without_a_limit_of_the_decoder() {
        let mut out = Hashed::new(Vec::new());
        let size = Size::new(3_000_000, 3);
        crate::outputs::constant_into(&mut out, Path::new("a.png"), size, MaskDepth::Sixteen, 300).unwrap();
        let rows = read_all(&out.into_parts().0).unwrap();
        assert!(rows.len() == 3 && rows.iter().flatten().all(|v| *v == 300));
    }
}
