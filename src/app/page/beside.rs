//! Scenes of a validation beside their truth, for the page of a training.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pictures::Labels;
use super::{Camera, Limit};
use crate::app::Error;
use crate::config::classes::ClassId;
use crate::dataset::{LabelRule, Masks, Unknown};
use crate::geom::{PixelRect, Size, Span};
use crate::outputs::OutputLayout;
use crate::plan::{Decode, Planned, Scene};
use crate::raster::{Isolated, OpenSource};
use crate::report::{Pictures, TrainingExample};

/// Pixels of the longer side of a picture.
const LONGEST: u32 = 640;

/// What of a truth has no class.
const LEFT_OUT: [u8; 3] = [128; 3];

/// Rows of truth that are read at a time, unless they are long.
const ROWS: u32 = 256;
const STRIP: u64 = 4 << 20;

/// A scene whose mask was held against its truth.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::app) struct Judged {
    /// What it is called.
    pub(in crate::app) name: String,
    /// How good its mask is.
    pub(in crate::app) value: f64,
    /// The mask, in the run directory, and its truth.
    pub(in crate::app) mask: PathBuf,
    pub(in crate::app) truth: PathBuf,
}

/// Pictures of scenes of a run directory, each under a label. What cannot be read has no picture.
///
/// # Errors
/// When the plan of the run cannot be read.
pub(in crate::app) fn beside_truth(
    run: &Path,
    rule: &Arc<LabelRule>,
    scenes: Vec<(String, Judged)>,
) -> Result<Vec<TrainingExample>, Error> {
    let plan = Planned::load(&OutputLayout { dir: run.to_owned() }.plan())?.plan;
    let files = Isolated::allowing(plan.decoder_limits(1, Decode::TIMEOUT), plan.allowed());
    let limit = Limit { until: None, is_stopped: &|| false };
    let camera = Camera::new(run, &plan, &files, LONGEST, &limit);
    let mut colors: Vec<[u8; 3]> = plan.pipeline.classes.classes().iter().map(|class| class.color.0).collect();
    colors.push(LEFT_OUT);
    let (mut source, mut masks) = (files.open(), Masks::new(rule));
    let mut example = |(label, Judged { name, value, mask, truth }): (String, Judged)| {
        let is_own =
            |scene: &Scene| OutputLayout::files(&scene.name, &plan.pipeline).any(|file| run.join(file) == mask);
        let planned = plan.scenes.iter().position(is_own);
        let Pictures { image, mask: prediction, .. } =
            planned.map_or_else(Pictures::default, |scene| camera.take(scene, source.as_mut()));
        let truth = self::truth(&truth, &mut masks, &colors).ok();
        TrainingExample { label, scene: name, value, image, prediction, truth }
    };
    Ok(scenes.into_iter().map(&mut example).collect())
}

/// The best, the median and the worst, as far as there are different ones. Of equal ones the first by name.
pub(in crate::app) fn best_and_worst(mut scenes: Vec<Judged>) -> Vec<(String, Judged)> {
    scenes.sort_by(|a, b| b.value.total_cmp(&a.value).then_with(|| a.name.cmp(&b.name)));
    let n = scenes.len();
    let mut places = vec![("best", 0), ("median", n.saturating_sub(1) / 2), ("worst", n.saturating_sub(1))];
    places.dedup_by_key(|(_, place)| *place);
    places.into_iter().filter_map(|(label, place)| Some((label.to_owned(), scenes.get(place)?.clone()))).collect()
}

/// A picture of truth in the colours of the classes, the last one for what has none.
fn truth(path: &Path, masks: &mut Masks, colors: &[[u8; 3]]) -> Result<String, String> {
    let file = masks.open(path)?;
    let size: Size = file.header().size;
    let mut labels = Labels::new(size, LONGEST, colors);
    let row_bytes = u64::from(size.width.max(1)) * file.pixel_bytes() as u64;
    let n_rows = u32::try_from(STRIP / row_bytes).unwrap_or(ROWS).clamp(1, ROWS);
    let (mut classes, mut unknown): (Vec<ClassId>, _) = (Vec::new(), Unknown::default());
    for first in (0..size.height).step_by(n_rows as usize) {
        let rows = Span::new(first, (first + n_rows).min(size.height));
        masks.read(&file, PixelRect::from_spans(Span::new(0, size.width), rows), &mut classes, &mut unknown)?;
        for (y, row) in (first..).zip(classes.chunks_exact(size.width as usize)) {
            // What has no class is beyond the last of them: it has the last colour.
            labels.add(y, row.iter().copied());
        }
    }
    labels.picture()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::config::Pipeline;
    use crate::raster::{Fitting, MemoryRaster, MemorySource};

    #[test]
    fn truth_has_the_colours_of_its_classes_and_one_for_what_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.toml");
        let text = "[input]\nbands = [1]\ndivide = { u8 = 1 }\nmean = [0.0]\nstd = [1.0]\n[tiler]\nstrategy = \"whole\"\nwhole_max = 64\n\
            [[members]]\nnetwork = \"unet\"\nbackbone = \"resnet18\"\nseed = 1\n\
            [[classes]]\nid = 0\nname = \"a\"\nvalue = 7\ncolor = \"#010203\"\n\
            [[classes]]\nid = 1\nname = \"b\"\nvalue = 9\ncolor = \"#c86432\"\n[data]\nremap = { \"0\" = \"ignore\" }\n";
        crate::atomic::write(&path, text.as_bytes()).unwrap();
        let rule = Arc::new(LabelRule::of(&Pipeline::load(&path, &[]).unwrap()).unwrap());
        let raster = MemoryRaster::u8(Size::new(3, 2), 1, &[7, 9, 0, 9, 9, 7]);
        let source = MemorySource::new([("t.png".into(), raster)]);
        let mut masks = Masks::through(&rule, Fitting::over(source.open()));
        let uri = truth(Path::new("t.png"), &mut masks, &[[1, 2, 3], [200, 100, 50], LEFT_OUT]).unwrap();
        let png = STANDARD.decode(uri.split(',').nth(1).unwrap()).unwrap();
        let (a, b) = ([1, 2, 3], [200, 100, 50]);
        let colors = [a, b, LEFT_OUT, b, b, a].concat();
        assert_eq!(image::load_from_memory(&png).unwrap().to_rgb8().into_raw(), colors);
        assert!(truth(Path::new("u.png"), &mut masks, &[a]).is_err());
    }

    fn judged(values: &[f64]) -> Vec<Judged> {
        let judged = |(n, value): (usize, &f64)| Judged {
            name: format!("s{n}"),
            value: *value,
            mask: PathBuf::new(),
            truth: PathBuf::new(),
        };
        values.iter().enumerate().map(judged).collect()
    }

    #[test]
    fn the_best_the_median_and_the_worst_are_shown_each_once() {
        let named = |values: &[f64]| {
            let chosen = best_and_worst(judged(values));
            chosen.into_iter().map(|(label, scene)| format!("{label} {}", scene.name)).collect::<Vec<_>>()
        };
        assert_eq!(named(&[0.1, 0.9, 0.5, 0.6, 0.4]), ["best s1", "median s2", "worst s0"]);
        assert_eq!(named(&[0.5, 0.5, 0.5]), ["best s0", "median s1", "worst s2"]);
        assert_eq!(named(&[0.1, 0.9]), ["best s1", "worst s0"]);
        assert_eq!(named(&[0.1]), ["best s0"]);
        assert_eq!(named(&[]), Vec::<String>::new());
    }
}
