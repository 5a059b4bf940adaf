//! Crops over scenes in memory: every pixel against what a few lines make of the same scenes.
#![expect(clippy::disallowed_methods, reason = "scratch files of a test")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::index::Index;
use super::reader::Setup;
use super::{Crop, Drawer, Feed, Found, IGNORED, LoadError, Loader, Pair, Part, Refused, exclude, find};
use crate::config::Pipeline;
use crate::config::data::{Data, Sampling};
use crate::flow::Stop;
use crate::geom::{GeoTransform, Size};
use crate::raster::{Fitting, MemoryRaster, MemorySource, OpenSource, PixelBuf, PixelType, ReadFault};
use crate::tiler::Border;

const CLASSES: u8 = 3;

fn pipeline(input: &str, more: &str) -> Pipeline {
    let mut text = format!(
        "[input]\nbands = [1, 2]\ndivide = {{ u8 = 2, i16 = 1 }}\nmean = [0.0, 0.0]\nstd = [1.0, 1.0]\n{input}\n[tiler]\n\
         strategy = \"whole\"\nwhole_max = 64\n[[members]]\nnetwork = \"unet\"\nbackbone = \"resnet18\"\nseed = 1\n{more}\n"
    );
    for id in 0..CLASSES {
        text += &format!(
            "[[classes]]\nid = {id}\nname = \"c{id}\"\nvalue = {}\ncolor = \"#{id:02x}2030\"\n",
            10 * (id + 1)
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.toml");
    let text = text + "[data]\nremap = { \"0\" = \"ignore\" }\n";
    std::fs::write(&path, text.as_bytes()).unwrap();
    Pipeline::load(&path, &[]).unwrap()
}

/// Numbers below `n` that look random.
fn numbers(len: usize, n: u8, seed: usize) -> Vec<u8> {
    let hash = |i: usize| (i ^ seed.wrapping_mul(0x9e37)).wrapping_mul(2_654_435_761) >> 16;
    (0..len).map(|i| u8::try_from(hash(i) % usize::from(n)).unwrap()).collect()
}

/// An image of two bands and its mask of values, one of which in four is no class.
#[derive(Clone)]
struct Scene {
    image: MemoryRaster,
    mask: MemoryRaster,
}

fn scene(width: u32, height: u32, seed: usize) -> Scene {
    let size = Size::new(width, height);
    let image = MemoryRaster::u8(size, 2, &numbers(2 * size.len(), 251, seed));
    let values: Vec<u8> = numbers(size.len(), CLASSES + 1, seed + 100).iter().map(|v| v * 10).collect();
    Scene { image, mask: MemoryRaster::u8(size, 1, &values) }
}

/// Of shapes of all kinds, some of them in tiles.
fn scenes() -> Vec<Scene> {
    let mut scenes: Vec<Scene> = [(1, 1), (3, 50), (40, 24), (131, 77), (50, 1), (90, 33)]
        .into_iter()
        .zip(1..)
        .map(|((w, h), i)| scene(w, h, i))
        .collect();
    for tiled in [2, 3] {
        scenes[tiled].image.header.block = Size::new(16, 16);
    }
    scenes[3].mask.header.block = Size::new(16, 16);
    // One pixel in all bands without data, here and there.
    scenes[5].image.header.nodata = vec![Some(250.0); 2];
    let size = scenes[5].image.header.size.len();
    let mut bytes = scenes[5].image.pixels.bytes().to_vec();
    for at in (0..size).step_by(3) {
        bytes[at] = 250;
        bytes[size + at] = 250;
    }
    scenes[5].image.pixels = PixelBuf::from_slice(PixelType::U8, &bytes);
    scenes
}

fn pair(idx: usize) -> Pair {
    let file = |what: &str| PathBuf::from(format!("{what}{idx}"));
    Pair { name: format!("s{idx}"), images: vec![file("image")], mask: file("mask"), part: Part::Train, weight: 1.0 }
}

fn built(pipeline: &Pipeline, scenes: &[Scene]) -> (Arc<Index>, Vec<Refused>) {
    let files = scenes.iter().enumerate().flat_map(|(idx, scene)| {
        let Pair { images, mask, .. } = pair(idx);
        [(images[0].clone(), scene.image.clone()), (mask, scene.mask.clone())]
    });
    let pairs: Vec<Pair> = (0..scenes.len()).map(pair).collect();
    of_pairs(pipeline, MemorySource::new(files), &pairs)
}

fn of_pairs(pipeline: &Pipeline, source: MemorySource, pairs: &[Pair]) -> (Arc<Index>, Vec<Refused>) {
    let setup = Setup::through(pipeline, Box::new(move |_| Fitting::over(source.open()))).unwrap();
    let done = AtomicUsize::new(0);
    let progress = || {
        done.fetch_add(1, Ordering::Relaxed);
    };
    let (index, refused) = Index::build(&setup, pairs, 2, &Stop::new(), &progress).unwrap();
    assert_eq!(done.into_inner(), pairs.len());
    (Arc::new(index), refused)
}

/// The crops of some steps of two.
fn load(drawer: &Drawer, from_step: u64, steps: usize, readers: usize, memory: u64) -> Vec<Crop> {
    let feed = Feed { from_step, batch: 2, readers, memory };
    let mut loader = Loader::start(drawer, &feed, Stop::new()).unwrap();
    (0..steps).flat_map(|_| loader.next().unwrap()).collect()
}

/// The class id of a value of these masks.
fn class(value: u8) -> u8 {
    if value == 0 { IGNORED } else { value / 10 - 1 }
}

/// The crop of a place, pixel by pixel.
fn expected(scene: &Scene, crop: &Crop, side: u32) -> Crop {
    let Size { width, height } = scene.image.header.size;
    let area = (width * height) as usize;
    let (image, mask) = (scene.image.pixels.bytes(), scene.mask.pixels.bytes());
    let mut made = Crop {
        image: vec![0.0; (2 * side * side) as usize],
        valid: vec![],
        labels: vec![],
        place: crop.place,
        weight: 1.0,
    };
    for at in 0..side * side {
        let (x, y) = (crop.place.x + i64::from(at % side), crop.place.y + i64::from(at / side));
        let [column, row] = [(x, width), (y, height)].map(|(at, n)| Border::Reflect.resolve(at, n).unwrap());
        let pixel = (row * width + column) as usize;
        let values = [image[pixel], image[area + pixel]];
        let is_valid = scene.image.header.nodata[0].is_none() || values != [250; 2];
        for (band, value) in values.into_iter().enumerate().filter(|_| is_valid) {
            made.image[band * (side * side) as usize + at as usize] = f32::from(value) / 2.0;
        }
        let is_inside = (i64::from(column), i64::from(row)) == (x, y);
        made.valid.push(u8::from(is_valid));
        made.labels.push(if is_inside && is_valid { class(mask[pixel]) } else { IGNORED });
    }
    made
}

#[test]
fn crops_are_what_lies_there_whatever_is_kept_and_however_many_read() {
    let (scenes, side) = (scenes(), 32);
    let (index, refused) = built(&pipeline("", ""), &scenes);
    assert_eq!((index.len(), refused), (scenes.len(), vec![]));
    for sampling in [Sampling::Area, Sampling::Class, Sampling::Scene] {
        let drawer = Drawer::new(Arc::clone(&index), sampling, side, 7);
        let all = load(&drawer, 0, 60, 1, 0);
        assert!(all.iter().all(|crop| crop.labels.iter().any(|label| *label != IGNORED)));
        for crop in &all {
            assert_eq!(*crop, expected(&scenes[crop.place.scene], crop, side), "{:?}", crop.place);
        }
        // Nothing, a few scenes, all.
        for (readers, memory) in [(2, 0), (3, 400_000), (2, 150_000), (3, 1 << 30)] {
            assert!(load(&drawer, 0, 60, readers, memory) == all, "{readers} readers, {memory} bytes");
        }
        assert!(load(&drawer, 23, 37, 2, 1 << 20) == all[46..], "from a step on");
        let other = Drawer::new(Arc::clone(&index), sampling, side, 8);
        assert!(load(&other, 0, 60, 2, 1 << 20) != all, "by the seed");
    }
}

#[test]
fn small_memory_keeps_some_scenes_and_reads_them_again() {
    let scenes: Vec<Scene> = (0..4).map(|seed| scene(60, 60, seed)).collect();
    let rows = |memory: u64| {
        let files = scenes.iter().enumerate().flat_map(|(idx, scene)| {
            let Pair { images, mask, .. } = pair(idx);
            [(images[0].clone(), scene.image.clone()), (mask, scene.mask.clone())]
        });
        let source = MemorySource::new(files);
        let (index, _) = of_pairs(&pipeline("", ""), source.clone(), &(0..4).map(pair).collect::<Vec<_>>());
        let before = source.rows_read();
        load(&Drawer::new(index, Sampling::Area, 16, 1), 0, 100, 1, memory);
        source.rows_read() - before
    };
    let (all, some) = (rows(1 << 20), rows(60_000));
    assert_eq!(all, 4 * 2 * 60, "each file once");
    assert!(some > 4 * all, "{some} rows");
}

/// Whether a number of hits is what is expected of so many tries, within five standard deviations.
fn is_near(hits: usize, tries: usize, chance: f64) -> bool {
    let (expected, variance) = (tries as f64 * chance, tries as f64 * chance * (1.0 - chance));
    (hits as f64 - expected).abs() < 5.0 * variance.sqrt() + 1e-9
}

#[test]
fn pixels_classes_and_scenes_come_up_as_often_as_is_said() {
    // Class 2 is rare, and in one scene only.
    let mut scenes = vec![scene(40, 24, 1), scene(20, 17, 2)];
    for (idx, scene) in scenes.iter_mut().enumerate() {
        let mut values: Vec<u8> = scene.mask.pixels.bytes().iter().map(|v| if *v == 30 { 0 } else { *v }).collect();
        if idx == 0 {
            values[37] = 30;
            values[38] = 30;
        }
        scene.mask.pixels = PixelBuf::from_slice(PixelType::U8, &values);
    }
    let (index, _) = built(&pipeline("", ""), &scenes);
    let masks: Vec<&[u8]> = scenes.iter().map(|scene| scene.mask.pixels.bytes()).collect();
    let totals = index.classes();
    let n_of = |scene: usize, class: u8| masks[scene].iter().filter(|v| **v == 10 * (class + 1)).count();
    assert_eq!(totals, [0, 1, 2].map(|class| (n_of(0, class) + n_of(1, class)) as u64));
    assert_eq!(totals[2], 2);
    let labelled: Vec<usize> = (0..2).map(|scene| (0..CLASSES).map(|class| n_of(scene, class)).sum()).collect();
    let tries = 60_000;
    for sampling in [Sampling::Area, Sampling::Class, Sampling::Scene] {
        let drawer = Drawer::new(Arc::clone(&index), sampling, 8, 3);
        let mut hits: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for step in 0..tries {
            let aim = drawer.aim(step as u64, 0, 0).unwrap();
            // The pixel, found by its rank.
            let (block, width) = (aim.spot.block, scenes[aim.scene].mask.header.size.width);
            let pixels = (block.y..block.ys().end).flat_map(|y| (block.x..block.xs().end).map(move |x| (x, y)));
            let of_class = pixels.filter(|(x, y)| class(masks[aim.scene][(y * width + x) as usize]) == aim.class);
            let (x, y) = of_class.into_iter().nth(usize::try_from(aim.spot.rank).unwrap()).unwrap();
            let place = drawer.place(&aim, x, y);
            let holds = |from: i64, at: u32| (from..from + 8).contains(&i64::from(at));
            assert!(holds(place.x, x) && holds(place.y, y) && place.x >= 0 && place.y >= 0, "{place:?}");
            *hits.entry((aim.scene, (y * width + x) as usize)).or_default() += 1;
        }
        for scene in 0..2 {
            for (at, value) in masks[scene].iter().enumerate().filter(|(_, value)| **value != 0) {
                let class = usize::from(class(*value));
                let chance = match sampling {
                    Sampling::Area => 1.0 / (labelled[0] + labelled[1]) as f64,
                    Sampling::Class => 1.0 / 3.0 / totals[class] as f64,
                    Sampling::Scene => 1.0 / 2.0 / labelled[scene] as f64,
                };
                let n = hits.remove(&(scene, at)).unwrap_or(0);
                assert!(is_near(n, tries, chance), "{sampling:?}: pixel {at} of scene {scene}: {n}, chance {chance}");
            }
        }
        assert!(hits.is_empty(), "pixels without a class: {hits:?}");
    }
}

#[test]
fn blocks_grow_with_the_scene_and_every_pixel_is_found() {
    let huge = scene(2100, 1900, 5);
    let (index, _) = built(&pipeline("", ""), std::slice::from_ref(&huge));
    let (scene, mask) = (&index.scenes[0], huge.mask.pixels.bytes());
    assert!(scene.block_bytes() > 16 * 16);
    for class_id in 0..CLASSES {
        let total = scene.pixels[usize::from(class_id)];
        let mut blocks = BTreeMap::new();
        for rank in (0..total).step_by(997).chain([total - 1]) {
            let found = scene.find(class_id, rank).unwrap();
            let block = (found.block.x, found.block.y);
            let n = *blocks.entry(block).or_insert_with(|| {
                let rows = found.block.y..found.block.ys().end;
                let row = |y: u32| &mask[(y * 2100 + found.block.x) as usize..][..found.block.size.width as usize];
                rows.flat_map(row).filter(|v| class(**v) == class_id).count() as u64
            });
            assert!(found.rank < n, "{found:?} of {n}");
        }
        assert!(scene.find(class_id, total).is_none());
    }
}

#[test]
fn pairs_that_are_no_use_are_refused_by_name() {
    let mut scenes: Vec<Scene> = (0..5).map(|seed| scene(20, 10, seed)).collect();
    let at = |x: f64| Some(GeoTransform::north_up(x, 50.0, 2.0));
    scenes[1].image.header.transform = at(100.0);
    scenes[1].mask.header.transform = at(103.0);
    scenes[2].mask = MemoryRaster::u8(Size::new(20, 10), 1, &[0; 200]);
    scenes[3].mask = MemoryRaster::u8(Size::new(20, 10), 1, &[7; 200]);
    scenes[4].mask.fault = Some(ReadFault::Row(3));
    let (index, refused) = built(&pipeline("", ""), &scenes);
    let said: Vec<(&str, &str)> = refused.iter().map(|r| (r.name.as_str(), r.cause.as_str())).collect();
    let wanted = [
        ("train/s1", "1.50 pixels apart"),
        ("train/s2", "no pixel of a class"),
        ("train/s3", "7 (200 pixels)"),
        ("train/s4", "`mask4`: cannot read"),
    ];
    assert_eq!((said.len(), index.len()), (4, 1));
    for ((name, cause), (wanted, words)) in said.iter().zip(wanted) {
        assert!(*name == wanted && cause.contains(words), "{name}: {cause}");
    }
    let digest = |scenes: &[Scene]| built(&pipeline("", ""), scenes).0.digest().to_owned();
    let whole = digest(&scenes);
    assert_eq!(whole, index.digest());
    let mut values = scenes[0].mask.pixels.bytes().to_vec();
    values.swap(0, 19);
    assert_ne!(values[0], values[19]);
    scenes[0].mask.pixels = PixelBuf::from_slice(PixelType::U8, &values);
    assert_ne!(digest(&scenes), whole, "as much of each class, elsewhere");
}

fn failure(drawer: &Drawer, memory: u64) -> LoadError {
    let feed = Feed { from_step: 0, batch: 2, readers: 2, memory };
    let mut loader = match Loader::start(drawer, &feed, Stop::new()) {
        Ok(loader) => loader,
        Err(error) => return error,
    };
    (0..1000).find_map(|_| loader.next().err()).unwrap()
}

#[test]
fn what_goes_wrong_while_loading_is_told_with_the_pair() {
    let mut scenes = vec![scene(20, 10, 1), scene(20, 10, 2)];
    scenes[1].image.fault = Some(ReadFault::Row(4));
    for memory in [0, 1 << 20] {
        let (index, _) = built(&pipeline("", ""), &scenes);
        let text = failure(&Drawer::new(index, Sampling::Area, 16, 1), memory).to_string();
        let words = ["`train/s1`", "`image1`: cannot read", "planted fault", "--exclude"];
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
    // Labels where there is no data, and nowhere else.
    let mut scenes = vec![scene(20, 10, 1)];
    scenes[0].image.header.nodata = vec![Some(250.0); 2];
    scenes[0].image.pixels = PixelBuf::from_slice(PixelType::U8, &[250_u8; 400]);
    let (index, _) = built(&pipeline("", ""), &scenes);
    let error = failure(&Drawer::new(index, Sampling::Scene, 16, 1), 0);
    assert!(matches!(&error, LoadError::NoLabels { pair } if pair == "train/s0"), "{error}");
    let (index, _) = built(&pipeline("", ""), &[]);
    assert!(matches!(failure(&Drawer::new(index, Sampling::Class, 16, 1), 0), LoadError::Empty));
    let (index, _) = built(&pipeline("", ""), &[scene(9, 9, 1)]);
    let stop = Stop::new();
    stop.cut();
    let feed = Feed { from_step: 0, batch: 1, readers: 1, memory: 0 };
    let mut loader = Loader::start(&Drawer::new(index, Sampling::Area, 8, 1), &feed, stop).unwrap();
    assert!(matches!(loader.next(), Err(LoadError::Stopped)));
}

#[test]
fn an_image_of_several_files_is_one() {
    let (size, one) = (Size::new(20, 10), scene(20, 10, 4));
    let bytes = one.image.pixels.bytes();
    let channel = |at: usize| MemoryRaster::u8(size, 1, &bytes[at * 200..][..200]);
    let names = ["first", "second"].map(PathBuf::from);
    let files = [(names[0].clone(), channel(0)), (names[1].clone(), channel(1)), ("mask0".into(), one.mask.clone())];
    let several = Pair { images: names.to_vec(), ..pair(0) };
    let (index, refused) = of_pairs(&pipeline("", ""), MemorySource::new(files), &[several]);
    assert_eq!(refused, []);
    for memory in [0, 1 << 20] {
        for crop in load(&Drawer::new(Arc::clone(&index), Sampling::Area, 16, 1), 0, 5, 2, memory) {
            assert_eq!(crop, expected(&one, &crop, 16));
        }
    }
}

#[test]
fn scenes_of_another_resolution_are_cut_on_the_grid_of_the_networks() {
    let mut coarse = scene(30, 20, 6);
    coarse.image.header.pixel_metres = Some([1.0; 2]);
    let unknown = scene(30, 20, 7);
    let (index, refused) = built(&pipeline("resolution = 0.5", ""), &[coarse.clone(), unknown]);
    assert!(refused.len() == 1 && refused[0].cause.contains("input.assume_resolution"), "{refused:?}");
    assert_eq!(
        index.classes().iter().sum::<u64>(),
        4 * coarse.mask.pixels.bytes().iter().filter(|v| **v > 0).count() as u64
    );
    let drawer = Drawer::new(index, Sampling::Area, 16, 1);
    let (windows, whole) = (load(&drawer, 0, 20, 2, 0), load(&drawer, 0, 20, 1, 1 << 20));
    assert!(windows == whole, "a value does not depend on the window");
    for crop in windows {
        for at in 0..256 {
            let (x, y) = (crop.place.x + at % 16, crop.place.y + at / 16);
            assert!((0..60).contains(&x) && (0..40).contains(&y));
            let value = coarse.mask.pixels.bytes()[usize::try_from(y / 2 * 30 + x / 2).unwrap()];
            assert_eq!(crop.labels[usize::try_from(at).unwrap()], class(value), "the nearest");
        }
    }
}

#[test]
fn pairs_are_left_out_by_name_or_file_and_what_is_none_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut pairs: Vec<Pair> = (0..5).map(pair).collect();
    pairs[4].mask = dir.path().join("m.png");
    std::fs::write(&pairs[4].mask, b"").unwrap();
    let list = dir.path().join("list.txt");
    std::fs::write(&list, b"# of no use\ns1\n\ntrain/s2\nval/s3\nm.png\n").unwrap();
    let mut found = Found { pairs: pairs.clone(), strays: vec![] };
    exclude(&mut found, &list).unwrap();
    assert_eq!(found.pairs, [pairs[0].clone(), pairs[3].clone()]);
    assert!(found.strays.len() == 1 && found.strays[0].cause.contains("`val/s3`"), "{:?}", found.strays);
    std::fs::write(&list, b"s0\ns3\n").unwrap();
    assert!(exclude(&mut found, &list).unwrap_err().to_string().contains("leaves every pair out"));
}

/// Links and masks lie under these names: none may lead out of its folder.
#[test]
fn names_of_pairs_do_not_lead_out_of_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list.tsv");
    std::fs::write(&list, "../images/a.tif\t../masks/a.png\n/there/../b.tif\t/there/b.png\n./c/d.tif\tc/d.png\n")
        .unwrap();
    let found = find(&list, &Data::default()).unwrap();
    let names: Vec<&str> = found.pairs.iter().map(|pair| pair.name.as_str()).collect();
    assert_eq!(names, ["c/d", "images/a", "there/b"]);
    assert_eq!(found.pairs[1].images, [dir.path().join("../images/a.tif")]);
}
