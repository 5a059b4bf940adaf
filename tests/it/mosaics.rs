//! VRT mosaics as scenes, through the command line.
#![cfg(all(feature = "gdal", target_os = "linux"))]

use std::os::unix::fs::MetadataExt;

use swath::geom::Size;

use crate::support::command::{Ran, Workdir, geotiff, with_scenes};
use crate::support::memory::values;
use crate::support::png;

const DRIVERS: [&str; 2] = ["--set", "input.drivers=[\"GTiff\", \"VRT\"]"];
/// Of each of four tiles.
const TILE: Size = Size::new(80, 70);
const BANDS: u32 = 3;

/// A window of planes.
fn cut(planes: &[u8], whole: Size, x: u32, y: u32, size: Size) -> Vec<u8> {
    let mut out = Vec::new();
    for plane in planes.chunks_exact(whole.len()) {
        for row in y..y + size.height {
            let at = row as usize * whole.width as usize + x as usize;
            out.extend_from_slice(&plane[at..at + size.width as usize]);
        }
    }
    out
}

/// A piece of a mosaic: file, whether its name counts from the VRT, and where it lies.
type Piece<'a> = (&'a str, bool, [u32; 2]);

/// A VRT of three bands over tiles of one size. `band` may say more of each band.
fn vrt(size: Size, tile: Size, pieces: &[Piece<'_>], band: &str) -> String {
    let piece = |n: u32, (file, relative, [x, y]): &Piece<'_>| {
        let (w, h) = (tile.width, tile.height);
        format!(
            "<SimpleSource><SourceFilename relativeToVRT=\"{}\">{file}</SourceFilename><SourceBand>{n}</SourceBand>\
             <SrcRect xOff=\"0\" yOff=\"0\" xSize=\"{w}\" ySize=\"{h}\"/>\
             <DstRect xOff=\"{x}\" yOff=\"{y}\" xSize=\"{w}\" ySize=\"{h}\"/></SimpleSource>",
            u8::from(*relative)
        )
    };
    let bands: String = (1..=BANDS)
        .map(|n| {
            let all: String = pieces.iter().map(|one| piece(n, one)).collect();
            format!("<VRTRasterBand dataType=\"Byte\" band=\"{n}\">{band}{all}</VRTRasterBand>")
        })
        .collect();
    format!(
        "<VRTDataset rasterXSize=\"{}\" rasterYSize=\"{}\"><SRS>EPSG:32632</SRS>\
         <GeoTransform>500000, 0.5, 0, 5400000, 0, -0.5</GeoTransform>{bands}</VRTDataset>",
        size.width, size.height
    )
}

const WHOLE: Size = Size::new(2 * TILE.width, 2 * TILE.height);
const FOUR: [Piece<'static>; 4] = [
    ("tiles/a.tif", true, [0, 0]),
    ("tiles/b.tif", true, [TILE.width, 0]),
    ("tiles/c.tif", true, [0, TILE.height]),
    ("tiles/d.tif", true, [TILE.width, TILE.height]),
];

/// A folder `in` with four tiles and the mosaic of them, and `whole` with the same in one file of the same name.
fn prepared() -> Workdir {
    let work = with_scenes(&[]);
    let planes: Vec<u8> = (0..BANDS).flat_map(|n| values(WHOLE, 7, n)).collect();
    geotiff(&work.path("whole/m.tif"), WHOLE, &planes);
    for (file, _, [x, y]) in FOUR {
        geotiff(&work.path("in").join(file), TILE, &cut(&planes, WHOLE, x, y, TILE));
    }
    work.write("in/m.vrt", vrt(WHOLE, TILE, &FOUR, ""));
    work
}

fn swath(work: &Workdir, command: &str, input: &str, out: &str, more: &[&str]) -> Ran {
    let job = [command, "p.toml", "-i", input, "-o", out, "--backend", "fake", "--devices", "cpu"];
    work.swath(&[&job[..], more].concat())
}

fn run(work: &Workdir, input: &str, out: &str, more: &[&str]) -> Ran {
    swath(work, "run", input, out, &[&DRIVERS[..], more].concat())
}

fn mask(work: &Workdir, out: &str) -> (u32, u32, Vec<u16>) {
    png(&work.path(out).join("masks/m.png"))
}

/// What tells whether a mask was written again.
fn stamp(work: &Workdir, name: &str) -> (u64, i64) {
    let meta = std::fs::metadata(work.path("out/masks").join(name)).unwrap();
    (meta.ino(), meta.mtime_nsec())
}

#[test]
fn four_tiles_give_the_mask_of_the_one_file() {
    let work = prepared();
    swath(&work, "run", "whole", "one", &["--set", "outputs.geotiff=true"]).expect(0);
    let plan = swath(&work, "plan", "in", "out", &DRIVERS);
    plan.says(0, &["1 to segment", "mosaics     1 scene of 4 files", "4 files of the inputs are parts of mosaics"]);
    run(&work, "in", "out", &["--set", "outputs.geotiff=true"]).says(0, &["1 done, 0 failed", "4 files of the inputs"]);
    assert!(mask(&work, "out") == mask(&work, "one"));
    for file in ["geotiff/m.tif", "masks/m.png"] {
        let read = |run: &str| std::fs::read(work.path(run).join(file)).unwrap();
        assert!(read("out") == read("one"), "{file}: the same pixels at the same place");
    }
    // Bands by number, windows of half tiles, resampled, by name and in a list, where no other scene is left out.
    for (at, more) in [
        &["--set", "input.bands=[3]"][..],
        &["--set", "tiler.centre=32", "--set", "tiler.dilation=8"],
        &["--set", "input.resolution=0.8"],
    ]
    .iter()
    .enumerate()
    {
        let (ours, theirs) = (format!("out{at}"), format!("one{at}"));
        run(&work, "in", &ours, more).expect(0);
        swath(&work, "run", "whole", &theirs, more).expect(0);
        assert!(mask(&work, &ours) == mask(&work, &theirs), "{more:?}");
    }
    work.write("in/all.txt", "m.vrt\ntiles/a.tif\n");
    run(&work, "in/all.txt", "listed", &[]).says(0, &["2 done, 0 failed"]);
    assert!(mask(&work, "listed") == mask(&work, "one"));
    let area = ["--bbox", "500000,5399950,500030,5400000", "--set", "nodata.value=99"];
    run(&work, "in", "area", &area).says(0, &["1 done, 0 failed"]);
    swath(&work, "run", "whole", "area1", &area).expect(0);
    assert!(mask(&work, "area") == mask(&work, "area1") && mask(&work, "area").2.contains(&99));
    run(&work, "in/m.vrt", "named", &[]).says(0, &["1 done, 0 failed"]);
    std::fs::create_dir(work.path("in/sub")).unwrap();
    std::os::unix::fs::symlink("../m.vrt", work.path("in/sub/m.vrt")).unwrap();
    work.write("in/all.txt", "sub/m.vrt\n");
    run(&work, "in/all.txt", "linked", &[]).says(0, &["1 done, 0 failed"]);
    std::fs::remove_file(work.path("in/sub/m.vrt")).unwrap();
    // Absolute names are as good, and links, as long as they stay inside.
    let absolute = work.path("in/tiles/a.tif").display().to_string();
    std::os::unix::fs::symlink("tiles/b.tif", work.path("in/b.tif")).unwrap();
    let pieces = [(absolute.as_str(), false, FOUR[0].2), ("b.tif", true, FOUR[1].2), FOUR[2], FOUR[3]];
    work.write("in/m.vrt", vrt(WHOLE, TILE, &pieces, ""));
    run(&work, "in", "out", &["--set", "outputs.geotiff=true"]).says(0, &["1 done, 0 failed"]);
    assert!(mask(&work, "out") == mask(&work, "one"));
}

#[test]
fn mosaics_of_mosaics_are_read_too() {
    let work = prepared();
    swath(&work, "run", "whole", "one", &[]).expect(0);
    let half = Size::new(WHOLE.width, TILE.height);
    work.write(
        "in/inner/top.vrt",
        vrt(half, TILE, &[("../tiles/a.tif", true, [0, 0]), ("../tiles/b.tif", true, [TILE.width, 0])], ""),
    );
    work.write(
        "in/inner/low.vrt",
        vrt(half, TILE, &[("../tiles/c.tif", true, [0, 0]), ("../tiles/d.tif", true, [TILE.width, 0])], ""),
    );
    work.write(
        "in/m.vrt",
        vrt(WHOLE, half, &[("inner/top.vrt", true, [0, 0]), ("inner/low.vrt", true, [0, TILE.height])], ""),
    );
    run(&work, "in", "out", &[]).says(0, &["1 done, 0 failed", "6 files of the inputs"]);
    assert!(mask(&work, "out") == mask(&work, "one"));
    // What is deep inside is part of the scene as well.
    let (before, size) = (stamp(&work, "m.png"), Size::new(80, 70));
    geotiff(&work.path("in/tiles/d.tif"), size, &values(Size::new(80, 210), 7, 77));
    run(&work, "in", "out", &[]).says(0, &["1 done, 0 failed"]);
    assert!(stamp(&work, "m.png") != before && mask(&work, "out") != mask(&work, "one"));
    work.write("in/inner/low.vrt", vrt(half, WHOLE, &[("../m.vrt", true, [0, 0])], ""));
    swath(&work, "plan", "in", "out", &DRIVERS).says(3, &["deep or in a circle"]);
}

#[test]
fn a_changed_tile_makes_its_mosaic_anew_and_no_other() {
    let work = prepared();
    work.write("in/n.vrt", vrt(Size::new(2 * TILE.width, TILE.height), TILE, &FOUR[..2], ""));
    let other = Size::new(90, 40);
    geotiff(&work.path("in/other.tif"), other, &values(Size::new(90, 120), 7, 9));
    run(&work, "in", "out", &[]).says(0, &["3 done, 0 failed"]);
    let before = ["m.png", "n.png", "other.png"].map(|name| stamp(&work, name));
    let was = mask(&work, "out");
    run(&work, "in", "out", &[]).says(0, &["all were done before"]);
    geotiff(&work.path("in/tiles/d.tif"), TILE, &values(Size::new(TILE.width, TILE.height * BANDS), 7, 50));
    run(&work, "in", "out", &[]).says(0, &["3 done, 0 failed"]);
    let after = ["m.png", "n.png", "other.png"].map(|name| stamp(&work, name));
    assert!(after[0] != before[0] && after[1..] == before[1..], "{before:?} {after:?}");
    // And only where it changed: three quarters stay.
    let is = mask(&work, "out");
    let differs: Vec<usize> = (0..is.2.len()).filter(|at| is.2[*at] != was.2[*at]).collect();
    let near = |at: &usize| at % WHOLE.width as usize >= 60 && at / WHOLE.width as usize >= 50;
    assert!(!differs.is_empty() && differs.iter().all(near));
    // With the list of what was planned, which a run of the plan looks at again.
    swath(&work, "plan", "in", "out", &[&DRIVERS[..], &["--save", "plan.jsonl"]].concat()).expect(0);
    geotiff(&work.path("in/tiles/a.tif"), TILE, &values(Size::new(TILE.width, TILE.height * BANDS), 7, 51));
    work.swath(&["run", "--plan", "plan.jsonl", "-o", "planned", "--devices", "cpu", "-v"])
        .says(3, &["changed since it was planned"]);
}

#[test]
fn without_leave_a_mosaic_is_told_what_leaves_it() {
    let work = prepared();
    let words = "input.drivers = [\"GTiff\", \"VRT\"]";
    swath(&work, "plan", "in/m.vrt", "out", &[]).says(3, &["it is a VRT, a mosaic of other files", words]);
    swath(&work, "plan", "in", "out", &[]).says(0, &["4 to segment", "1 other file ignored"]);
    std::fs::create_dir(work.path("in/alone")).unwrap();
    std::fs::copy(work.path("in/m.vrt"), work.path("in/alone/m.vrt")).unwrap();
    swath(&work, "plan", "in/alone", "out", &[]).says(2, &["no scene in", "1 mosaic", words]);
    std::fs::remove_dir_all(work.path("in/alone")).unwrap();
    let only = swath(&work, "plan", "in", "out", &["--set", "input.drivers=[\"VRT\"]"]);
    only.says(2, &["input.drivers", "formats of files, and VRT beside them"]);
    swath(&work, "plan", "in", "out", &["--set", "input.drivers=[\"HDF5\"]"]).says(2, &["GTiff"]);
    // In a process that can do more than read scenes none is opened, nor where the kernel does not confine the one that would.
    run(&work, "in", "out", &["--decode", "in-process", "-v"])
        .says(3, &["0 done, 1 failed", "leave --decode in-process out"]);
    let job = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--devices", "cpu", "-v"];
    let unfenced = work.swath_with(&[&job[..], &DRIVERS].concat(), &[("SWATH_FAULTS", "confine:error")]);
    unfenced.says(3, &["0 done, 1 failed", "does not confine", "Landlock", "gdal_translate"]);
    std::fs::rename(work.path("in/m.vrt"), work.path("in/m.tif")).unwrap();
    swath(&work, "plan", "in", "out", &DRIVERS).says(3, &["4 to segment", "rename it to *.vrt"]);
}

/// Mosaics in one folder that are not read, and what is said of each.
fn refused(work: &Workdir, all: &[(String, &str)]) {
    for (at, (text, _)) in all.iter().enumerate() {
        work.write(&format!("in/r{at}.vrt"), text);
    }
    let plan = swath(work, "plan", "in", "out", &[&DRIVERS[..], &["--json"]].concat());
    plan.expect(3);
    assert!(!plan.stdout.contains("root:"), "{plan:?}");
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).unwrap();
    for (at, (text, words)) in all.iter().enumerate() {
        let is_it = |one: &&serde_json::Value| one["scene"].as_str().unwrap().ends_with(&format!("/r{at}.vrt"));
        let found = plan["refused"].as_array().unwrap().iter().find(is_it);
        let cause = found.unwrap_or_else(|| panic!("not refused: {text}"))["cause"].as_str().unwrap();
        assert!(cause.contains(words), "`{words}` is not in: {cause}\n{text}");
    }
}

/// The four tiles with another one in the place of the first.
fn with_first(file: &str, relative: bool) -> String {
    vrt(WHOLE, TILE, &[(file, relative, [0, 0]), FOUR[1], FOUR[2], FOUR[3]], "")
}

#[test]
fn what_lies_elsewhere_is_not_opened() {
    let work = prepared();
    let outside = work.path("whole/m.tif").display().to_string();
    let elsewhere = "lies outside of the input folder";
    let virtual_file = "lies in a virtual file system";
    std::os::unix::fs::symlink(&outside, work.path("in/tiles/link.tif")).unwrap();
    std::fs::copy(work.path("in/tiles/a.tif"), work.path("in/tiles/masked.tif")).unwrap();
    std::os::unix::fs::symlink(&outside, work.path("in/tiles/masked.tif.msk")).unwrap();
    let raw = "<VRTDataset rasterXSize=\"8\" rasterYSize=\"8\"><VRTRasterBand dataType=\"Byte\" band=\"1\" subClass=\"VRTRawRasterBand\">\
               <SourceFilename relativeToVRT=\"0\">/etc/passwd</SourceFilename><ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset>\
               <LineOffset>8</LineOffset></VRTRasterBand></VRTDataset>";
    let python = "<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionType>f</PixelFunctionType>";
    let computed = vrt(WHOLE, TILE, &FOUR, python);
    let derived = computed.replace("<VRTRasterBand ", "<VRTRasterBand subClass=\"VRTDerivedRasterBand\" ");
    refused(
        &work,
        &[
            (with_first(&outside, false), elsewhere),
            (with_first("../whole/m.tif", true), elsewhere),
            (with_first("tiles/link.tif", true), elsewhere),
            (with_first("/etc/passwd", false), elsewhere),
            (with_first("tiles/e.tif", true), "its source `tiles/e.tif` is missing"),
            (with_first("tiles/masked.tif", true), "the file .msk beside its source `tiles/masked.tif` lies outside"),
            (with_first("/vsicurl/http://127.0.0.1:9/a.tif", false), virtual_file),
            (with_first("/vsimem/a.tif", false), virtual_file),
            (with_first(&format!("/vsisubfile/0_100,{outside}"), false), virtual_file),
            (with_first(&format!("GTIFF_DIR:1:{outside}"), false), "is missing"),
            (with_first("&lt;VRTDataset/&gt;", false), "written inside it"),
            (raw.to_owned(), "raw bytes of a file"),
            (computed, "pixel function"),
            (derived, "pixel function"),
        ],
    );
    // The mosaic itself is somewhere else.
    work.write("far/m.vrt", with_first(&outside, false));
    std::fs::remove_file(work.path("in/m.vrt")).unwrap();
    std::os::unix::fs::symlink(work.path("far/m.vrt"), work.path("in/m.vrt")).unwrap();
    swath(&work, "plan", "in", "out", &DRIVERS).says(3, &["in/m.vrt: refused: it lies outside of the input folder"]);
}

#[test]
fn sources_are_of_the_formats_that_are_allowed_and_on_the_grid() {
    let work = prepared();
    swath(&work, "run", "whole", "one", &[]).expect(0);
    std::fs::copy(work.path("one/masks/m.png"), work.path("in/tiles/a.png")).unwrap();
    let mut bmp = b"BM".to_vec();
    bmp.resize(200, 0);
    work.write("in/tiles/a.bmp", bmp);
    work.write("in/tiles/cut.tif", b"II*\0");
    let good = vrt(WHOLE, TILE, &FOUR, "");
    let part = "xOff=\"0\" yOff=\"0\" xSize=\"40\"";
    refused(
        &work,
        &[
            (
                with_first("tiles/a.png", true),
                "its source `tiles/a.png`: it is a PNG, and input.drivers allows GTiff, VRT alone",
            ),
            (with_first("tiles/a.bmp", true), "its source `tiles/a.bmp`: it is a BMP"),
            (with_first("tiles/cut.tif", true), "its source `tiles/cut.tif`: "),
            (good.replacen("xOff=\"0\" yOff=\"0\" xSize=\"80\"", part, 1), "is stretched from 40 x 70 to 80 x 70"),
            (good.replace("</VRTDataset>", ""), "cannot be understood"),
        ],
    );
}

#[test]
fn a_hole_in_a_mosaic_holds_no_data() {
    let work = prepared();
    let nodata = ["--set", "nodata.value=99"];
    let three = |band: &str| vrt(WHOLE, TILE, &FOUR[..3], band);
    let hole = |out: &str| {
        let (_, _, all) = mask(&work, out);
        cut(&all.iter().map(|v| u8::try_from(*v).unwrap()).collect::<Vec<_>>(), WHOLE, TILE.width, TILE.height, TILE)
    };
    // Zeros by definition, as in one file of them.
    let planes: Vec<u8> = (0..BANDS).flat_map(|n| values(WHOLE, 7, n)).collect();
    let in_hole = |at: usize| {
        at % WHOLE.width as usize >= TILE.width as usize
            && at % WHOLE.len() / WHOLE.width as usize >= TILE.height as usize
    };
    let holed: Vec<u8> = planes.iter().enumerate().map(|(at, value)| if in_hole(at) { 0 } else { *value }).collect();
    geotiff(&work.path("holed/m.tif"), WHOLE, &holed);
    work.write("in/m.vrt", three(""));
    run(&work, "in", "out", &["--set", "tiler.centre=16", "--set", "tiler.dilation=0"]).expect(0);
    swath(&work, "run", "holed", "one", &["--set", "tiler.centre=16", "--set", "tiler.dilation=0"]).expect(0);
    assert!(mask(&work, "out") == mask(&work, "one"));
    // With a class for what is no data: tiles that have nothing of the file at all, or each pixel where the mosaic tells its value.
    run(&work, "in", "sparse", &[&nodata[..], &["--set", "tiler.centre=16", "--set", "tiler.dilation=0"]].concat())
        .expect(0);
    let n = hole("sparse").iter().filter(|value| **value == 99).count();
    assert_eq!(n, 80 * 60, "tiles of 16 rows of the hole, without the first six");
    work.write("in/m.vrt", three("<NoDataValue>200</NoDataValue>"));
    run(&work, "in", "told", &nodata).expect(0);
    assert!(hole("told").iter().all(|value| *value == 99));
}

#[test]
fn each_band_may_be_a_mosaic_of_its_own() {
    let work = prepared();
    for (file, band) in [("x_B04.vrt", "3"), ("x_B03.vrt", "2")] {
        let text = vrt(WHOLE, TILE, &FOUR, "");
        let (first, _) = text.split_once("<VRTRasterBand dataType=\"Byte\" band=\"2\">").unwrap();
        let text = first.replace("<SourceBand>1<", &format!("<SourceBand>{band}<")) + "</VRTDataset>";
        work.write(&format!("in/{file}"), text);
    }
    let two = ["--set", "input.mean=[3, 3]", "--set", "input.std=[2, 2]"];
    let files = [&two[..], &["--set", "input.bands=[\"*_B04.vrt\", \"*_B03.vrt\"]"]].concat();
    let of_mask = || png(&work.path("out/masks/x.png"));
    run(&work, "in", "out", &files).says(0, &["1 done, 0 failed"]);
    swath(&work, "run", "whole", "one", &[&two[..], &["--set", "input.bands=[3, 2]"]].concat()).expect(0);
    let (.., labels) = of_mask();
    assert!(of_mask() == mask(&work, "one") && labels.iter().any(|label| *label != labels[0]));
    swath(&work, "plan", "in", "out", &files).says(3, &["`x_B03.vrt`: it is a VRT", "input.drivers"]);
    // All tiles of all bands are the scene.
    run(&work, "in", "out", &files).says(0, &["all were done before"]);
    geotiff(&work.path("in/tiles/d.tif"), TILE, &values(Size::new(TILE.width, TILE.height * BANDS), 7, 50));
    let before = stamp(&work, "x.png");
    let again = run(&work, "in", "out", &files).expect(0);
    assert!(stamp(&work, "x.png") != before && of_mask() != mask(&work, "one"), "{again}");
    std::fs::remove_file(work.path("in/x_B03.vrt")).unwrap();
    run(&work, "in", "out", &files).says(3, &["it has no file for *_B03.vrt"]);
}

#[test]
fn a_mosaic_that_is_called_like_another_scene_is_told_from_it() {
    let work = prepared();
    std::fs::copy(work.path("whole/m.tif"), work.path("in/m.tif")).unwrap();
    let words =
        ["`m.tif` and `m.vrt` would both be written to `m.png`", "rename one of them, or leave it out (--exclude)"];
    for command in ["plan", "run"] {
        swath(&work, command, "in", "out", &DRIVERS).says(2, &words);
    }
    run(&work, "in", "out", &["--exclude", "m.tif"]).says(0, &["1 done, 0 failed"]);
    swath(&work, "plan", "in", "out2", &[]).says(0, &["5 to segment", "1 other file ignored"]);
    // Unless it is made of it.
    work.write("in/m.vrt", vrt(WHOLE, WHOLE, &[("m.tif", true, [0, 0])], ""));
    run(&work, "in", "out", &[]).says(0, &["5 done, 0 failed", "1 file of the inputs"]);
    work.write("in/all.txt", "m.vrt\nm.tif\n");
    run(&work, "in/all.txt", "out", &[]).says(2, &words[1..]);
}

/// Labelled scenes: a mosaic of tiles in `data`, the same as one file in `plain`.
fn labelled() -> Workdir {
    let work = prepared();
    let labels: Vec<u8> = values(WHOLE, 7, 5).iter().map(|value| value % 2).collect();
    for folder in ["data", "plain"] {
        let mask = work.path(folder).join("masks/m.png");
        std::fs::create_dir_all(mask.parent().unwrap()).unwrap();
        image::save_buffer(mask, &labels, WHOLE.width, WHOLE.height, image::ColorType::L8).unwrap();
    }
    std::fs::rename(work.path("in"), work.path("data/images")).unwrap();
    std::fs::rename(work.path("whole"), work.path("plain/images")).unwrap();
    work
}

fn data(work: &Workdir, command: &str, input: &str, more: &[&str]) -> Ran {
    work.swath(&[&["data", command, "p.toml", "-i", input][..], more].concat())
}

#[test]
fn labelled_mosaics_have_the_figures_of_the_one_file() {
    let work = labelled();
    let json = [&DRIVERS[..], &["--json"]].concat();
    let whole = data(&work, "stats", "plain", &["--json"]).expect(0);
    assert_eq!(data(&work, "stats", "data", &json).expect(0), whole, "and no tile is told to lack a mask");
    data(&work, "check", "data", &DRIVERS).says(0, &["1 pair (1 all), 0 refused, 0 files in no pair"]);
    data(
        &work,
        "split",
        "data",
        &[&DRIVERS[..], &["-o", "far/list.tsv", "--by", "block:100", "--folds", "2"]].concat(),
    )
    .says(0, &["from 1 group"]);
    // A list that lies elsewhere: tiles below the folder of the mosaic that it names.
    let listed = data(&work, "stats", "far/list.tsv", &json).expect(0);
    assert_eq!(listed.replace("fold0", "all").replace("fold1", "all"), whole);
    let small = [&json[..], &["--set", "input.resolution=0.8"]].concat();
    assert_eq!(data(&work, "stats", "data", &small).expect(0), whole, "statistics are of the scene's own grid");
    data(&work, "check", "data", &[])
        .says(3, &["it is a VRT, a mosaic of other files", "input.drivers = [\"GTiff\", \"VRT\"]"]);
}

#[test]
fn labelled_mosaics_are_refused_as_scenes_are() {
    let work = labelled();
    let outside = work.path("plain/images/m.tif").display().to_string();
    let refused = |text: String, words: &[&str]| {
        work.write("data/images/m.vrt", text);
        data(&work, "check", "data", &DRIVERS).says(3, &[&["refused  all/m: "], words].concat());
    };
    refused(with_first(&outside, false), &["lies outside of the input folder", "/data`"]);
    refused(with_first("tiles/e.tif", true), &["its source `tiles/e.tif` is missing"]);
    refused(vrt(WHOLE, TILE, &FOUR, "<PixelFunctionType>sum</PixelFunctionType>"), &["pixel function"]);
    work.write("data/images/m.vrt", vrt(WHOLE, TILE, &FOUR, ""));
    let check = [&["data", "check", "p.toml", "-i", "data"][..], &DRIVERS].concat();
    work.swath_with(&check, &[("SWATH_FAULTS", "confine:error")]).says(3, &["does not confine", "Landlock"]);
    // A tile that lies beside the folder of the mosaic alone is not below what a list elsewhere names.
    work.write("data/images/deep/m.vrt", with_first("../tiles/a.tif", true).replace("\"1\">tiles", "\"1\">../tiles"));
    work.write(
        "far/list.tsv",
        format!("{}\t{}\n", work.path("data/images/deep/m.vrt").display(), work.path("data/masks/m.png").display()),
    );
    data(&work, "check", "far/list.tsv", &DRIVERS).says(3, &["lies outside of the input folder", "images/deep`"]);
    std::fs::copy(work.path("far/list.tsv"), work.path("data/list.tsv")).unwrap();
    data(&work, "check", "data/list.tsv", &DRIVERS).says(0, &["1 pair (1 all), 0 refused"]);
    work.write("data/list.tsv", "images/m.vrt\timages/m.vrt\n");
    data(&work, "check", "data/list.tsv", &DRIVERS)
        .says(3, &["the mask `data/images/m.vrt` is a mosaic of other files"]);
}
