//! A pipeline file that somebody without one can start with: everything in it follows from the data and the machine, and is written down.
//!
//! Bands, their statistics and the classes are what the pairs hold; crops are as large as the scenes allow, a network is what the device
//! runs in useful time, and there are as many steps as fit into the time that is given, by a measurement of a few.

use std::fmt::Write as _;
use std::iter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Parts, TrainRequest};
use crate::app::data::{DataRequest, split_data, survey_data};
use crate::app::{Error, Output};
use crate::atomic;
use crate::config::Pipeline;
use crate::config::data::Data;
use crate::dataset::{Found, Grouping, IGNORED, Pair, Part, Shares, allowed, find};
use crate::infer;
use crate::plan::{Decode, DeviceId};
use crate::raster::{Driver, Drivers, Fitting, PixelType, is_mosaic};
use crate::report::{self, DataReport, Event};
use crate::train::{Moment, Trainer};
use crate::words::{count, plural, time};

/// How it begins.
const HEAD: &str = "# Written by `swath train --auto`";

/// What it leaves in the run directory, and goes on with.
const PIPELINE: &str = "pipeline.toml";
const PAIRS: &str = "pairs.tsv";
/// What the pairs are read by first.
const PROBE: &str = ".probe.toml";

/// Sides of crops, and steps between them.
const CROPS: std::ops::RangeInclusive<u32> = 32..=256;
const CROP_STEP: u32 = 32;

/// Crops of a step, of the largest size and of smaller ones.
const BATCH: [u64; 2] = [8, 32];

/// Memory from which on a GPU trains the larger network.
const LARGE_GPU: u64 = 12 << 30;

/// Validations in all.
const VALIDATIONS: u64 = 8;

/// The share of the time that steps have: the rest is for validations and for what was measured too well.
const STEPS_SHARE: f64 = 0.85;

/// The pipeline file and the pairs of a run directory: those that lie there, or new ones.
///
/// # Errors
/// When the data cannot be read, or says too little.
pub(super) fn pipeline(
    request: &TrainRequest,
    budget: Duration,
    gpus: &[Option<usize>],
) -> Result<(PathBuf, PathBuf), Error> {
    let file = request.out.join(PIPELINE);
    let list = request.out.join(PAIRS);
    let is_own = |file: &Path| std::fs::read_to_string(file).is_ok_and(|text| text.starts_with(HEAD));
    if file.exists() && !is_own(&file) {
        let file = file.display();
        return Err(Error::Usage(format!(
            "`{file}` was not written by --auto: name it in place of --auto, or another -o"
        )));
    }
    if !file.exists() || request.fresh {
        let input = match request.parts {
            Parts::Named => pairs(request, &list)?,
            // They share out what there is.
            Parts::Fold(_) | Parts::FoldOf(..) => request.input.clone(),
        };
        let text = decided(request, &input, budget, gpus)?;
        atomic::write(&file, text.as_bytes())?;
    }
    let is_listed = list.exists();
    Ok((file, if is_listed { list } else { request.input.clone() }))
}

/// The labelled scenes with parts: as they lie, or a list that shares them out.
fn pairs(request: &TrainRequest, list: &Path) -> Result<PathBuf, Error> {
    let Found { pairs, .. } = find(&request.input, &Data::default())?;
    let has = |part: Part| pairs.iter().any(|pair| pair.part == part);
    if has(Part::Train) && has(Part::Val) {
        // One of other scenes may lie there.
        drop(std::fs::remove_file(list));
        return Ok(request.input.clone());
    }
    let probe = probe(request, &request.input, &pairs)?;
    let data = DataRequest {
        pipeline: probe,
        settings: opening(request),
        input: request.input.clone(),
        part: if has(Part::Train) { Some(Part::Train) } else { None },
        exclude: request.exclude.clone(),
    };
    let to = Output { path: list.to_owned(), overwrite: true };
    // One at least, where there are few.
    let val = (1.0 / pairs.len() as f64).clamp(0.2, 0.5);
    let split = split_data(&data, Grouping::Scene, Shares::Parts { val, test: 0.0 }, 0, &to)?;
    drop(std::fs::remove_file(&data.pipeline));
    report::tell(&Event::Note { text: split.text().trim_end() });
    Ok(list.to_owned())
}

/// What the command line says of formats that may be opened: nobody else can, where there is no pipeline file.
fn opening(request: &TrainRequest) -> Vec<String> {
    request.settings.iter().filter(|setting| setting.starts_with("input.drivers")).cloned().collect()
}

/// A pipeline by which any mask of one band of 8 bits can be read: every value is a class, the last one is ignored.
fn probe(request: &TrainRequest, input: &Path, pairs: &[Pair]) -> Result<PathBuf, Error> {
    let first = pairs.first().ok_or_else(|| Error::Usage(format!("`{}` has no pairs", input.display())))?;
    let image = first.images.first().ok_or_else(|| Error::Usage(format!("the pair `{}` has no image", first.name)))?;
    let path = request.out.join(PROBE);
    let classes: Vec<(u8, String)> = (0..IGNORED).map(|value| (value, format!("class {value}"))).collect();
    let write = |n_bands: usize, dtype: PixelType, drivers: Drivers| {
        let (zeros, ones) = (vec![0.0; n_bands], vec![1.0; n_bands]);
        let text = text(&input_table(n_bands, dtype, drivers, &zeros, &ones), "resnet18", &classes, "");
        atomic::write(&path, text.as_bytes())
    };
    write(1, PixelType::U8, Drivers::default())?;
    let drivers = Pipeline::load(&path, &opening(request))?.reading.drivers;
    let header = Fitting::allowing(Decode::TIMEOUT, allowed(drivers, input, pairs)).inspect(image);
    // What is said of mosaics is what a pipeline file says.
    let hint = if is_mosaic(image) && !drivers.allow(Driver::Vrt) { "; here it is said by --set" } else { "" };
    let header = header.map_err(|e| Error::Usage(format!("cannot read `{}`: {e}{hint}", image.display())))?;
    let n_bands = if first.images.len() > 1 { first.images.len() } else { header.n_bands as usize };
    write(n_bands, header.dtype, drivers)?;
    Ok(path)
}

/// The text of the pipeline.
fn decided(request: &TrainRequest, input: &Path, budget: Duration, gpus: &[Option<usize>]) -> Result<String, Error> {
    let Found { pairs, .. } = find(input, &Data::default())?;
    let probe = probe(request, input, &pairs)?;
    let survey = |part: Option<Part>| {
        survey_data(&DataRequest {
            pipeline: probe.clone(),
            settings: opening(request),
            input: input.to_owned(),
            part,
            exclude: request.exclude.clone(),
        })
    };
    let named = |part: Part| pairs.iter().any(|pair| pair.part == part).then_some(part);
    let train = survey(named(Part::Train))?;
    let val = named(Part::Train).and(named(Part::Val)).map(|part| survey(Some(part))).transpose()?;
    let loaded = Pipeline::load(&probe, &opening(request))?;
    drop(std::fs::remove_file(&probe));
    let classes = classes(request, iter::once(&train).chain(&val))?;
    let rows: Option<(Vec<f64>, Vec<f64>)> = train.bands.iter().map(|band| Some((band.mean?, band.std?))).collect();
    let (means, stds) = rows.ok_or_else(|| Error::Usage("there is a band without a pixel of data".to_owned()))?;
    let flat = |std: &f64| *std <= 0.0;
    if let Some(band) = stds.iter().position(flat) {
        let text =
            format!("band {} is the same everywhere; leave it out: write a pipeline file with input.bands", band + 1);
        return Err(Error::Usage(text));
    }
    let dtype = *loaded.members[0].input.divide.keys().next().unwrap_or(&PixelType::U8);
    let table = input_table(means.len(), dtype, loaded.reading.drivers, &means, &stds);
    let [width, height] = train.smallest.unwrap_or([*CROPS.end(); 2]);
    let crop = (width.min(height) / CROP_STEP * CROP_STEP).clamp(*CROPS.start(), *CROPS.end());
    let batch = (BATCH[0] * u64::from(*CROPS.end() / crop).pow(2)).min(BATCH[1]);
    let is_large =
        gpus.iter().flatten().next().is_some_and(|gpu| {
            infer::device_memory(DeviceId::Cuda(*gpu)).is_some_and(|(_, memory)| memory >= LARGE_GPU)
        });
    let backbone = if is_large { "resnet50" } else { "resnet18" };
    let recipe = |epochs: u64, steps: u64| recipe(epochs, steps, batch, crop);
    let step = measured(request, &text(&table, backbone, &classes, &recipe(1, 1)), gpus)?;
    let n = (budget.as_secs_f64() * STEPS_SHARE / step.as_secs_f64().max(1e-6)).max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of steps")]
    let n = n as u64;
    let epochs = VALIDATIONS.min(n);
    report::tell(&Event::Note {
        text: &format!(
            "decided by the data and the device: {}, crops of {crop}, {batch} a step, {backbone}, {} in {}",
            plural(classes.len() as u64, "class", "classes"),
            count(n / epochs * epochs, "step"),
            time(budget.as_secs_f64())
        ),
    });
    Ok(text(&table, backbone, &classes, &recipe(epochs, n / epochs)))
}

/// The values that masks hold, and their names.
fn classes<'a>(
    request: &TrainRequest,
    surveys: impl Iterator<Item = &'a DataReport> + Clone,
) -> Result<Vec<(u8, String)>, Error> {
    let mut values: Vec<u8> = surveys
        .clone()
        .flat_map(|survey| survey.classes.iter().filter(|class| class.pixels > 0).map(|class| class.id))
        .collect();
    values.sort_unstable();
    values.dedup();
    if values.len() < 2 {
        let first = surveys.flat_map(|survey| &survey.refused).next();
        let why = first.map(|pair| format!("; `{}`: {}", pair.name, pair.cause)).unwrap_or_default();
        return Err(Error::Usage(format!(
            "--auto reads masks of one band of 8 bits and finds {} in them{why}; for others copy pipelines/train.toml, which says in [data] \
             what masks hold",
            count(values.len() as u64, "value")
        )));
    }
    let names = names(&request.input);
    let name = |value: u8| names.iter().find(|(own, _)| *own == value).map(|(_, name)| name.clone());
    Ok(values.into_iter().map(|value| (value, name(value).unwrap_or_else(|| format!("class {value}")))).collect())
}

/// What nnU-Net's dataset.json calls values, in either of its forms.
fn names(input: &Path) -> Vec<(u8, String)> {
    let text = std::fs::read_to_string(input.join("dataset.json")).unwrap_or_default();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let labels = document.get("labels").and_then(serde_json::Value::as_object);
    let pair = |(key, value): (&String, &serde_json::Value)| match (key.parse(), value) {
        (Ok(number), serde_json::Value::String(name)) => Some((number, name.clone())),
        (_, serde_json::Value::Number(number)) => Some((u8::try_from(number.as_u64()?).ok()?, key.clone())),
        _ => None,
    };
    labels.into_iter().flatten().filter_map(pair).collect()
}

/// How long a step takes, by the shortest of a few.
fn measured(request: &TrainRequest, text: &str, gpus: &[Option<usize>]) -> Result<Duration, Error> {
    let path = request.out.join(PROBE);
    atomic::write(&path, text.as_bytes())?;
    let pipeline = Pipeline::load(&path, &[]);
    drop(std::fs::remove_file(&path));
    let pipeline = pipeline?;
    let recipe = pipeline.train.ok_or_else(|| Error::Internal("there is no recipe".to_owned()))?;
    let member = &pipeline.members[0];
    let pixels = vec![1; pipeline.classes.classes().len()];
    let mut trainer = Trainer::new(&member.spec, &member.input, &recipe, &pixels, gpus).map_err(Error::Usage)?;
    let side = recipe.augment.window(recipe.crop);
    let n = recipe.batch as usize * (side * side) as usize;
    let batch =
        trainer.batch(recipe.batch as usize, side, &vec![0.5; n * member.input.bands.len()], &vec![1; n], &vec![0; n]);
    let mut shortest = Duration::MAX;
    for step in 0..3 {
        let began = Instant::now();
        trainer.step(&batch, Moment { step, epoch: 0.0, seed: 0 }).map_err(Error::Usage)?;
        shortest = shortest.min(began.elapsed());
    }
    Ok(shortest)
}

fn list(values: &[f64]) -> String {
    values.iter().map(|value| format!("{value:.6e}")).collect::<Vec<_>>().join(", ")
}

fn input_table(n_bands: usize, dtype: PixelType, drivers: Drivers, mean: &[f64], std: &[f64]) -> String {
    // Values of about 1, as far as one can know.
    let divide = match dtype {
        PixelType::U8 | PixelType::I8 => 255,
        PixelType::U16 | PixelType::I16 => 10_000,
        PixelType::U32 | PixelType::I32 | PixelType::U64 | PixelType::I64 | PixelType::F32 | PixelType::F64 => 1,
    };
    let bands: Vec<String> = (1..=n_bands).map(|band| band.to_string()).collect();
    let drivers = match drivers == Drivers::default() {
        true => String::new(),
        false => format!("drivers = {:?}\n", drivers.names()),
    };
    format!(
        "[input]\nbands = [{}]\n{drivers}divide = {{ {dtype} = {divide} }}\nmean = [{}]\nstd = [{}]\n",
        bands.join(", "),
        list(mean),
        list(std)
    )
}

fn recipe(epochs: u64, steps: u64, batch: u64, crop: u32) -> String {
    format!(
        "[train]\nepochs = {epochs}\nsteps_per_epoch = {steps}\nbatch = {batch}\ncrop = {crop}\naverage = {{ ema = 0.99 }}\n\
         [[train.losses]]\nkind = \"cross-entropy\"\n\
         [[train.losses]]\nkind = \"dice\"\nsmooth = 1.0\nweight = 0.5\n\
         [train.optimiser]\nrule = \"adamw\"\nrate = 1e-3\n\
         [train.schedule]\nkind = \"poly\"\npower = 0.9\n\
         [train.augment]\nflips = true\nquarter_turns = true\n"
    )
}

fn text(input: &str, backbone: &str, classes: &[(u8, String)], recipe: &str) -> String {
    let mut text = format!(
        "{HEAD}. It can be changed; pipelines/train.toml has every key.\n\n{input}\n[[members]]\nnetwork = \
         \"deeplabv3plus\"\nvariant = \"smp\"\nbackbone = \"{backbone}\"\nseed = 0\n\n{recipe}\n"
    );
    for (id, (value, name)) in classes.iter().enumerate() {
        let name = toml::Value::String(name.clone());
        // Writing to a text cannot fail.
        writeln!(text, "[[classes]]\nid = {id}\nname = {name}\nvalue = {value}\ncolor = \"{}\"", color(id))
            .unwrap_or_default();
    }
    text + &format!("\n[nodata]\nvalue = {IGNORED}\n")
}

/// Colours that are far apart for neighbours: hues by the golden angle.
fn color(id: usize) -> String {
    let hue = (id as f64 * 137.508) % 360.0 / 60.0;
    let channel = |shift: f64| {
        let at = (hue + shift) % 6.0;
        let share = (at - 3.0).abs().clamp(1.0, 2.0) - 1.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        let value = (40.0 + 190.0 * share) as u8;
        value
    };
    format!("#{:02x}{:02x}{:02x}", channel(0.0), channel(4.0), channel(2.0))
}
