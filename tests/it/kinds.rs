//! Scenes of every kind through the command line: pixel types, palettes, PNG and JPEG, bands by name and in files of their own, and what
//! counts as nodata. The networks hand the first band through, so that masks show what they saw.
#![cfg(all(feature = "gdal", target_os = "linux"))]

use std::io::BufWriter;
use std::path::Path;

use swath::geom::Size;

use crate::pages::{Image, tiff};
use crate::support::command::{Ran, Workdir, geotiff};
use crate::support::memory::{IDENTITY, pipeline, values};
use crate::support::{outputs, png, shared};

/// What masks hold where there is no data.
const VOID: u16 = 9;

fn prepared() -> Workdir {
    let work = Workdir::new();
    let tiler = "strategy = \"fixed\"\ncentre = 16\ndilation = 4\nwhole_max = 20";
    let types = "{ u8 = 1, i8 = 1, u16 = 1, i16 = 1, u32 = 1, i32 = 1, u64 = 1, i64 = 1, f32 = 1, f64 = 1 }";
    let text = pipeline(tiler, IDENTITY, 7, Some(9)).replace("{ u8 = 1, u16 = 1, i16 = 1, f32 = 1 }", types);
    assert!(text.contains("i64"));
    work.write("p.toml", text);
    work
}

/// Runs with these settings, into a folder that is not there yet.
fn run(work: &Workdir, settings: &[&str], more: &[&str]) -> Ran {
    drop(std::fs::remove_dir_all(work.path("out")));
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let base = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--devices", "cpu", "-v"];
    work.swath(&base.into_iter().chain(more.iter().copied()).chain(settings).collect::<Vec<_>>())
}

fn mask(work: &Workdir, name: &str) -> Vec<u16> {
    png(&work.path(&format!("out/masks/{name}.png"))).2
}

/// Three bands that are read, so that the first one named is the one that masks show.
fn bands(names: &str) -> [String; 3] {
    [format!("input.bands=[{names}]"), "input.mean=[0,0,0]".into(), "input.std=[1,1,1]".into()]
}

fn with<'a>(bands: &'a [String; 3], more: &[&'a str]) -> Vec<&'a str> {
    bands.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

/// Says something of a file's bands, in the file that GDAL keeps beside it.
fn say(work: &Workdir, file: &str, bands: &[&str]) {
    let band = |(number, text): (usize, &&str)| format!("<PAMRasterBand band=\"{number}\">{text}</PAMRasterBand>");
    let bands: String = (1..).zip(bands).map(band).collect();
    work.write(&format!("in/{file}.aux.xml"), format!("<PAMDataset>{bands}</PAMDataset>"));
}

const SIZE: (u32, u32) = (23, 21);

/// A scene of one type: the value of no data, its neighbour, and then numbers from 0 to 6. What its mask is to be, too.
fn typed<T: Copy, const N: usize>(
    format: u32,
    nodata: T,
    neighbour: T,
    number: impl Fn(u8) -> T,
    bytes: impl Fn(T) -> [u8; N],
) -> (Vec<u8>, Vec<u16>) {
    let numbers = values(Size::new(SIZE.0, SIZE.1), 7, 5);
    let mut pixels: Vec<T> = numbers.iter().map(|v| number(*v)).collect();
    (pixels[0], pixels[1]) = (nodata, neighbour);
    let data: Vec<u8> = pixels.into_iter().flat_map(bytes).collect();
    let bits = u32::try_from(8 * N).unwrap();
    let mut expected: Vec<u16> = numbers.into_iter().map(u16::from).collect();
    // What is no class of the stand-in network counts as the first.
    (expected[0], expected[1]) = (VOID, 0);
    (tiff(&[Image { size: SIZE, role: 0, format, bits, data: &data }]), expected)
}

#[test]
fn every_type_is_read_and_its_nodata_value_matches_to_the_last_bit() {
    let work = prepared();
    let kinds = [
        ("u8", "255", typed(1, 255, 254, |v| v, u8::to_le_bytes)),
        ("i8", "-1", typed(2, -1, -2, |v| v as i8, i8::to_le_bytes)),
        ("u16", "65535", typed(1, u16::MAX, 65534, u16::from, u16::to_le_bytes)),
        ("i16", "-32768", typed(2, i16::MIN, -32767, i16::from, i16::to_le_bytes)),
        ("u32", "4294967295", typed(1, u32::MAX, u32::MAX - 1, u32::from, u32::to_le_bytes)),
        ("i32", "-2147483648", typed(2, i32::MIN, i32::MIN + 1, i32::from, i32::to_le_bytes)),
        ("u64", "18446744073709551615", typed(1, u64::MAX, u64::MAX - 1, u64::from, u64::to_le_bytes)),
        ("i64", "-9223372036854775808", typed(2, i64::MIN, i64::MIN + 1, i64::from, i64::to_le_bytes)),
        ("f32", "-9999", typed(3, -9999.0, -9998.0, f32::from, f32::to_le_bytes)),
        ("f64", "0.1", typed(3, 0.1, 0.1 + 1e-12, f64::from, f64::to_le_bytes)),
    ];
    for (name, nodata, (file, _)) in &kinds {
        work.write(&format!("in/{name}.tif"), file);
        say(&work, &format!("{name}.tif"), &[&format!("<NoDataValue>{nodata}</NoDataValue>")]);
    }
    let (file, mut huge) = typed(3, f64::MIN, -1e300, f64::from, f64::to_le_bytes);
    huge[1] = VOID;
    work.write("in/huge.tif", file);
    say(&work, "huge.tif", &[&format!("<NoDataValue>{:?}</NoDataValue>", f64::MIN)]);
    for decode in ["isolated", "in-process"] {
        run(&work, &[], &["--decode", decode]).says(0, &["11 done, 0 failed"]);
        for (name, _, (_, expected)) in &kinds {
            assert_eq!(&mask(&work, name), expected, "{name}");
        }
        assert_eq!(mask(&work, "huge"), huge, "what no f32 can be is not finite");
    }
    let report = work.report("out");
    assert_eq!(report["scenes"]["u64"]["pixel_type"], "u64", "{report}");
    run(&work, &["input.divide={u8=1,f64=1}"], &[])
        .says(3, &["u32.tif (plan): the scene is u32", "add u32 to input.divide"]);
    let Some(cases) = shared("data/cases") else { return };
    let signed = cases.join("int8neg.tif");
    let ran = work.swath(&["run", "p.toml", "-o", "signed", "--backend", "fake", "-i", signed.to_str().unwrap()]);
    ran.says(0, &["1 done"]);
}

#[test]
fn what_is_no_image_of_numbers_or_colours_is_refused_with_a_way_out() {
    let work = prepared();
    let complex = vec![0; 23 * 21 * 4];
    work.write("in/complex.tif", tiff(&[Image { size: SIZE, role: 0, format: 5, bits: 32, data: &complex }]));
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures");
    for name in ["cmyk.jpg", "turned.jpg"] {
        std::fs::copy(pictures.join(name), work.path("in").join(name)).unwrap();
    }
    run(&work, &[], &["--include", "*"]).says(
        3,
        &[
            "complex.tif (plan): refused: its pixels are complex numbers",
            "DERIVED_SUBDATASET:AMPLITUDE",
            "cmyk.jpg (plan): refused: its colours are cyan, magenta, yellow and black",
            "turned.jpg (plan): refused: it is stored turned or mirrored (EXIF orientation 6)",
        ],
    );
}

/// A PNG of one image.
fn picture(path: &Path, size: (u32, u32), color: png::ColorType, depth: png::BitDepth, data: &[u8]) {
    with_palette(path, size, (color, depth), data, &[], &[]);
}

fn with_palette(
    path: &Path,
    size: (u32, u32),
    (color, depth): (png::ColorType, png::BitDepth),
    data: &[u8],
    colors: &[u8],
    opacities: &[u8],
) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(BufWriter::new(std::fs::File::create(path).unwrap()), size.0, size.1);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if !colors.is_empty() {
        encoder.set_palette(colors.to_vec());
    }
    if !opacities.is_empty() {
        encoder.set_trns(opacities.to_vec());
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
}

/// A grey picture of values from 0 to 6.
fn grey(path: &Path, size: (u32, u32), seed: u32) -> Vec<u16> {
    let data = values(Size::new(size.0, size.1), 7, seed);
    picture(path, size, png::ColorType::Grayscale, png::BitDepth::Eight, &data);
    data.into_iter().map(u16::from).collect()
}

#[test]
fn pictures_are_scenes_where_there_is_no_tiff() {
    let work = prepared();
    let size = (40, 50);
    let expected = grey(&work.path("in/a.PNG"), size, 1);
    let wide: Vec<u8> = expected.iter().flat_map(|v| v.to_be_bytes()).collect();
    picture(&work.path("in/wide.png"), size, png::ColorType::Grayscale, png::BitDepth::Sixteen, &wide);
    let color: Vec<u8> =
        expected.iter().flat_map(|v| [u8::try_from(*v).unwrap(), 100, 200, if *v == 3 { 0 } else { 255 }]).collect();
    picture(&work.path("in/color.png"), size, png::ColorType::Rgba, png::BitDepth::Eight, &color);
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures");
    for name in ["grey.jpg", "progressive.jpg"] {
        std::fs::copy(pictures.join(name), work.path("in").join(name)).unwrap();
    }
    work.write("in/notes.txt", "none");
    let ran = run(&work, &[], &["--readers", "2"]);
    ran.says(0, &["5 done, 0 failed"]);
    let said = "warning: there is no *.tif or *.tiff: the scenes are *.png, *.jpg and *.jpeg (5 files)";
    assert!(ran.stderr.lines().take(2).any(|line| line == said), "{ran:?}");
    for name in ["a", "wide"] {
        assert_eq!(mask(&work, name), expected, "{name}");
    }
    let clear: Vec<u16> = expected.iter().map(|v| if *v == 3 { VOID } else { *v }).collect();
    assert_eq!(mask(&work, "color"), clear);
    let blocks: Vec<u16> = (0..40 * 48).map(|i| ((i % 48) / 16 + (i / 48 / 16) * 3) % 7).collect();
    for name in ["grey", "progressive"] {
        assert_eq!(mask(&work, name), blocks, "{name}");
    }
    geotiff(&work.path("in/b.tif"), Size::new(20, 20), &[1; 400]);
    run(&work, &[], &[]).says(0, &["1 done, 0 failed"]);
}

#[test]
fn a_palette_is_colours_where_several_bands_are_read_and_indices_where_one_is() {
    let work = prepared();
    let size = (40, 50);
    let indices = values(Size::new(40, 50), 7, 1);
    // Red says the index from behind; the last two colours are clear.
    let colors: Vec<u8> = (0..7).flat_map(|i| [6 - i, 50, 3]).collect();
    let opacities = [255, 255, 255, 255, 255, 128, 0];
    let kind = (png::ColorType::Indexed, png::BitDepth::Eight);
    with_palette(&work.path("in/a.png"), size, kind, &indices, &colors, &opacities);
    let of = |value: fn(u8) -> u16| -> Vec<u16> {
        indices.iter().map(|index| if *index == 6 { VOID } else { value(*index) }).collect()
    };
    for decode in ["isolated", "in-process"] {
        run(&work, &[], &["--decode", decode]).says(0, &["1 done"]);
        assert_eq!(mask(&work, "a"), of(u16::from));
        for names in ["1,2,3", "\"red\",\"green\",\"blue\""] {
            run(&work, &with(&bands(names), &[]), &["--decode", decode]).says(0, &["1 done"]);
            // Of bands by name the first in order is blue.
            let expected = if names.contains("red") { of(|_| 3) } else { of(|index| 6 - u16::from(index)) };
            assert_eq!(mask(&work, "a"), expected, "{names}");
        }
    }
    // An index that means no data means none in colours either.
    with_palette(&work.path("in/a.png"), size, kind, &indices, &colors, &[]);
    say(&work, "a.png", &["<NoDataValue>2</NoDataValue>"]);
    run(&work, &with(&bands("1,2,3"), &[]), &[]).says(0, &["1 done"]);
    let expected: Vec<u16> = indices.iter().map(|i| if *i == 2 { VOID } else { 6 - u16::from(*i) }).collect();
    assert_eq!(mask(&work, "a"), expected);
}

/// A scene of three bands in `in`, and its bands.
fn three(work: &Workdir, name: &str, size: Size) -> [Vec<u8>; 3] {
    let planes = [1, 2, 3].map(|seed| values(size, 7, seed));
    geotiff(&work.path(&format!("in/{name}.tif")), size, &planes.concat());
    planes
}

fn wide(plane: &[u8]) -> Vec<u16> {
    plane.iter().copied().map(u16::from).collect()
}

#[test]
fn bands_are_found_by_their_names_in_every_scene() {
    let work = prepared();
    let size = Size::new(40, 50);
    let (one, other) = (three(&work, "one", size), three(&work, "other", size));
    let names = |names: [&str; 3]| names.map(|name| format!("<Description>{name}</Description>"));
    let said = |texts: [String; 3]| -> Vec<String> { texts.to_vec() };
    let first = said(names(["B02", "B03", "B04, central wavelength 665 nm"]));
    let second = said(names(["B04", "B03", "B08"]));
    say(&work, "one.tif", &first.iter().map(String::as_str).collect::<Vec<_>>());
    say(&work, "other.tif", &second.iter().map(String::as_str).collect::<Vec<_>>());
    run(&work, &["input.bands=[\"b04\"]"], &[]).says(0, &["2 done"]);
    assert_eq!((mask(&work, "one"), mask(&work, "other")), (wide(&one[2]), wide(&other[0])));
    run(&work, &["input.bands=[\"B08\"]"], &[]).says(
        3,
        &["one.tif (plan): the pipeline reads the band `B08`", "it has 1: b02, 2: b03, 3: b04", "1 done, 1 failed"],
    );
    // By colour, which files of three bytes have without a word.
    three(&work, "plain", size);
    std::fs::remove_file(work.path("in/one.tif")).unwrap();
    std::fs::remove_file(work.path("in/other.tif")).unwrap();
    run(&work, &["input.bands=[\"green\"]"], &[]).says(0, &["1 done"]);
    assert_eq!(mask(&work, "plain"), wide(&one[1]));
    run(&work, &["input.bands=[4]"], &[]).says(3, &["the pipeline reads band 4 and the scene has 3 bands"]);
}

#[test]
fn nodata_is_what_all_bands_hold_or_one_of_them() {
    let work = prepared();
    let size = Size::new(40, 50);
    let planes = three(&work, "a", size);
    let numbers = bands("1,2,3");
    let at = |i: usize| [planes[0][i], planes[1][i], planes[2][i]];
    let lacking = |lacks: &dyn Fn([u8; 3]) -> bool| -> Vec<u16> {
        (0..size.len()).map(|i| if lacks(at(i)) { VOID } else { planes[0][i].into() }).collect()
    };
    run(&work, &with(&numbers, &["input.nodata_value=2"]), &[]).says(0, &["1 done"]);
    let all = lacking(&|pixel| pixel == [2; 3]);
    assert!(all.contains(&VOID));
    assert_eq!(mask(&work, "a"), all);
    run(&work, &with(&numbers, &["input.nodata_value=2", "input.nodata=\"any\""]), &[]).says(0, &["1 done"]);
    assert_eq!(mask(&work, "a"), lacking(&|pixel| pixel.contains(&2)));
    // What a file says itself goes first.
    let tag = "<NoDataValue>5</NoDataValue>";
    say(&work, "a.tif", &[tag, tag, tag]);
    run(&work, &with(&numbers, &["input.nodata_value=2", "input.nodata=\"any\""]), &[]).says(0, &["1 done"]);
    assert_eq!(mask(&work, "a"), lacking(&|pixel| pixel.contains(&5)));
    // Another rule is other work.
    let base = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--devices", "cpu"];
    std::fs::remove_file(work.path("in/a.tif.aux.xml")).unwrap();
    let again = |rule: &str| {
        let rule = format!("input.nodata=\"{rule}\"");
        let settings = with(&numbers, &["input.nodata_value=2", &rule]);
        let settings: Vec<&str> = settings.into_iter().flat_map(|setting| ["--set", setting]).collect();
        work.swath(&[&base[..], &settings].concat()).expect(0)
    };
    again("all");
    assert!(again("all").contains("earlier runs: 1 of 1") && !again("any").contains("earlier runs: 1 of 1"));
}

#[test]
fn scale_and_offset_are_told_and_applied_on_request() {
    let work = prepared();
    let size = Size::new(40, 50);
    let data = values(size, 7, 1);
    geotiff(&work.path("in/a.tif"), size, &data);
    say(&work, "a.tif", &["<NoDataValue>4</NoDataValue><Offset>-1</Offset><Scale>0.5</Scale>"]);
    run(&work, &[], &[]).says(0, &["warning: 1 scene gives a scale or an offset", "input.apply_scale = true"]);
    let raw: Vec<u16> = data.iter().map(|v| if *v == 4 { VOID } else { u16::from(*v) }).collect();
    assert_eq!(mask(&work, "a"), raw);
    let ran = run(&work, &["input.apply_scale=true"], &[]);
    ran.says(0, &["1 done"]);
    assert!(!ran.stderr.contains("scale"), "{ran:?}");
    // 0.5 v - 1: what is no whole number from 0 on is no class, and counts as the first.
    let scaled = |v: u8| [0, 0, 0, 0, VOID, 0, 2][usize::from(v)];
    assert_eq!(mask(&work, "a"), data.iter().map(|v| scaled(*v)).collect::<Vec<u16>>());
    assert_eq!(work.report("out")["scenes"]["a"]["pixel_type"], "f32");
}

#[test]
fn files_that_hold_a_band_each_are_one_scene() {
    let work = prepared();
    let size = Size::new(60, 50);
    let numbers = bands("\"*_B04.tif\",\"*_B03.tif\",\"*_B02.tif\"");
    let write = |scene: &str, band: &str, seed: u32| {
        let data = values(size, 7, seed);
        geotiff(&work.path(&format!("in/{scene}_{band}.tif")), size, &data);
        data
    };
    // In order of the patterns B02 comes first.
    let mut expected = Vec::new();
    for (seed, scene) in [(1, "S2A_20200101"), (11, "deep/S2A_20200202")] {
        expected.push(wide(&write(scene, "B02", seed)));
        write(scene, "B03", seed + 1);
        write(scene, "B04", seed + 2);
    }
    write("other", "B08", 1);
    for decode in ["isolated", "in-process"] {
        run(&work, &with(&numbers, &[]), &["--decode", decode]).says(0, &["2 done, 0 failed"]);
        assert_eq!(mask(&work, "S2A_20200101"), expected[0]);
        assert_eq!(mask(&work, "deep/S2A_20200202"), expected[1]);
    }
    // All files are the scene: another one of any band makes its mask anew.
    let arguments = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--devices", "cpu"];
    let settings: Vec<&str> = numbers.iter().flat_map(|setting| ["--set", setting]).collect();
    let again = || work.swath(&[&arguments[..], &settings].concat());
    let before = outputs(&work.path("out"));
    again().says(0, &["2 of 2 scenes are done"]);
    write("S2A_20200101", "B03", 77);
    again().says(0, &["1 of 2 scenes are done", "2 done"]);
    assert_eq!(outputs(&work.path("out"))["masks/S2A_20200101.png"], before["masks/S2A_20200101.png"]);
    // In a list, where a band is missing, and where one lies on another grid.
    work.write("in/list.txt", "S2A_20200101_B03.tif\nS2A_20200101_B02.tif\nS2A_20200101_B04.tif\nother_B08.tif\n");
    let list = ["run", "p.toml", "-i", "in/list.txt", "-o", "list", "--backend", "fake", "--devices", "cpu", "-v"];
    work.swath(&[&list[..], &settings].concat()).says(
        3,
        &["1 done, 1 failed", "other_B08.tif (plan): its name follows none of the patterns of input.bands (*_B02.tif"],
    );
    std::fs::remove_file(work.path("in/deep/S2A_20200202_B03.tif")).unwrap();
    geotiff(&work.path("in/S2A_20200101_B02.tif"), Size::new(30, 25), &[1; 750]);
    run(&work, &with(&numbers, &[]), &[]).says(
        3,
        &[
            "it has no file for *_B03.tif",
            "its bands do not lie on one grid: the size of `S2A_20200101_B02.tif` is 30 x 25, and of `S2A_20200101_B03.tif` 60 x 50",
            "0 done, 2 failed",
        ],
    );
    let mixed = bands("\"*_B04.tif\",2,3");
    run(&work, &with(&mixed, &[]), &[]).says(2, &["`*_B04.tif` is the pattern of a file of its own and 2 is none"]);
}
