//! Files of several pages, and pixels that are not what they seem.
#![cfg(feature = "gdal")]

use swath::geom::Size;

use crate::support::command::{Ran, Workdir, geotiff};
use crate::support::memory::{IDENTITY, pipeline, values};
use crate::support::{outputs, png, shared};

const TILER: &str = "strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60";

/// A classic little-endian TIFF of pages of one band, each with one uncompressed strip: sizes, the subfile type, the sample format, the
/// bits of a sample, and the bytes of the strip.
pub(crate) struct Image<'a> {
    pub(crate) size: (u32, u32),
    pub(crate) role: u32,
    pub(crate) format: u32,
    pub(crate) bits: u32,
    pub(crate) data: &'a [u8],
}

fn image(size: (u32, u32), data: &[u8]) -> Image<'_> {
    Image { size, role: 0, format: 1, bits: 8, data }
}

pub(crate) fn tiff(images: &[Image<'_>]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    for (idx, image) in images.iter().enumerate() {
        const N_ENTRIES: u32 = 11;
        let here = u32::try_from(bytes.len()).unwrap();
        let data = here + 2 + 12 * N_ENTRIES + 4;
        let n_bytes = u32::try_from(image.data.len()).unwrap();
        let next = if idx + 1 < images.len() { data + n_bytes } else { 0 };
        let entries = [
            (254, image.role),
            (256, image.size.0),
            (257, image.size.1),
            (258, image.bits),
            (259, 1),
            (262, if image.role & 4 == 0 { 1 } else { 4 }),
            (273, data),
            (277, 1),
            (278, image.size.1),
            (279, n_bytes),
            (339, image.format),
        ];
        bytes.extend(u16::try_from(N_ENTRIES).unwrap().to_le_bytes());
        for (tag, value) in entries {
            let kind = if [273, 279, 256, 257, 254, 278].contains(&tag) { 4_u16 } else { 3 };
            bytes.extend(u16::try_from(tag).unwrap().to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(1_u32.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(next.to_le_bytes());
        bytes.extend(image.data);
    }
    bytes
}

fn prepared() -> Workdir {
    let work = Workdir::new();
    work.write("p.toml", pipeline(TILER, IDENTITY, 7, None));
    work
}

fn run(work: &Workdir, input: &str, more: &[&str]) -> Ran {
    work.swath(&[&["run", "p.toml", "-o", "out", "--backend", "fake", "-v", "-i", input], more].concat())
}

fn mask(work: &Workdir, name: &str) -> (u32, u32, Vec<u16>) {
    png(&work.path(&format!("out/masks/{name}.png")))
}

#[test]
fn a_file_of_several_pages_is_refused_until_a_page_is_named() {
    let work = prepared();
    let sizes = [Size::new(60, 61), Size::new(70, 30), Size::new(20, 21)];
    let pages: Vec<Vec<u8>> = (0..).zip(sizes).map(|(i, size)| values(size, 7, i)).collect();
    let images: Vec<Image<'_>> =
        sizes.iter().zip(&pages).map(|(size, data)| image((size.width, size.height), data)).collect();
    work.write("in/many.tif", tiff(&images));
    work.write("in/one.tif", tiff(&images[..1]));
    for decode in ["isolated", "in-process"] {
        run(&work, "in", &["--decode", decode]).says(
            3,
            &["many.tif (plan): refused: it has 3 pages; name one: `many.tif`, TAB, `page=1`", "1 done, 1 failed"],
        );
        work.write("in/list.txt", "many.tif\tpage=1\nmany.tif\tpage=3\nmany.tif\tpage=2\none.tif\tpage=1\none.tif\n");
        run(&work, "in/list.txt", &["--decode", decode]).says(0, &["5 done, 0 failed"]);
        for (name, page) in [("many.page1", 0), ("many.page2", 1), ("many.page3", 2), ("one.page1", 0), ("one", 0)] {
            let expected = pages[page].iter().copied().map(u16::from).collect();
            assert_eq!(mask(&work, name), (sizes[page].width, sizes[page].height, expected), "{name}");
        }
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
    work.write("in/list.txt", "many.tif\tpage=4\none.tif\tpage=2\none.tif\n");
    run(&work, "in/list.txt", &[]).says(
        3,
        &[
            "many.tif (page 4) (plan): refused: there is no page 4: the file has 3 pages",
            "one.tif (page 2) (plan): refused: there is no page 2: the file has 1 page",
            "1 done, 2 failed",
        ],
    );
    work.write("in/list.txt", "many.tif\tpage=2\nmany.tif\tpage=2\n");
    run(&work, "in/list.txt", &[]).says(2, &["many.tif (page 2)` and `many.tif (page 2)` would both be written"]);
    work.write("in/list.txt", "one.tif\nmany.tif\tbands=2\n");
    run(&work, "in/list.txt", &[]).says(2, &["line 2: `bands=2` behind the TAB is not understood; write page=2"]);
}

#[test]
fn a_page_is_another_scene_to_later_runs_and_plans() {
    let work = prepared();
    let (size, first) = ((40, 40), values(Size::new(40, 40), 7, 1));
    let second = values(Size::new(40, 40), 7, 2);
    work.write("in/a.tif", tiff(&[image(size, &first), image(size, &second)]));
    let plan = |page: u32| {
        work.write("in/list.txt", format!("a.tif\tpage={page}\n"));
        let ran = work.swath(&["plan", "p.toml", "-o", "out", "--backend", "fake", "-i", "in/list.txt", "--json"]);
        let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(document["scenes"][0]["page"], page);
        document["plan"].clone()
    };
    assert_ne!(plan(1), plan(2));
    run(&work, "in/list.txt", &[]).says(0, &["1 done"]);
    let reference = outputs(&work.path("out"));
    work.write("in/list.txt", "a.tif\tpage=1\na.tif\tpage=2\n");
    run(&work, "in/list.txt", &[]).says(0, &["earlier runs: 1 of", "2 done"]);
    assert_eq!(outputs(&work.path("out"))["masks/a.page2.png"], reference["masks/a.page2.png"]);
    let of = |values: &[u8]| values.iter().copied().map(u16::from).collect::<Vec<u16>>();
    assert_eq!((mask(&work, "a.page1").2, mask(&work, "a.page2").2), (of(&first), of(&second)));
}

#[test]
fn overviews_and_masks_are_no_pages() {
    let work = prepared();
    let data = values(Size::new(40, 40), 7, 1);
    let half = values(Size::new(20, 20), 7, 2);
    let overview = Image { role: 1, ..image((20, 20), &half) };
    let own_mask = vec![255; 1600];
    let own_mask = Image { role: 4, ..image((40, 40), &own_mask) };
    work.write("in/a.tif", tiff(&[image((40, 40), &data), overview, own_mask]));
    run(&work, "in", &[]).says(0, &["1 done, 0 failed"]);
    let expected = data.iter().copied().map(u16::from).collect();
    assert_eq!(mask(&work, "a"), (40, 40, expected));
    // A mask of a later page is lost on its way through GDAL: better no answer than a wrong one.
    let masks = vec![255; 1600];
    let mask_of_second = Image { role: 4, ..image((40, 40), &masks) };
    work.write("in/a.tif", tiff(&[image((40, 40), &data), image((40, 40), &data), mask_of_second]));
    work.write("in/list.txt", "a.tif\tpage=2\na.tif\tpage=1\n");
    run(&work, "in/list.txt", &[]).says(3, &["a.tif (page 2) (plan): refused: page 2 has a mask of its own", "1 done"]);
}

#[test]
fn signed_integers_are_refused_where_the_sign_would_be_lost() {
    let work = prepared();
    let four_bits = [0x35_u8; 800];
    let twelve_bits = [0xff_u8; 2400];
    let kind = |format, bits, data| Image { format, bits, ..image((40, 40), data) };
    work.write("in/signed12.tif", tiff(&[kind(2, 12, &twelve_bits)]));
    work.write("in/unsigned4.tif", tiff(&[kind(1, 4, &four_bits)]));
    run(&work, "in", &[])
        .says(3, &["signed12.tif (plan): refused: its pixels are signed integers of 12 bits", "1 done, 1 failed"]);
    let (_, _, values) = mask(&work, "unsigned4");
    assert_eq!(values[..4], [3, 5, 3, 5]);
}

#[test]
fn files_of_another_kind_and_damaged_ones_are_called_so() {
    let work = prepared();
    let size = Size::new(50, 40);
    geotiff(&work.path("in/good.tif"), size, &values(size, 7, 0));
    let good = std::fs::read(work.path("in/good.tif")).unwrap();
    work.write("in/cut.tif", &good[..good.len() / 2]);
    work.write("in/png.tif", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    work.write("in/gif.tif", b"GIF89a\0\0\0");
    work.write("in/vrt.tif", "<VRTDataset rasterXSize=\"4\" rasterYSize=\"4\"></VRTDataset>");
    work.write("in/list.txt", "png.tif\ngif.tif\nvrt.tif\ncut.tif\ngood.tif\ngone.tif\n");
    let ran = run(&work, "in/list.txt", &[]);
    ran.says(
        3,
        &[
            "png.tif (plan): cannot open: ",
            "gif.tif (plan): refused: it is a GIF, and swath reads GeoTIFF, PNG and JPEG; convert it: gdal_translate",
            "vrt.tif (plan): refused: it is a VRT, a mosaic of other files; input.drivers = [\"GTiff\", \"VRT\"] lets it be read",
            "the file is damaged or cut short: fetch or write it again",
            "gone.tif (plan): ",
        ],
    );
    for line in ran.stderr.lines().filter(|line| line.starts_with("failed:")) {
        assert!(
            line.matches(".tif").count() <= 2 && !line.contains("TIFF_SETGET") && !line.contains("os error"),
            "{line}"
        );
        assert!(line.matches("cut.tif").count() <= 1, "{line}");
    }
}

#[test]
fn warnings_of_the_decoder_fail_a_scene_under_strict() {
    let Some(scene) = shared("data/broken/open/made_real_cog_jpeg_bitflips.tif") else { return };
    let Some(good) = shared("data/geotiffs/rasterio__cogeo.tif") else { return };
    let work = prepared();
    let arguments = |more: &[&str]| {
        let scenes = [scene.to_str().unwrap(), good.to_str().unwrap()];
        let base = ["run", "p.toml", "-o", "out", "--backend", "fake", "--fresh", "-v"];
        work.swath(&[&base[..], more, &["-i"], &scenes].concat())
    };
    arguments(&[]).says(0, &["2 done, 0 failed"]);
    let plan = work.report("out")["plan"].clone();
    for decode in ["isolated", "in-process"] {
        arguments(&["--strict", "--decode", decode])
            .says(3, &["bitflips.tif (read): the decoder warns: Corrupt JPEG data", "(--strict)", "1 done, 1 failed"]);
        assert_eq!(work.report("out")["plan"], plan);
    }
}
