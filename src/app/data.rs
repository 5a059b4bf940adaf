//! `swath data`: labelled scenes looked at, counted and split.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::interrupt::interruptible;
use super::{Error, Output};
use crate::atomic;
use crate::config::Pipeline;
use crate::dataset::{
    DatasetError, Found, Grouping, IGNORED, Moments, Pair, Part, Reader, Setup, Shares, Survey, exclude, find, listed,
    split, with_readers,
};
use crate::lifecycle::machine;
use crate::raster::{Warned, Warnings};
use crate::report::{BandRow, ClassRow, DataReport, FileNote, PartRow, RefusedPair, SplitReport};
use crate::weights::Format;

/// Most pairs that are read at a time: each has a decoder of its own.
const READERS: usize = 8;

/// What `swath data` is asked.
#[derive(Clone, Debug)]
pub struct DataRequest {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Values of it that are changed.
    pub settings: Vec<String>,
    /// The folder or list.
    pub input: PathBuf,
    /// The part; none for all.
    pub part: Option<Part>,
    /// A list of pairs that are left out.
    pub exclude: Option<PathBuf>,
}

/// What was found, as far as it is asked for.
pub(super) struct Scenes {
    pub(super) pipeline: Pipeline,
    pub(super) found: Found,
}

/// Reads every pair.
///
/// # Errors
/// When the pipeline or the folder cannot be read, or somebody stops it. What is wrong with a pair is in the report.
pub fn survey_data(request: &DataRequest) -> Result<DataReport, Error> {
    let Scenes { pipeline, mut found } = scenes(request)?;
    let setup = Setup::of(&pipeline, &request.input, &found.pairs).map_err(Error::Usage)?;
    Reader::new(&setup).set_parts_aside(&mut found);
    let surveys = interruptible(|stop| {
        let survey = |reader: &mut Reader, pair: &_| Survey::of(reader, pair, stop).transpose();
        Ok(with_readers(&setup, &found.pairs, threads(), stop, survey))
    })?;
    Ok(summed(&pipeline, found, surveys))
}

/// Writes mean and standard deviation of a survey into a copy of the pipeline file.
///
/// # Errors
/// When bands have no pixel, or the file may not or cannot be written.
pub fn write_statistics(request: &DataRequest, report: &DataReport, to: &Output) -> Result<(), Error> {
    let pipeline = Pipeline::load(&request.pipeline, &request.settings)?;
    if Format::is_weights(&request.pipeline) {
        let text = "is a bundle, whose weights need the mean and std that they were trained with: name a pipeline file";
        return Err(Error::Usage(format!("`{}` {text}", request.pipeline.display())));
    }
    // The pipeline itself may be the file.
    to.check(&[&to.path], &[])?;
    let first = pipeline.members.first().map(|member| &member.input.bands);
    if pipeline.members.iter().any(|member| Some(&member.input.bands) != first) {
        let text = "members read different bands: write mean and std into their `input` tables by hand".to_owned();
        return Err(Error::Usage(text));
    }
    let all = pipeline.bands();
    let row = |band| all.iter().position(|own| own == band).and_then(|at| report.bands.get(at));
    let rows: Option<Vec<(f64, f64)>> =
        first.into_iter().flatten().map(|band| row(band).and_then(|row| Some((row.mean?, row.std?)))).collect();
    let rows = rows.ok_or_else(|| Error::Usage("there is a band without a pixel of data".to_owned()))?;
    let failed = |e: &dyn std::fmt::Display| Error::Usage(format!("`{}`: {e}", request.pipeline.display()));
    let text = std::fs::read_to_string(&request.pipeline).map_err(|e| failed(&e))?;
    let mut document: toml_edit::DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| failed(&e))?;
    for (key, values) in
        [("mean", rows.iter().map(|r| r.0).collect::<Vec<f64>>()), ("std", rows.iter().map(|r| r.1).collect())]
    {
        document["input"][key] = toml_edit::value(values.into_iter().map(rounded).collect::<toml_edit::Array>());
    }
    Ok(atomic::write(&to.path, document.to_string().as_bytes())?)
}

/// With six digits: more say nothing.
fn rounded(value: f64) -> f64 {
    format!("{value:.6e}").parse().unwrap_or(value)
}

/// Shares the pairs out, and writes them as a list.
///
/// # Errors
/// When a pair has no group, or the list may not or cannot be written.
pub fn split_data(
    request: &DataRequest,
    grouping: Grouping,
    shares: Shares,
    seed: u64,
    to: &Output,
) -> Result<SplitReport, Error> {
    let Scenes { pipeline, found } = scenes(request)?;
    to.check(&[&to.path], &[&request.pipeline, &request.input])?;
    let mut reader = Reader::new(&Setup::of(&pipeline, &request.input, &found.pairs).map_err(Error::Usage)?);
    let groups = found.pairs.iter().map(|pair| {
        let header = matches!(grouping, Grouping::Block(_)).then(|| reader.header(pair)).transpose();
        let group = header.and_then(|header| grouping.of(pair, header.as_ref()));
        group.map_err(|reason| Error::Usage(format!("`{}` is in no group: {reason}", pair.name)))
    });
    let groups: Vec<String> = groups.collect::<Result<_, _>>()?;
    let parts = split(&groups, shares, seed);
    let pairs: Vec<Pair> =
        found.pairs.into_iter().zip(&parts).map(|(pair, part)| Pair { part: *part, ..pair }).collect();
    let text = listed(&pairs).map_err(Error::Usage)?;
    atomic::write(&to.path, text.as_bytes())?;
    Ok(SplitReport { path: to.path.display().to_string(), groups: distinct(&groups), parts: counted(&parts) })
}

/// What a decoder warned of.
fn doubt((file, warnings): (&PathBuf, &Warnings)) -> FileNote {
    FileNote { path: file.display().to_string(), cause: warnings.to_vec().join("; ") }
}

fn distinct(groups: &[String]) -> u64 {
    groups.iter().collect::<std::collections::BTreeSet<_>>().len() as u64
}

fn counted(parts: &[Part]) -> Vec<PartRow> {
    let mut counts: BTreeMap<Part, u64> = BTreeMap::new();
    parts.iter().for_each(|part| *counts.entry(*part).or_default() += 1);
    counts.into_iter().map(|(part, pairs)| PartRow { part: part.to_string(), pairs }).collect()
}

pub(super) fn scenes(request: &DataRequest) -> Result<Scenes, Error> {
    let pipeline = Pipeline::load(&request.pipeline, &request.settings)?;
    let mut found = find(&request.input, &pipeline.data).map_err(|e: DatasetError| Error::Dataset(e))?;
    if let Some(part) = request.part {
        let parts: Vec<Part> = found.pairs.iter().map(|pair| pair.part).collect();
        found.pairs.retain(|pair| pair.part == part);
        if found.pairs.is_empty() {
            let there: Vec<String> = counted(&parts).into_iter().map(|row| row.part).collect();
            let (input, there) = (request.input.display(), there.join(", "));
            return Err(Error::Usage(format!("`{input}` has no pairs in the part {part}; it has: {there}")));
        }
    }
    if let Some(list) = &request.exclude {
        exclude(&mut found, list)?;
    }
    Ok(Scenes { pipeline, found })
}

/// How many pairs are read at a time.
pub(super) fn threads() -> usize {
    machine::cores().clamp(1, READERS)
}

fn summed(pipeline: &Pipeline, found: Found, surveys: Vec<Option<Result<Survey, String>>>) -> DataReport {
    let mut pixels = vec![0; 256];
    let (mut scenes, mut moments) = (vec![0_u64; 256], vec![Moments::default(); pipeline.bands().len()]);
    let (mut refused, mut sizes, mut resolutions) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut warned = Warned::new();
    let parts: Vec<Part> = found.pairs.iter().map(|pair| pair.part).collect();
    for (pair, survey) in found.pairs.iter().zip(surveys) {
        match survey {
            None => {}
            Some(Err(cause)) => {
                refused.push(RefusedPair { name: pair.name.clone(), part: pair.part.to_string(), cause })
            }
            Some(Ok(survey)) => {
                pixels.iter_mut().zip(&survey.pixels).for_each(|(sum, n): (&mut u64, &u64)| *sum += n);
                scenes.iter_mut().zip(&survey.pixels).for_each(|(sum, n)| *sum += u64::from(*n > 0));
                moments.iter_mut().zip(survey.bands).for_each(|(sum, own)| sum.join(own));
                warned.extend(survey.warned);
                sizes.push([survey.header.size.width, survey.header.size.height]);
                let resolution = survey.header.pixel_metres.map(|[x, _]| format!("{x:.6} m"));
                *resolutions.entry(resolution.unwrap_or_else(|| "unknown".to_owned())).or_insert(0_u64) += 1;
            }
        }
    }
    let labelled: u64 = pixels[..usize::from(IGNORED)].iter().sum();
    let share = |n: u64| if labelled == 0 { 0.0 } else { n as f64 / labelled as f64 };
    let row = |class: &crate::config::classes::Class| {
        let (n, scenes) = (pixels[usize::from(class.id)], scenes[usize::from(class.id)]);
        ClassRow { id: class.id, name: class.name.clone(), pixels: n, share: share(n), pairs: scenes }
    };
    let band = |(band, moments): (String, &Moments)| BandRow { band, mean: moments.mean(), std: moments.std() };
    DataReport {
        parts: counted(&parts),
        refused,
        warned: warned.iter().map(doubt).collect(),
        strays: found
            .strays
            .into_iter()
            .map(|s| FileNote { path: s.path.display().to_string(), cause: s.cause })
            .collect(),
        classes: pipeline.classes.classes().iter().map(row).collect(),
        ignored: pixels[usize::from(IGNORED)],
        bands: pipeline.bands().iter().map(ToString::to_string).zip(&moments).map(band).collect(),
        smallest: sizes.iter().min_by_key(|[w, h]| u64::from(*w) * u64::from(*h)).copied(),
        largest: sizes.iter().max_by_key(|[w, h]| u64::from(*w) * u64::from(*h)).copied(),
        resolutions: resolutions.into_iter().collect(),
    }
}
