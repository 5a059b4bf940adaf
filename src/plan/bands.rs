//! What a pipeline sees of a scene: which of its bands, and what their values are.

use std::path::{Path, PathBuf};

use crate::config::{Band, Reading};
use crate::geom::Size;
use crate::raster::{Mask, Mosaic, Palette, RasterError, Scale, SceneHeader};
use crate::words::count;

/// Names of the bands that a palette becomes.
const COLORS: [&str; 3] = ["red", "green", "blue"];

/// A header as the pipeline sees it: a palette's colours where it wants several bands, scaled values where it wants those, and the nodata
/// value that it knows where the file tells none.
pub(crate) fn seen(mut header: SceneHeader, reading: &Reading, wanted: &[Band]) -> SceneHeader {
    for value in header.nodata.iter_mut().filter(|value| value.is_none()) {
        *value = reading.nodata_value;
    }
    let is_color = |band: &Band| match band {
        Band::Number(number) => *number > 1,
        Band::Name(name) => COLORS.contains(&name.to_lowercase().as_str()),
        Band::File(_) => false,
    };
    if header.palette == Palette::Indices && wanted.iter().any(is_color) {
        return header.in_colors();
    }
    if reading.apply_scale && header.scale == Scale::Ignored { header.scaled() } else { header }
}

/// The numbers of the wanted bands in a scene; none where they are numbers anyway.
pub(crate) fn choose(header: &SceneHeader, wanted: &[Band]) -> Result<Vec<u32>, String> {
    let has = count(header.n_bands.into(), "band");
    let number = |(at, band): (u32, &Band)| match band {
        Band::Number(number) if *number <= header.n_bands => Ok(*number),
        Band::Number(number) if header.n_bands == 1 && wanted.len() == 3 => Err(format!(
            "the pipeline reads band {number} and the scene has {has}; input.bands = [1, 1, 1] would see it three times"
        )),
        Band::Number(number) => Err(format!(
            "the pipeline reads band {number} and the scene has {has}; change input.bands, or leave it out"
        )),
        Band::Name(name) => by_name(header, name),
        Band::File(_) => Ok(at),
    };
    let numbers = (1..).zip(wanted).map(number).collect::<Result<Vec<u32>, String>>()?;
    let is_plain = wanted.iter().all(|band| matches!(band, Band::Number(_)));
    Ok(if is_plain { Vec::new() } else { numbers })
}

/// The numbers of the wanted bands in a scene, where they are numbers too.
pub(crate) fn numbers(header: &SceneHeader, wanted: &[Band]) -> Result<Vec<u32>, String> {
    let chosen = choose(header, wanted)?;
    let number = |(at, band): (u32, &Band)| match band {
        Band::Number(number) => *number,
        Band::Name(_) | Band::File(_) => at,
    };
    Ok(if chosen.is_empty() { (1..).zip(wanted).map(number).collect() } else { chosen })
}

fn by_name(header: &SceneHeader, name: &str) -> Result<u32, String> {
    let wanted = name.to_lowercase();
    let called = (1..).zip(&header.names).filter(|(_, names)| names.contains(&wanted));
    match called.map(|(number, _)| number).collect::<Vec<u32>>().as_slice() {
        [only] => Ok(*only),
        [] => Err(format!(
            "the pipeline reads the band `{name}` and no band of the scene is called so (it has {}); name others in input.bands, or give \
             their numbers",
            all_names(header)
        )),
        several => {
            let several = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            Err(format!(
                "the pipeline reads the band `{name}`, as bands {several} of the scene are called; give its number in input.bands"
            ))
        }
    }
}

/// Bands whose names are listed.
const LISTED: usize = 12;

fn all_names(header: &SceneHeader) -> String {
    let name = |(number, names): (u32, &Vec<String>)| match names.first() {
        Some(name) => format!("{number}: {name}"),
        None => format!("{number}: no name"),
    };
    let listed: Vec<String> = (1..).zip(&header.names).take(LISTED).map(name).collect();
    let more = if header.names.len() > LISTED { ", ..." } else { "" };
    listed.join(", ") + more
}

/// The same, said of one of several files.
pub(super) fn in_file(path: &Path, error: RasterError) -> RasterError {
    let said = |text: String| format!("`{}`: {text}", path.file_name().unwrap_or_default().to_string_lossy());
    match error {
        RasterError::Open { detail } => RasterError::Open { detail: said(detail) },
        RasterError::Refused { reason } => RasterError::Refused { reason: said(reason) },
        RasterError::Crashed { detail } => RasterError::Crashed { detail: format!("{detail} ({})", path.display()) },
        error @ (RasterError::Read { .. }
        | RasterError::Vectors { .. }
        | RasterError::Changed
        | RasterError::NoDecoder { .. }) => error,
    }
}

/// The header of a scene whose bands are these files.
pub(super) fn merged(paths: &[PathBuf], headers: Vec<SceneHeader>) -> Result<SceneHeader, String> {
    let name = |at: usize| paths[at].file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mosaic = mosaic_of(&headers);
    let mut all = headers.into_iter().enumerate();
    let Some((_, mut whole)) = all.next() else { return Err("it has no file".into()) };
    let is_alone = |header: &SceneHeader| header.n_bands == 1 || (header.n_bands == 2 && header.mask == Mask::Dataset);
    let several = |at: usize, n: u32| {
        format!("`{}` has {}; where bands are files, each has one", name(at), count(n.into(), "band"))
    };
    if !is_alone(&whole) {
        return Err(several(0, whole.n_bands));
    }
    whole.nodata.truncate(1);
    for (at, header) in all {
        let differ = |what: &str, a: String, b: String| {
            format!(
                "its bands do not lie on one grid: {what} of `{}` is {a}, and of `{}` {b}; bring them to one (gdalwarp -tr), or read others",
                name(0),
                name(at)
            )
        };
        if !is_alone(&header) {
            return Err(several(at, header.n_bands));
        }
        if header.size != whole.size {
            return Err(differ("the size", whole.size.to_string(), header.size.to_string()));
        }
        if header.transform != whole.transform {
            let text = |header: &SceneHeader| header.transform.map_or("none".to_owned(), |t| format!("{:?}", t.0));
            return Err(differ("the transform", text(&whole), text(&header)));
        }
        if header.crs != whole.crs {
            let text = |header: &SceneHeader| header.crs.as_deref().unwrap_or("none").chars().take(60).collect();
            return Err(differ("the coordinate system", text(&whole), text(&header)));
        }
        if header.dtype != whole.dtype {
            return Err(format!(
                "`{}` is {} and `{}` is {}; bands need one pixel type (gdal_translate -ot)",
                name(0),
                whole.dtype,
                name(at),
                header.dtype
            ));
        }
        whole.nodata.push(header.nodata.first().copied().flatten());
        whole.mask = if header.mask == Mask::Dataset { header.mask } else { whole.mask };
        whole.scale = if header.scale == Scale::None { whole.scale } else { header.scale };
        whole.sparse |= header.sparse;
        let (a, b) = (whole.block, header.block);
        whole.block = Size::new(a.width.max(b.width), a.height.max(b.height));
    }
    whole.n_bands = u32::try_from(paths.len()).unwrap_or(u32::MAX);
    whole.interleaved = false;
    whole.mosaic = mosaic;
    Ok(whole)
}

/// What the files of a scene's bands take together, where some are mosaics.
fn mosaic_of(headers: &[SceneHeader]) -> Option<Mosaic> {
    let beside = headers.iter().filter_map(|header| header.mosaic).map(|mosaic| mosaic.beside).sum();
    let block_row = headers.iter().map(|header| header.block_row_bytes(header.size, 1)).sum();
    headers.iter().any(|header| header.mosaic.is_some()).then_some(Mosaic { block_row, beside })
}
