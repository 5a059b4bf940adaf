//! `swath viz`: pictures of masks, row by row, whatever their size.
//!
//! ```text
//! masks of a run or a folder -> rows of labels ----------------------> color:   the class table's colours
//!                               and rows of the scene ---------------> overlay: colours over the scene
//!                               and rows of truth, by its rule ------> errors:  where they differ
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::interrupt::interruptible;
use super::masks::{Masks, Truth};
use super::{Error, Output};
use crate::config::Pipeline;
use crate::config::classes::{ClassId, ClassTable, Color};
use crate::dataset::{IGNORED, IMAGES};
use crate::eval::{Labels, Opener, Row, listing};
use crate::flow::Stop;
use crate::geom::{PixelRect, Size};
use crate::outputs::overlay::WHOLE;
use crate::outputs::{OutputError, RowWriter, color, errors, overlay};
use crate::plan::{Decode, numbers, seen};
use crate::raster::Fitting;
use crate::report::{Undrawn, VizReport};
use crate::stages::Picture;
use crate::words::explain;

/// Folders of the kinds of pictures.
const COLOR: &str = "color";
const OVERLAY: &str = "overlay";
const ERRORS: &str = "errors";

/// What `swath viz` is asked.
#[derive(Clone, Debug)]
pub struct VizRequest {
    /// A run directory, the folder of masks, or one.
    pub masks: PathBuf,
    /// A pipeline file with the class table; a run directory has its own.
    pub pipeline: Option<PathBuf>,
    /// Values of it that are changed.
    pub settings: Vec<String>,
    /// The folder for pictures.
    pub out: Output,
    /// How scenes show through their classes, if they are to.
    pub overlay: Option<Shown>,
    /// What errors are drawn against, if they are to be.
    pub truth: Option<Truth>,
    /// The colour of all that is wrong; else it has that of the class that it should be.
    pub wrong: Option<Color>,
}

/// Scenes below their classes.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The share of a pixel that is its class's colour.
    pub alpha: f64,
    /// The folder of images with the names of masks; a run knows its own.
    pub images: Option<PathBuf>,
}

/// Draws pictures. A mask that cannot be drawn is named in what is returned, and the others are.
///
/// # Errors
/// When nothing can be drawn: there are no masks or no class table, files are there already, or somebody stops it.
pub fn viz(request: &VizRequest) -> Result<VizReport, Error> {
    let masks = Masks::open(&request.masks, request.pipeline.as_deref(), &request.settings)?;
    let Some(pipeline) = masks.pipeline.clone() else {
        let path = request.masks.display();
        let text = format!("`{path}` is no run directory: give the class table with --pipeline FILE");
        return Err(Error::Usage(text));
    };
    let files = listing(&masks.path)?.files;
    if files.is_empty() {
        let text = format!("`{}` holds no masks (.png, .tif or .tiff)", masks.path.display());
        return Err(Error::Usage(text));
    }
    let mut report = VizReport { dir: request.out.path.display().to_string(), ..VizReport::default() };
    let mut painter = Painter::new(request, &masks, &pipeline, &mut report)?;
    for (stem, (_, mask)) in &files {
        let kinds = painter.kinds(mask);
        request.out.check(&painter.paths(stem, &kinds), &[mask])?;
        if request.truth.is_some() && !kinds.contains(&ERRORS) {
            report.without_truth.push(stem.display().to_string());
        }
    }
    let mut drawn: BTreeMap<&str, u64> = painter.all_kinds().into_iter().map(|kind| (kind, 0)).collect();
    interruptible(|stop| {
        for (stem, (name, mask)) in &files {
            match painter.draw(stem, mask, stop) {
                Ok(kinds) => kinds.into_iter().for_each(|kind| *drawn.entry(kind).or_default() += 1),
                // What the disk refuses, it refuses to the next mask too.
                Err(Fault::Output(error @ OutputError::Write(_))) => return Err(error.into()),
                Err(_) if stop.is_cut() => break,
                Err(Fault::Output(error)) => report.failed.push(Undrawn { name: name.clone(), cause: explain(&error) }),
                Err(Fault::Mask(cause)) => report.failed.push(Undrawn { name: name.clone(), cause }),
            }
        }
        Ok(())
    })?;
    report.pictures = drawn.into_iter().collect();
    Ok(report)
}

/// Why a mask is not drawn.
enum Fault {
    /// It cannot be read, or something that it is drawn with.
    Mask(String),
    /// A picture cannot be written.
    Output(OutputError),
}

impl From<String> for Fault {
    fn from(cause: String) -> Self {
        Self::Mask(cause)
    }
}

impl From<OutputError> for Fault {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}

/// Draws masks one after the other.
struct Painter<'a> {
    request: &'a VizRequest,
    masks: &'a Masks,
    pipeline: &'a Pipeline,
    /// By value of masks.
    labels: Vec<Option<ClassId>>,
    opener: Opener,
    truth: BTreeMap<PathBuf, PathBuf>,
    true_opener: Opener,
    ignore: Vec<u16>,
    decoder: Fitting,
}

impl<'a> Painter<'a> {
    fn new(
        request: &'a VizRequest,
        masks: &'a Masks,
        pipeline: &'a Pipeline,
        report: &mut VizReport,
    ) -> Result<Self, Error> {
        let paired = request.truth.as_ref().map(|truth| masks.paired(truth)).transpose()?;
        let rule = paired.as_ref().and_then(|paired| paired.rule.as_ref());
        let true_opener = Opener::by_rule(rule, Some(&pipeline.classes));
        let ignore = paired.as_ref().map(|paired| paired.ignore.clone()).unwrap_or_default();
        let mut truth = BTreeMap::new();
        if let Some(paired) = paired {
            truth.extend(paired.pairs.pairs.into_iter().map(|pair| (pair.mask, pair.truth)));
            report.without_mask = paired.pairs.missing;
        }
        let (labels, opener, decoder) = (labels(&pipeline.classes), Opener::of_values(), Fitting::new(Decode::TIMEOUT));
        Ok(Self { request, masks, pipeline, labels, opener, truth, true_opener, ignore, decoder })
    }

    fn all_kinds(&self) -> Vec<&'static str> {
        let VizRequest { overlay, truth, .. } = self.request;
        let overlay = overlay.as_ref().map(|_| OVERLAY);
        [COLOR].into_iter().chain(overlay).chain(truth.as_ref().map(|_| ERRORS)).collect()
    }

    /// The kinds of pictures that are drawn of a mask.
    fn kinds(&self, mask: &Path) -> Vec<&'static str> {
        let has = |kind: &&str| *kind != ERRORS || self.truth.contains_key(mask);
        self.all_kinds().into_iter().filter(has).collect()
    }

    fn paths(&self, stem: &Path, kinds: &[&str]) -> Vec<PathBuf> {
        let named = |kind: &&str| {
            let mut path = self.request.out.path.join(kind).join(stem).into_os_string();
            // Behind all of a name with dots in it.
            path.push(".png");
            PathBuf::from(path)
        };
        kinds.iter().map(named).collect()
    }

    /// Draws a mask, and says which kinds there are of it.
    fn draw(&mut self, stem: &Path, mask: &Path, stop: &Stop) -> Result<Vec<&'static str>, Fault> {
        let kinds = self.kinds(mask);
        let paths = self.paths(stem, &kinds);
        let mut picture = self.request.overlay.as_ref().map(|shown| self.picture(stem, shown)).transpose()?;
        let source = picture.as_ref().map(|picture| {
            let (header, widest) = picture.widest();
            self.decoder.for_request(header, &widest)
        });
        let mut own = Side::open(&mut self.opener, mask, &[], "")?;
        let truth = self.truth.get(mask);
        let ignored = "; --ignore VALUE leaves a value out";
        let truth = truth.map(|truth| Side::open(&mut self.true_opener, truth, &self.ignore, ignored));
        let mut truth = truth.transpose()?;
        let size = own.rows.size();
        let others =
            [("scene", picture.as_ref().map(Picture::size)), ("truth", truth.as_ref().map(|own| own.rows.size()))];
        if let Some((what, other)) =
            others.into_iter().find_map(|(what, other)| Some((what, other.filter(|o| *o != size)?)))
        {
            return Err(Fault::Mask(format!("the mask has {size} pixels and the {what} {other}")));
        }
        let begin = |(kind, path): (&&'static str, &PathBuf)| {
            Ok((*kind, self.request.begin(kind, path, size, &self.pipeline.classes)?))
        };
        let mut writers = kinds.iter().zip(&paths).map(begin).collect::<Result<Vec<_>, OutputError>>()?;
        let mut shown = picture.as_mut().zip(source);
        for y in 0.. {
            if stop.is_cut() {
                return Err(Fault::Mask("stopped".to_owned()));
            }
            // Truth is read to its end, so that it is known to be whole.
            let more = own.next_row(y, &self.labels)?;
            truth.as_mut().map(|truth| truth.next_row(y, &self.labels)).transpose()?;
            if !more {
                break;
            }
            for (kind, writer) in &mut writers {
                match (*kind, &mut shown, &truth) {
                    (OVERLAY, Some((picture, source)), _) => {
                        let pixels = picture.row(y, *source).map_err(|e| Fault::Mask(explain(&e)))?;
                        writer.push(&[&own.labels, pixels])?;
                    }
                    (ERRORS, _, Some(truth)) => writer.push(&[&own.labels, &truth.labels])?,
                    (_, _, _) => writer.push(&[&own.labels])?,
                }
            }
        }
        let written = writers.into_iter().map(|(_, writer)| writer.finish()).collect::<Result<Vec<_>, _>>()?;
        for written in written.into_iter().flatten() {
            written.file.persist().map_err(OutputError::from)?;
        }
        Ok(kinds)
    }

    /// The scene of a mask: what the run has read, or the image with its name.
    fn picture(&mut self, stem: &Path, shown: &Shown) -> Result<Picture, String> {
        let none = || "no network of the pipeline sees the scene".to_owned();
        let (Some(run), None) = (&self.masks.run, &shown.images) else {
            let folder = shown.images.as_deref().unwrap_or(Path::new("."));
            let named = |extension: &&str| {
                let mut path = folder.join(stem).into_os_string();
                path.push(format!(".{extension}"));
                PathBuf::from(path)
            };
            let path = IMAGES.iter().map(named).find(|path| path.is_file());
            let path = path.ok_or_else(|| format!("`{}` has no image of that name", folder.display()))?;
            let failed = |e: &dyn std::fmt::Display| format!("`{}`: {e}", path.display());
            let (input, n_bands) = overlay::shown(self.pipeline).ok_or_else(none)?;
            let bands = &input.bands[..n_bands];
            let header = seen(self.decoder.inspect(&path).map_err(|e| failed(&e))?, &self.pipeline.reading, bands);
            let bands = numbers(&header, bands).map_err(|e| failed(&e))?;
            let request = header.request(path.clone(), None, PixelRect::whole(header.size), bands);
            return Ok(Picture::new(header, request, input));
        };
        let name = stem.to_string_lossy();
        let scene = run.planned.plan.scenes.iter().position(|scene| scene.name == name);
        let scene = scene.ok_or_else(|| "the run's plan has no scene of that name".to_owned())?;
        Picture::of_plan(&run.planned.plan, scene).ok_or_else(none)
    }
}

impl VizRequest {
    fn begin(
        &self,
        kind: &str,
        path: &Path,
        size: Size,
        classes: &ClassTable,
    ) -> Result<Box<dyn RowWriter>, OutputError> {
        match kind {
            OVERLAY => overlay::create(path, size, classes, parts(self)),
            ERRORS => errors::create(path, size, classes, self.wrong.map(|Color(color)| color)),
            _ => Ok(Box::new(color::create(path, size, classes)?)),
        }
    }
}

/// A mask, or truth, that is read as labels.
struct Side<'a> {
    rows: Labels<'a>,
    path: &'a Path,
    /// Values that are left out.
    ignore: &'a [u16],
    /// What helps where a value is no class.
    remedy: &'static str,
    row: Row,
    /// The row at hand; what is left out takes no part.
    labels: Vec<ClassId>,
}

impl<'a> Side<'a> {
    fn open(opener: &'a mut Opener, path: &'a Path, ignore: &'a [u16], remedy: &'static str) -> Result<Self, String> {
        Ok(Self { rows: opener.open(path)?, path, ignore, remedy, row: Row::default(), labels: Vec::new() })
    }

    /// Goes on to a row; `false` behind the last one.
    fn next_row(&mut self, y: u32, of_value: &[Option<ClassId>]) -> Result<bool, String> {
        let more = self.rows.next_row(&mut self.row)?;
        self.labels.clear();
        for (x, value) in self.row.values.iter().enumerate() {
            let is_left_out = self.row.is_nodata.get(x) == Some(&true) || self.ignore.contains(value);
            let label = if is_left_out { Some(IGNORED) } else { of_value[usize::from(*value)] };
            let no_class = || {
                let (path, remedy) = (self.path.display(), self.remedy);
                format!("value {value} at column {x}, row {y} of `{path}` has no entry in the class table{remedy}")
            };
            self.labels.push(label.ok_or_else(no_class)?);
        }
        Ok(more)
    }
}

/// How many parts of a pixel are its class's colour.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a few hundred")]
fn parts(request: &VizRequest) -> u16 {
    let alpha = request.overlay.as_ref().map_or(0.5, |shown| shown.alpha);
    (alpha.clamp(0.0, 1.0) * f64::from(WHOLE)).round() as u16
}

/// The label of each value of masks.
fn labels(classes: &ClassTable) -> Vec<Option<ClassId>> {
    let mut labels = vec![None; 1 << 16];
    for (label, entry) in (0..=u8::MAX).zip(classes.by_label()) {
        entry.iter().for_each(|(value, _)| labels[usize::from(*value)] = Some(label));
    }
    labels
}
