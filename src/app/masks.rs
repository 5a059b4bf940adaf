//! Masks that are looked at again, of a run or in a folder, and the truth that they are held against.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;
use super::standing::look;
use crate::config::Pipeline;
use crate::config::classes::ClassTable;
use crate::config::data::Data;
use crate::dataset::{DatasetError, Found, LabelRule, Part, find};
use crate::eval::{Distance, Evaluation, Measures, PairFiles, Pairs, evaluate, listing, pairs_of};
use crate::journal::JOURNAL_FILE;
use crate::outputs::color::ColorPicture;
use crate::outputs::mask::Mask;
use crate::outputs::{OutputKind, OutputLayout};
use crate::plan::Planned;

/// The kind of output whose planes say how probable classes are.
const SCORES: &str = "scores";

/// Masks, and what is known of them.
pub(super) struct Masks {
    /// The folder of them, or one.
    pub(super) path: PathBuf,
    /// The run that they are of.
    pub(super) run: Option<MaskedRun>,
    /// The pipeline: the one that was given, or that of the run.
    pub(super) pipeline: Option<Pipeline>,
}

/// A run directory with masks.
pub(super) struct MaskedRun {
    dir: PathBuf,
    /// Its plan, whose files can be found from here.
    pub(super) planned: Planned,
}

/// What masks are held against.
#[derive(Clone, Debug)]
pub struct Truth {
    /// A folder of true masks, or one; or labelled scenes.
    pub path: PathBuf,
    /// The part of labelled scenes; none for all.
    pub part: Option<Part>,
    /// The part that masks are not expected of.
    pub without: Option<Part>,
    /// Values of it that are left out.
    pub ignore: Vec<u16>,
}

/// Truth by pairs, and how it is read.
pub(super) struct Paired {
    pub(super) pairs: Pairs,
    /// What makes class values of the truth, where it does not hold them itself.
    pub(super) rule: Option<Arc<LabelRule>>,
    /// Values that are left out.
    pub(super) ignore: Vec<u16>,
}

impl Masks {
    /// Looks at a run directory, or takes a folder of masks or one as it is.
    pub(super) fn open(path: &Path, pipeline: Option<&Path>, settings: &[String]) -> Result<Self, Error> {
        refuse_pictures(path)?;
        let given = pipeline.map(|file| Pipeline::load(file, settings)).transpose()?;
        if !path.join(JOURNAL_FILE).is_file() {
            return Ok(Self { path: path.to_owned(), run: None, pipeline: given });
        }
        let (_, state) = look(path)?;
        let mut planned = Planned::load(&OutputLayout { dir: path.to_owned() }.plan())?;
        // Relative to the folder that the run was started in.
        let folder = state.run.map(|run| PathBuf::from(run.folder)).unwrap_or_default();
        planned.plan.root = folder.join(&planned.plan.root);
        let pipeline = given.or_else(|| Some(planned.plan.pipeline.clone()));
        Ok(Self { path: path.join(Mask.folder()), run: Some(MaskedRun { dir: path.to_owned(), planned }), pipeline })
    }

    pub(super) fn classes(&self) -> Option<&ClassTable> {
        self.pipeline.as_ref().map(|pipeline| &pipeline.classes)
    }

    /// Finds the truth of each.
    pub(super) fn paired(&self, truth: &Truth) -> Result<Paired, Error> {
        refuse_pictures(&truth.path)?;
        let data = self.pipeline.as_ref().map(|pipeline| pipeline.data.clone()).unwrap_or_default();
        let labelled = labelled(&truth.path, &data)?;
        let mut pairs = match &labelled {
            None if truth.part.is_some() => {
                let path = truth.path.display();
                return Err(Error::Usage(format!("--part: `{path}` is a folder of masks, which has no parts")));
            }
            None => pairs_of(&self.path, &truth.path)?,
            Some(found) => self.of_labelled(found, truth)?,
        };
        if let Some(run) = self.run.as_ref().filter(|run| run.planned.plan.pipeline.outputs.scores) {
            for pair in &mut pairs.pairs {
                let inside = pair.mask.strip_prefix(&self.path).unwrap_or(&pair.mask);
                let file = run.scores_of(&inside.with_extension(""));
                pair.scores = file.is_file().then_some(file);
            }
        }
        let by_rule = self.run.is_some() || labelled.is_some() || data.tells_labels();
        let Some(pipeline) = self.pipeline.as_ref().filter(|_| by_rule) else {
            return Ok(Paired { pairs, rule: None, ignore: truth.ignore.clone() });
        };
        let rule = LabelRule::of(pipeline).map_err(Error::Usage)?.ignoring(&truth.ignore);
        Ok(Paired { pairs, rule: Some(Arc::new(rule)), ignore: Vec::new() })
    }

    /// Holds them against the truth that was found of each.
    pub(super) fn scored(&self, paired: Paired, boundary: Option<Distance>) -> Result<Evaluation, Error> {
        let remap = self.pipeline.as_ref().map(|pipeline| pipeline.remapped_values()).unwrap_or_default();
        let how = Measures {
            classes: self.classes(),
            rule: paired.rule.as_ref(),
            ignore: &paired.ignore,
            remap: &remap,
            boundary,
        };
        Ok(evaluate(paired.pairs, &how)?)
    }

    /// Pairs labelled scenes with masks: by the image that a run has read, or by name.
    fn of_labelled(&self, found: &Found, truth: &Truth) -> Result<Pairs, Error> {
        let is_wanted = |part: Part| truth.part.is_none_or(|wanted| part == wanted) && truth.without != Some(part);
        let wanted = found.pairs.iter().filter(|pair| is_wanted(pair.part));
        let mut masks = listing(&self.path)?;
        let mut pairs = Pairs { beside: std::mem::take(&mut masks.beside), ..Pairs::default() };
        let scenes = self.run.as_ref().map(MaskedRun::scenes);
        let mut n = 0_u64;
        for pair in wanted {
            n += 1;
            let by_image = scenes.as_ref().and_then(|scenes| {
                pair.images.iter().find_map(|image| scenes.by_image.get(&std::fs::canonicalize(image).ok()?))
            });
            let name = by_image.unwrap_or(&pair.name);
            // Where parts were joined, masks are called by both.
            let full = pair.full_name();
            let own = masks.files.remove(Path::new(name)).map(|own| (own, pair.name.clone()));
            match own.or_else(|| masks.files.remove(Path::new(&full)).map(|own| (own, full))) {
                Some(((_, mask), name)) => {
                    pairs.pairs.push(PairFiles { name, mask, truth: pair.mask.clone(), scores: None });
                }
                None if scenes.as_ref().is_some_and(|scenes| !scenes.names.contains(name)) => pairs.elsewhere += 1,
                None => pairs.missing.push(pair.name.clone()),
            }
        }
        if pairs.pairs.is_empty() {
            let (truth, masks) = (truth.path.display(), self.path.display());
            return Err(Error::Usage(format!(
                "none of the {n} labelled scenes of `{truth}` has a mask in `{masks}`: they pair by the image that a run has read, or else \
                 by name; --part chooses a part"
            )));
        }
        pairs.extra = masks.files.into_values().map(|(name, _)| name).collect();
        Ok(pairs)
    }
}

/// The scenes of a run.
struct Scenes {
    /// Names of masks by the files that they are made of.
    by_image: BTreeMap<PathBuf, String>,
    /// All of them, those that were refused as well.
    names: BTreeSet<String>,
}

impl MaskedRun {
    /// Where it has the scores of a mask, whose path has no extension.
    pub(super) fn scores_of(&self, stem: &Path) -> PathBuf {
        let mut file = self.dir.join(SCORES).join(stem).into_os_string();
        // Behind all of a name with dots in it.
        file.push(".tif");
        file.into()
    }

    fn scenes(&self) -> Scenes {
        let Planned { plan, .. } = &self.planned;
        let files = (0..plan.scenes.len()).flat_map(|scene| {
            let name = &plan.scenes[scene].name;
            plan.paths_of(scene)
                .into_iter()
                .filter_map(move |path| Some((std::fs::canonicalize(path).ok()?, name.clone())))
        });
        Scenes { by_image: files.collect(), names: self.planned.names().map(str::to_owned).collect() }
    }
}

/// Labelled scenes, unless it is a folder of masks or one of them.
fn labelled(path: &Path, data: &Data) -> Result<Option<Found>, Error> {
    let is_mask =
        path.extension().is_some_and(|own| crate::eval::EXTENSIONS.iter().any(|e| own.eq_ignore_ascii_case(e)));
    // Who looks for masks there tells what is not there.
    if (is_mask && path.is_file()) || !path.exists() {
        return Ok(None);
    }
    match find(path, data) {
        Ok(found) => Ok(Some(found)),
        Err(DatasetError::Nothing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Refuses the colour pictures of a run directory: their values are class ids, whatever the masks hold.
fn refuse_pictures(path: &Path) -> Result<(), Error> {
    let is_color =
        |folder: &&Path| folder.ends_with(ColorPicture.folder()) && folder.with_file_name(JOURNAL_FILE).is_file();
    let Some(folder) = path.ancestors().find(is_color) else { return Ok(()) };
    let masks = folder.with_file_name(Mask.folder()).join(path.strip_prefix(folder).unwrap_or(Path::new("")));
    let masks = masks.components().collect::<PathBuf>();
    Err(Error::Usage(format!(
        "`{}` holds pictures of masks: their values are indices of a palette, not class values; give `{}`",
        path.display(),
        masks.display()
    )))
}
