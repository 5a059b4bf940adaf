//! The header of a mosaic: what GDAL makes of its text, and each file that it is made of passed by the same preflight as a scene.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gdal::Metadata;

use super::fence::MOST_OPEN;
use super::vrt::{MOST_FILES, Piece, ROUNDING, Vrt, inside};
use super::{Gdal, Opened, preflight};
use crate::geom::{PixelRect, Size};
use crate::raster::{Mosaic, RasterError, SceneHeader, check_regular_file};

/// Mosaics inside mosaics.
const DEEPEST: u32 = 8;

/// Bytes that GDAL holds of a piece for each band, the text as a tree included (measured 2026-11-28 with GDAL 3.6.2: `gdalinfo` of 20 000
/// pieces in 3 bands had 186 MiB more resident than of one of their files, 3.2 KiB of these each).
const PER_PIECE: u64 = 4 << 10;

/// Bytes that a file holds which is kept open, beside a block.
const PER_OPEN: u64 = 64 << 10;

/// What lies beside a file and is opened with it.
const SIDECARS: [&str; 3] = [".msk", ".aux.xml", ".ovr"];

/// Completes the header of a mosaic by those of its pieces; those of other files stay as they are.
pub(super) fn completed(gdal: &Gdal, opened: &Opened, header: SceneHeader) -> Result<SceneHeader, RasterError> {
    with_pieces(gdal, opened, header, 0, &mut 0)
}

fn with_pieces(
    gdal: &Gdal,
    opened: &Opened,
    header: SceneHeader,
    depth: u32,
    n_files: &mut usize,
) -> Result<SceneHeader, RasterError> {
    let (Some(vrt), Some(roots)) = (&opened.vrt, gdal.roots()) else { return Ok(header) };
    if depth == DEEPEST {
        return refuse(format!("it has mosaics in mosaics in mosaics, {DEEPEST} deep or in a circle"));
    }
    let mut headers: BTreeMap<&Path, SceneHeader> = BTreeMap::new();
    for piece in &vrt.pieces {
        if !headers.contains_key(piece.path.as_path()) {
            *n_files += 1;
            if *n_files > MOST_FILES {
                return refuse(format!("it is made of more than {MOST_FILES} files; make several mosaics of it"));
            }
            headers.insert(&piece.path, header_of(gdal, piece, roots, depth, n_files)?);
        }
    }
    agree(opened, vrt)?;
    let places: Vec<(PixelRect, &SceneHeader)> = vrt
        .pieces
        .iter()
        .map(|piece| place(piece, &headers[piece.path.as_path()], header.size))
        .collect::<Result<_, _>>()?;
    let covered: u64 = places.iter().map(|(place, _)| place.size.area()).sum();
    let n_bands = u64::from(header.n_bands);
    let side = |of: fn(Size) -> u32| headers.values().map(|header| of(header.block)).max().unwrap_or(1);
    let block =
        Size::new(side(|block| block.width).min(header.size.width), side(|block| block.height).min(header.size.height));
    let blocks = headers.values().map(SceneHeader::block_bytes).max().unwrap_or(0);
    let inner: u64 = headers.values().filter_map(|header| header.mosaic).map(|mosaic| mosaic.beside).sum();
    let mosaic = Mosaic {
        block_row: widest_row(&places).saturating_mul(2),
        beside: (vrt.pieces.len() as u64 * n_bands * PER_PIECE)
            .saturating_add(
                u64::from(MOST_OPEN).min(headers.len() as u64).saturating_mul(blocks.saturating_add(PER_OPEN)),
            )
            .saturating_add(inner),
    };
    Ok(SceneHeader {
        block,
        sparse: covered != header.size.area() && !vrt.hides_nodata,
        mosaic: Some(mosaic),
        ..header
    })
}

fn refuse<T>(reason: String) -> Result<T, RasterError> {
    Err(RasterError::Refused { reason })
}

/// Refuses what GDAL reads otherwise than we do.
fn agree(opened: &Opened, vrt: &Vrt) -> Result<(), RasterError> {
    let said = opened.dataset.metadata_domain("xml:VRT").and_then(|texts| texts.into_iter().next());
    let said = said.unwrap_or_default();
    // Names that GDAL did not find in the text count from where a link to it is.
    let (real, own) = (opened.path.canonicalize().unwrap_or_default(), opened.path.clone());
    for folder in [&real, &own].map(|path| path.parent().unwrap_or(path)) {
        let other = Vrt::parse(&said, folder).or_else(refuse)?;
        match other.fault {
            Some(fault) => return refuse(fault),
            None if other.files() == vrt.files() => return Ok(()),
            None => {}
        }
    }
    refuse("GDAL finds other sources in it than its text tells; write it anew (gdalbuildvrt)".into())
}

/// The header of the file that a piece is of.
fn header_of(
    gdal: &Gdal,
    piece: &Piece,
    roots: &[PathBuf],
    depth: u32,
    n_files: &mut usize,
) -> Result<SceneHeader, RasterError> {
    let called = format!("its source `{}`", piece.name.chars().take(200).collect::<String>());
    let real = inside(&piece.path, &called, roots).or_else(refuse)?;
    for suffix in SIDECARS {
        let mut name = real.clone().into_os_string();
        name.push(suffix);
        if Path::new(&name).symlink_metadata().is_ok() {
            inside(Path::new(&name), &format!("the file {suffix} beside {called}"), roots).or_else(refuse)?;
        }
    }
    let mut read = || {
        let bytes = check_regular_file(&real)?;
        let opened = Opened::new(gdal, &real, None)?;
        let header = preflight::header(&opened, bytes)?;
        with_pieces(gdal, &opened, header, depth + 1, n_files)
    };
    read().map_err(|error| match error {
        RasterError::Refused { reason } => RasterError::Refused { reason: format!("{called}: {reason}") },
        RasterError::Open { detail } => RasterError::Open { detail: format!("{called}: {detail}") },
        error @ (RasterError::Read { .. }
        | RasterError::Vectors { .. }
        | RasterError::Changed
        | RasterError::Crashed { .. }
        | RasterError::NoDecoder { .. }) => error,
    })
}

/// Where a piece lies, which must be as large there as in its file: what is stretched would depend on the window that is read.
fn place<'a>(piece: &Piece, header: &'a SceneHeader, size: Size) -> Result<(PixelRect, &'a SceneHeader), RasterError> {
    let of = |rect: Option<[f64; 4]>, whole: Size| {
        rect.map_or([f64::from(whole.width), f64::from(whole.height)], |[_, _, width, height]| [width, height])
    };
    let (from, to) = (of(piece.from, header.size), of(piece.to, size));
    if from.iter().zip(&to).any(|(from, to)| (from - to).abs() > ROUNDING) {
        return refuse(format!(
            "its source `{}` is stretched from {} x {} to {} x {} pixels, and swath reads mosaics whose sources lie on one grid: bring them \
             to it (gdalwarp -tr -tap), or write the mosaic to a file (gdal_translate)",
            piece.name, from[0], from[1], to[0], to[1]
        ));
    }
    Ok((piece.place(size), header))
}

/// The most bytes of blocks that a row of pixels is made of.
fn widest_row(places: &[(PixelRect, &SceneHeader)]) -> u64 {
    let mut changes: Vec<(u32, i128)> = Vec::new();
    for (place, header) in places.iter().filter(|(place, _)| !place.size.is_empty()) {
        let bytes = i128::from(header.block_row_bytes(header.size, header.n_bands as usize));
        changes.extend([(place.ys().start, bytes), (place.ys().end, -bytes)]);
    }
    // What ends above a row is gone before what begins with it.
    changes.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, bytes) in changes {
        now += bytes;
        most = most.max(now);
    }
    u64::try_from(most).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Span;
    use crate::raster::MemoryRaster;

    #[test]
    fn the_widest_row_counts_what_lies_side_by_side_and_above_one_another() {
        let header = MemoryRaster::u8(Size::new(10, 10), 3, &[0; 300]).header;
        let of = |x: u32, y: u32| (PixelRect::from_spans(Span::new(x, x + 10), Span::new(y, y + 10)), &header);
        assert_eq!(widest_row(&[of(0, 0), of(10, 0), of(0, 10)]), 2 * 30);
        assert_eq!(widest_row(&[of(0, 0), of(10, 0), of(0, 5)]), 3 * 30);
        assert_eq!(widest_row(&[]), 0);
    }
}
