//! Pixels of one grid made of those of another over the same ground: means where there are fewer of them, cubic convolution where there
//! are more, axis by axis, and the pixel at the centre where values are indices.
//!
//! A value depends on the pixels that it is made of and on nothing else, whichever window was read: shares follow from its place in the
//! whole grid, and are added up in one order. Pixels without data have no part in it; where they would have had more than half, there is
//! none.

use super::{PixelBuf, PixelType, with_held};
use crate::geom::{PixelRect, Rescale, Size, Span};

/// Pixels of a scene are read in pieces of so many bytes, or as many as a row of the other grid is made of. A number of the program: as
/// values do not depend on it, it changes no byte.
const PIECE_BYTES: u64 = 8 << 20;

/// Rows that go back to the scene's own grid are handed on in pieces of so many bytes of each plane.
const ROWS_BYTES: u64 = 1 << 20;

/// How the grid of a scene becomes another one, and how what was found there comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resampling {
    x: Rescale,
    y: Rescale,
    /// Whether values are indices, which have no mean.
    indexed: bool,
}

impl Resampling {
    /// From a grid of one size to one of another; `None` where they are the same.
    pub fn between(own: Size, other: Size, indexed: bool) -> Option<Self> {
        let (x, y) = (Rescale { from: own.width, to: other.width }, Rescale { from: own.height, to: other.height });
        (own != other).then_some(Self { x, y, indexed })
    }

    /// What a window of the other grid is made of.
    pub fn source(&self, window: PixelRect) -> PixelRect {
        let source = |axis: Rescale, span: Span| match self.indexed {
            true => Span::new(axis.nearest(span.start), axis.nearest(span.end - 1) + 1),
            false => axis.source(span),
        };
        PixelRect::from_spans(source(self.x, window.xs()), source(self.y, window.ys()))
    }

    /// A window of the other grid in pieces of whole rows, each made of a number of bytes that can be held.
    pub fn pieces(&self, window: PixelRect, bytes_per_pixel: u64) -> impl Iterator<Item = PixelRect> {
        let rows = self.rows_per_piece(window, bytes_per_pixel);
        cut(window.ys(), rows).map(move |ys| PixelRect::from_spans(window.xs(), ys))
    }

    /// The most bytes that are held while a window is made: the pixels that a piece is made of, and the sums of a row.
    pub fn bytes(&self, window: PixelRect, bytes_per_pixel: u64) -> u64 {
        let source = self.source(window).size;
        let rows = self.source_rows(self.rows_per_piece(window, bytes_per_pixel).into()).min(source.height.into());
        let shares = 8 * u64::from(source.width) + 64 * u64::from(window.size.width);
        u64::from(source.width) * (rows * bytes_per_pixel + 16) + shares
    }

    fn rows_per_piece(&self, window: PixelRect, bytes_per_pixel: u64) -> u32 {
        let row = (u64::from(self.source(window).size.width) * bytes_per_pixel).max(1);
        let rows = (PIECE_BYTES / row).saturating_sub(4) * u64::from(self.y.to) / u64::from(self.y.from);
        u32::try_from(rows).unwrap_or(u32::MAX).clamp(1, window.size.height.max(1))
    }

    /// The most rows that so many are made of.
    fn source_rows(&self, rows: u64) -> u64 {
        (rows * u64::from(self.y.from)).div_ceil(u64::from(self.y.to)) + 4
    }

    /// From rows of the other grid back to the scene's own: those whose centres lie in them, in pieces that can be held.
    pub fn rows_back(&self, rows: Span) -> impl Iterator<Item = Span> {
        let (x, y) = self.back();
        cut(y.centred_in(rows), u32::try_from(ROWS_BYTES / u64::from(x.to)).unwrap_or(u32::MAX).max(1))
    }

    /// The most pixels of such a piece.
    pub fn pixels_back(&self) -> u64 {
        ROWS_BYTES.max(self.x.from.into())
    }

    /// The axes of the way back.
    pub fn back(&self) -> (Rescale, Rescale) {
        let back = |axis: Rescale| Rescale { from: axis.to, to: axis.from };
        (back(self.x), back(self.y))
    }
}

fn cut(span: Span, len: u32) -> impl Iterator<Item = Span> {
    let piece = move |start: u32| Span::new(start, start.saturating_add(len).min(span.end));
    (span.start..span.end).step_by(len as usize).map(piece)
}

/// A window of the other grid in the making.
#[derive(Debug)]
pub struct Resampled {
    resampling: Resampling,
    window: PixelRect,
    columns: Columns,
    /// Planes of the bands over the window.
    pub pixels: PixelBuf,
    /// One byte per pixel of the window, 0 where there is no data; `None` where all is data.
    pub valid: Option<Vec<u8>>,
}

/// What each column of a window is made of.
#[derive(Debug)]
struct Columns {
    /// The first column of the source, counted from its window's first one, and the end of its shares.
    each: Vec<(usize, usize)>,
    shares: Vec<f64>,
}

impl Columns {
    /// Adds up for each column.
    fn sums(&self, line: &[f64], into: &mut [f64]) {
        let mut start = 0;
        for ((first, end), sum) in self.each.iter().zip(into) {
            let shares = &self.shares[start..*end];
            start = *end;
            *sum = shares.iter().zip(&line[*first..]).fold(0.0, |sum, (share, value)| sum + share * value);
        }
    }
}

impl Resampled {
    /// A window of which nothing is there yet.
    pub fn new(resampling: Resampling, window: PixelRect, dtype: PixelType, n_bands: usize) -> Self {
        let first = resampling.source(window).x;
        let (mut each, mut shares, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for x in window.x..window.xs().end {
            let start = resampling.shares(resampling.x, x, &mut own);
            shares.extend_from_slice(&own);
            each.push(((start - first) as usize, shares.len()));
        }
        let pixels = PixelBuf::zeros(dtype, window.size.len() * n_bands);
        Self { resampling, window, columns: Columns { each, shares }, pixels, valid: None }
    }

    /// Makes a piece of it: `pixels` and their validity are those over the piece's source.
    pub fn fill(&mut self, piece: PixelRect, pixels: &PixelBuf, valid: Option<&[u8]>) {
        let lacking = valid.map(|valid| self.lacking(piece, valid));
        with_held!(pixels.dtype(), T => self.fill_as::<T>(piece, pixels, valid, lacking.as_deref()));
    }

    /// The share of each pixel of a piece that has no data, and marks those where it is too much.
    fn lacking(&mut self, piece: PixelRect, valid: &[u8]) -> Vec<f64> {
        let source = self.resampling.source(piece);
        let (width, into) = (source.size.width as usize, piece.size.width as usize);
        let most = self.resampling.total() / 2.0;
        let (mut line, mut shares, mut lacking) = (vec![0.0; width], Vec::new(), vec![0.0; piece.size.len()]);
        for (y, sums) in (piece.y..).zip(lacking.chunks_exact_mut(into.max(1))) {
            let first = self.resampling.shares(self.resampling.y, y, &mut shares) - source.y;
            line.fill(0.0);
            for (share, row) in shares.iter().zip(valid.chunks_exact(width).skip(first as usize)) {
                line.iter_mut().zip(row).for_each(|(sum, ok)| *sum += if *ok == 0 { *share } else { 0.0 });
            }
            self.columns.sums(&line, sums);
        }
        if lacking.iter().any(|share| *share > most) {
            let all = self.valid.get_or_insert_with(|| vec![1; self.window.size.len()]);
            let rows = &mut all[(piece.y - self.window.y) as usize * into..];
            rows.iter_mut().zip(&lacking).for_each(|(ok, share)| *ok = u8::from(*share <= most));
        }
        lacking
    }

    fn fill_as<T: Sample>(
        &mut self,
        piece: PixelRect,
        pixels: &PixelBuf,
        valid: Option<&[u8]>,
        lacking: Option<&[f64]>,
    ) {
        let source = self.resampling.source(piece);
        let (width, into) = (source.size.width as usize, piece.size.width as usize);
        let (dtype, total, n_pixels) = (pixels.dtype(), self.resampling.total(), self.window.size.len());
        let (mut line, mut shares, mut sums) = (vec![0.0; width], Vec::new(), vec![0.0; into]);
        let planes: &mut [T] = bytemuck::cast_slice_mut(self.pixels.bytes_mut());
        let planes = planes.chunks_exact_mut(n_pixels.max(1)).zip(pixels.values::<T>().chunks_exact(source.size.len()));
        for (plane, from) in planes {
            let rows = plane.chunks_exact_mut(into.max(1)).skip((piece.y - self.window.y) as usize);
            for ((idx, y), row) in (piece.y..piece.ys().end).enumerate().zip(rows) {
                let first = (self.resampling.shares(self.resampling.y, y, &mut shares) - source.y) as usize;
                line.fill(0.0);
                for (at, share) in (first..).zip(&shares) {
                    let values = &from[at * width..][..width];
                    match valid.map(|valid| &valid[at * width..][..width]) {
                        None => line.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * (*value).into()),
                        Some(valid) => line.iter_mut().zip(values).zip(valid).for_each(|((sum, value), ok)| {
                            *sum += if *ok == 0 { 0.0 } else { share * (*value).into() };
                        }),
                    }
                }
                self.columns.sums(&line, &mut sums);
                let lacking = lacking.map(|lacking| &lacking[idx * into..][..into]);
                for (x, (pixel, sum)) in row.iter_mut().zip(&sums).enumerate() {
                    // Where nothing lacks this is the total itself, so that a value does not depend on what lacks beside it.
                    let weight = total - lacking.map_or(0.0, |lacking| lacking[x]);
                    *pixel = if 2.0 * weight >= total { T::of(sum / weight, dtype) } else { T::zeroed() };
                }
            }
        }
    }
}

impl Resampling {
    fn shares(&self, axis: Rescale, at: u32, shares: &mut Vec<f64>) -> u32 {
        if self.indexed {
            shares.clear();
            shares.push(1.0);
            return axis.nearest(at);
        }
        axis.shares(at, shares)
    }

    fn total(&self) -> f64 {
        if self.indexed { 1.0 } else { self.x.total() * self.y.total() }
    }
}

/// A value as it is held in memory.
trait Sample: bytemuck::Pod + Into<f64> {
    /// The nearest one of a pixel type; halves go up.
    fn of(value: f64, dtype: PixelType) -> Self;
}

macro_rules! samples {
    ($($T:ty: $($lint:path),*;)*) => {
        $(impl Sample for $T {
            #[expect($($lint),*, reason = "rounded and within the range of the type")]
            fn of(value: f64, dtype: PixelType) -> Self {
                let (low, high) = dtype.range();
                if dtype.is_float() { value as $T } else { (value + 0.5).floor().clamp(low, high) as $T }
            }
        })*
    };
}

samples! {
    u8: clippy::cast_possible_truncation, clippy::cast_sign_loss;
    u16: clippy::cast_possible_truncation, clippy::cast_sign_loss;
    i16: clippy::cast_possible_truncation;
    f32: clippy::cast_possible_truncation;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A scene of a type, one band.
    fn buffer<T: bytemuck::Pod>(dtype: PixelType, values: &[T]) -> PixelBuf {
        PixelBuf::from_slice(dtype, values)
    }

    fn part<T: Copy>(plane: &[T], size: Size, rect: PixelRect) -> Vec<T> {
        let row = |y: u32| &plane[(y * size.width + rect.x) as usize..][..rect.size.width as usize];
        (rect.y..rect.ys().end).flat_map(row).copied().collect()
    }

    /// A window of a scene, read in pieces of `rows`.
    fn window(
        resampling: Resampling,
        window: PixelRect,
        rows: u32,
        (own, pixels, valid): (Size, &PixelBuf, Option<&[u8]>),
    ) -> Resampled {
        let mut made = Resampled::new(resampling, window, pixels.dtype(), 1);
        for ys in cut(window.ys(), rows) {
            let piece = PixelRect::from_spans(window.xs(), ys);
            let source = resampling.source(piece);
            let of_source =
                with_held!(pixels.dtype(), T => buffer(pixels.dtype(), &part(pixels.values::<T>(), own, source)));
            // As a reader has it: nothing is said where all is data.
            let valid = valid.map(|valid| part(valid, own, source)).filter(|valid| valid.contains(&0));
            made.fill(piece, &of_source, valid.as_deref());
        }
        made
    }

    fn all(own: Size, other: Size, pixels: &PixelBuf, valid: Option<&[u8]>) -> Resampled {
        let resampling = Resampling::between(own, other, false).unwrap();
        window(resampling, PixelRect::whole(other), u32::MAX, (own, pixels, valid))
    }

    #[test]
    fn shrinking_gives_the_exact_mean_and_halves_go_up() {
        let own = Size::new(3, 1);
        let u8s = |values: [u8; 3], valid: [u8; 3]| {
            let made = all(own, Size::new(2, 1), &buffer(PixelType::U8, &values), Some(&valid));
            (made.pixels.values::<u8>().to_vec(), made.valid)
        };
        // (2 * 10 + 1 * 11) / 3 and (1 * 11 + 2 * 13) / 3.
        assert_eq!(u8s([10, 11, 13], [1; 3]), (vec![10, 12], None));
        // What lacks data has no part, up to half of the whole.
        assert_eq!(u8s([10, 200, 13], [1, 0, 1]), (vec![10, 13], None));
        assert_eq!(u8s([10, 11, 13], [0, 1, 1]), (vec![0, 12], Some(vec![0, 1])));
        let made = all(Size::new(2, 2), Size::new(1, 1), &buffer(PixelType::I16, &[-3i16, -4, -4, -3]), None);
        assert_eq!(made.pixels.values::<i16>(), [-3], "-3.5");
        let made = all(Size::new(2, 2), Size::new(1, 1), &buffer(PixelType::F32, &[1.0f32, 2.0, 3.0, 5.0]), None);
        assert_eq!(made.pixels.values::<f32>(), [2.75]);
    }

    #[test]
    fn enlarging_keeps_planes_and_stays_in_the_type() {
        // A ramp is a ramp inside, where no end is near.
        let ramp: Vec<f32> = (0..10u8).map(f32::from).collect();
        let made = all(Size::new(10, 1), Size::new(20, 1), &buffer(PixelType::F32, &ramp), None);
        let wanted: Vec<f32> = (4..16u8).map(|x| f32::from(x) / 2.0 - 0.25).collect();
        assert_eq!(made.pixels.values::<f32>()[4..16], wanted);
        let edge = [0u8, 0, 0, 255, 255, 255];
        let made = all(Size::new(6, 1), Size::new(24, 1), &buffer(PixelType::U8, &edge), None);
        let values = made.pixels.values::<u8>();
        assert!(values.is_sorted() && values[0] == 0 && values[23] == 255, "{values:?}");
    }

    #[test]
    fn indices_are_picked() {
        let own = Size::new(4, 4);
        let pixels: Vec<u8> = (0..16).collect();
        let pixels = buffer(PixelType::U8, &pixels);
        for (other, wanted) in
            [(Size::new(2, 2), vec![5, 7, 13, 15]), (Size::new(8, 1), vec![8, 8, 9, 9, 10, 10, 11, 11])]
        {
            let resampling = Resampling::between(own, other, true).unwrap();
            let made = window(resampling, PixelRect::whole(other), 1, (own, &pixels, None));
            assert_eq!(made.pixels.values::<u8>(), wanted);
        }
    }

    fn random(n: usize, seed: u64) -> Vec<u64> {
        let mut state = seed | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 8
        };
        (0..n).map(|_| next()).collect()
    }

    proptest! {
        #[test]
        fn a_value_does_not_depend_on_the_window_or_the_pieces(
            own in (1u32..40, 1u32..40), other in (1u32..40, 1u32..40), x in 0u32..40, y in 0u32..40, w in 1u32..40,
            h in 1u32..40, rows in 1u32..9, seed in any::<u64>(), lacking in any::<bool>(), indexed in any::<bool>(),
        ) {
            let (own, other) = (Size::new(own.0, own.1), Size::new(other.0, other.1));
            let Some(resampling) = Resampling::between(own, other, indexed) else { return Ok(()) };
            let numbers = random(own.len(), seed);
            let values: Vec<f32> = numbers.iter().map(|n| (*n as f32 / 1e9).sin()).collect();
            let valid: Vec<u8> = numbers.iter().map(|n| u8::from(!lacking || n % 3 > 0)).collect();
            let pixels = buffer(PixelType::F32, &values);
            let scene = (own, &pixels, Some(valid.as_slice()));
            let whole = window(resampling, PixelRect::whole(other), u32::MAX, scene);
            let span = |start: u32, len: u32, end: u32| Span::new(start % end, (start % end + len).min(end));
            let rect = PixelRect::from_spans(span(x, w, other.width), span(y, h, other.height));
            let made = window(resampling, rect, rows, scene);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(made.pixels.values()), bits(&part(whole.pixels.values(), other, rect)));
            let of_whole = whole.valid.map_or_else(|| vec![1; rect.size.len()], |valid| part(&valid, other, rect));
            prop_assert_eq!(made.valid.unwrap_or_else(|| vec![1; rect.size.len()]), of_whole);
        }

        #[test]
        fn pieces_hold_no_more_than_is_said(
            own in (1u32..9000, 1u32..9000), other in (1u32..9000, 1u32..9000), per_pixel in 1u64..30,
        ) {
            let (own, other) = (Size::new(own.0, own.1), Size::new(other.0, other.1));
            let Some(resampling) = Resampling::between(own, other, false) else { return Ok(()) };
            let window = PixelRect::whole(other);
            let held = |piece: PixelRect| resampling.source(piece).size.area() * per_pixel;
            let pieces: Vec<PixelRect> = resampling.pieces(window, per_pixel).collect();
            prop_assert!(pieces.iter().all(|piece| held(*piece) <= resampling.bytes(window, per_pixel)));
            prop_assert_eq!(pieces.iter().map(|piece| piece.size.height).sum::<u32>(), other.height);
            let one = PixelRect::from_spans(window.xs(), Span::new(0, 1));
            prop_assert!(resampling.bytes(window, per_pixel) < 2 * PIECE_BYTES + 2 * held(one) + (2 << 20));
        }
    }
}
