//! `report.html`: what it shows, that it shows it as text, how large it can become, and that a browser opens it from disk without a complaint.
#![cfg(all(feature = "gdal", unix))]

use std::path::Path;

use gdal::spatial_ref::SpatialRef;
use gdal::{Dataset, DriverManager, Gcp};
use image::GrayImage;

use crate::support::browser::{chromium, open};
use crate::support::command::{Workdir, geotiff, with_scenes};
use crate::support::memory::{TWO, pipeline, values};
use swath::geom::Size;

const RUN: [&str; 7] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend=fake"];

/// What a page must show as text.
const SCRIPT: &str = "<script>alert(1)</script>";

fn page(work: &Workdir) -> String {
    std::fs::read_to_string(work.path("out/report.html")).unwrap()
}

/// A scene that `place` places, as GDAL writes it.
fn scene(path: &Path, size: Size, place: impl FnOnce(&mut Dataset)) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let (driver, (width, height)) =
        (DriverManager::get_driver_by_name("GTiff").unwrap(), (size.width as usize, size.height as usize));
    let mut dataset = driver.create_with_band_type::<u8, _>(path, width, height, 1).unwrap();
    place(&mut dataset);
    let mut buffer = gdal::raster::Buffer::new((width, height), values(size, 7, 1));
    dataset.rasterband(1).unwrap().write((0, 0), (width, height), &mut buffer).unwrap();
    dataset.close().unwrap();
}

/// Two scenes with a place, one without, one that cannot be read, and names that are markup.
fn odd() -> Workdir {
    let work = with_scenes(&[(200, 100), (100, 200)]);
    let text = std::fs::read_to_string(work.path("p.toml")).unwrap();
    let named = text.replacen("name = \"c0\"", &format!("name = \"{SCRIPT}\""), 1);
    assert_ne!(named, text);
    work.write("p.toml", named);
    scene(&work.path("in/a & b's.tif"), Size::new(50, 40), |_| {});
    let good = std::fs::read(work.path("in/s1.tif")).unwrap();
    work.write("in/cut.tif", &good[..good.len() / 2]);
    work.write("in/<img src=x onerror=alert(1)>.tif", &good);
    work
}

#[test]
fn a_page_shows_scenes_classes_failures_and_how_to_do_it_again() {
    let work = odd();
    work.swath(&RUN).says(3, &["page        out/report.html"]);
    let page = page(&work);
    for words in [
        "3 of 5 scenes classified",
        "These masks mean nothing",
        // 200 x 100 pixels of half a metre.
        "5\u{202f}000\u{202f}m²",
        "WGS 84 / UTM zone 32N",
        "<a href=\"#s",
        "Without a place",
        "a &#38; b&#39;s",
        "src=\"data:image/jpeg;base64,",
        "src=\"data:image/png;base64,",
        "type=\"range\"",
        "Failed scenes",
        "running the networks",
        "swath run p.toml -i in -o out --backend=fake",
        "plan.jsonl -o NEW_FOLDER",
        "centre = 64",
        "&#60;script&#62;alert(1)&#60;/script&#62;",
        "&#60;img src=x onerror=alert(1)&#62;",
    ] {
        assert!(page.contains(words), "`{words}` is not in the page");
    }
    assert!(!page.contains(SCRIPT) && !page.contains("<img src=x"), "a name became markup");
    assert_eq!(page.matches("alt=\"Image of").count(), 3);
    // Whatever is fetched is in the file.
    let links = page.split("src=\"").skip(1).chain(page.split("href=\"").skip(1));
    assert!(links.clone().count() > 8 && links.clone().all(|link| link.starts_with("data:") || link.starts_with('#')));
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("));
    let report = std::fs::read(work.path("out/report.json")).unwrap();
    std::fs::remove_file(work.path("out/report.html")).unwrap();
    work.swath(&["report", "out"]).says(0, &["3 done", "page        out/report.html"]);
    assert!(std::fs::read(work.path("out/report.json")).unwrap() == report);
    assert_eq!(self::page(&work), page, "from the directory alone");
}

#[test]
fn a_page_says_what_networks_saw_and_places_scenes_by_their_points() {
    let work = with_scenes(&[(200, 100)]);
    let gcp = |pixel: f64, line: f64| {
        let (x, y) = (500_200.0 + 0.25 * pixel, 5_400_000.0 - 0.25 * line);
        Gcp { id: String::new(), info: String::new(), pixel, line, x, y, z: 0.0 }
    };
    scene(&work.path("in/points.tif"), Size::new(50, 40), |d| {
        d.set_gcps(vec![gcp(0.0, 0.0), gcp(48.0, 1.0), gcp(3.0, 37.0)], &SpatialRef::from_epsg(32632).unwrap())
            .unwrap();
    });
    let settings = ["--set", "input.resolution=1", "--set", "input.assume_resolution=1"];
    work.swath(&[&RUN[..], &settings].concat()).expect(0);
    let page = page(&work);
    for words in [
        "1 scene resampled from 0.5 m to 1 m",
        "the networks saw 100\u{a0}×\u{a0}50 of 1\u{a0}m",
        "2 scenes; WGS 84 / UTM zone 32N, north is up",
        // The one that says it to the pixel.
        "5\u{202f}000\u{202f}m²",
    ] {
        assert!(page.contains(words), "`{words}` is not in the page");
    }
    assert!(!page.contains("Without a place"));
    assert_eq!(page.matches("the networks saw").count(), 1, "of that which was resampled");
}

#[test]
fn scenes_that_are_gone_or_have_changed_have_their_masks_alone() {
    let work = with_scenes(&[(70, 50), (50, 40), (50, 40)]);
    work.swath(&RUN).expect(0);
    std::fs::remove_file(work.path("in/s0.tif")).unwrap();
    geotiff(&work.path("in/s1.tif"), Size::new(30, 20), &values(Size::new(30, 20), 7, 9));
    // What tells how far members disagree is one plane of bytes.
    let plane = GrayImage::from_fn(50, 40, |x, _| image::Luma([if x < 25 { 0 } else { 254 }]));
    std::fs::create_dir(work.path("out/disagreement")).unwrap();
    plane.save(work.path("out/disagreement/s2.png")).unwrap();
    work.swath(&["report", "out"]).expect(0);
    let page = page(&work);
    let has = |what: &str| ["s0", "s1", "s2"].map(|name| page.contains(&format!("alt=\"{what} {name}\"")));
    assert_eq!(has("Image of"), [false, false, true]);
    assert_eq!(has("Classes of"), [true; 3]);
    assert_eq!(has("Disagreement of the members about"), [false, false, true]);
    assert!(page.contains("Show where members disagree"));
}

#[test]
fn a_page_that_cannot_be_written_or_is_not_wanted_fails_no_run() {
    let work = with_scenes(&[(50, 40)]);
    work.write("out/report.html", "mine");
    work.swath(&RUN).says(2, &["out/report.html", "--overwrite"]);
    work.swath(&[&RUN[..], &["--overwrite"]].concat()).expect(0);
    assert!(page(&work).starts_with("<!doctype html>"));
    // A page of an earlier run would show what is no more.
    let quiet = work.swath(&[&RUN[..], &["--no-page"]].concat()).expect(0);
    assert!(!quiet.contains("report.html") && !work.path("out/report.html").exists());
    work.write("out/report.html/in the way", "");
    work.swath(&RUN).says(0, &["1 done", "warning: no report.html: cannot ", "`swath report out` tries again"]);
    work.swath(&["report", "out"]).says(0, &["1 done", "no report.html"]);
    std::fs::remove_dir_all(work.path("out/report.html")).unwrap();
    let killed = work.swath_with(
        &[&RUN[..], &["--fresh", "--no-supervise", "--pack-fake"]].concat(),
        &[("SWATH_FAULTS", "pack:abort")],
    );
    assert!(killed.code.is_none() && !work.path("out/report.html").exists());
    work.swath(&["report", "out"]).says(0, &["page        out/report.html"]);
    assert!(page(&work).contains("Not finished"));
}

#[test]
fn more_scenes_than_pictures_are_rows_of_a_table() {
    let work = Workdir::new();
    work.write("p.toml", pipeline("strategy = \"whole\"\nwhole_max = 60", TWO, 7, None));
    let size = Size::new(8, 8);
    geotiff(&work.path("in/s0.tif"), size, &values(size, 7, 1));
    for i in 1..400 {
        std::fs::copy(work.path("in/s0.tif"), work.path(&format!("in/s{i}.tif"))).unwrap();
    }
    work.swath(&RUN).expect(0);
    let page = page(&work);
    assert!(page.contains("Further scenes") && page.contains("400"));
    let n = |what: &str| page.matches(what).count();
    assert_eq!((n("<article class=\"card"), n("<tr class=\"found\""), n("<a href=\"#s")), (360, 40, 400 + 1));
    assert!(page.len() < 2_000_000, "{}", page.len());
}

#[test]
fn scenes_of_several_systems_lie_on_one_map_in_degrees() {
    let work = with_scenes(&[(50, 40)]);
    let at = |epsg: u32, x: f64, y: f64| {
        move |dataset: &mut Dataset| {
            dataset.set_spatial_ref(&SpatialRef::from_epsg(epsg).unwrap()).unwrap();
            dataset.set_geo_transform(&[x, 10.0, 0.0, y, 0.0, -10.0]).unwrap();
        }
    };
    scene(&work.path("in/west.tif"), Size::new(50, 40), at(32631, 500_000.0, 5_400_000.0));
    scene(&work.path("in/plane.tif"), Size::new(50, 40), |dataset| {
        dataset.set_geo_transform(&[0.0, 1.0, 0.0, 0.0, 0.0, -1.0]).unwrap();
    });
    work.swath(&RUN).expect(0);
    let page = page(&work);
    assert!(page.contains("2 scenes; longitude and latitude (WGS 84), north is up"));
    assert!(page.contains("1 scene; without a reference system, north is up"));
    assert!(page.contains("Areas are those of the 2 scenes"));
}

#[test]
fn a_browser_opens_the_page_from_disk_and_complains_of_nothing() {
    let Some(chromium) = chromium() else { return };
    let work = odd();
    work.swath(&RUN).expect(3);
    let dom = open(chromium, &work.path(""), &["--dump-dom"]);
    // The script has run: it shows what works with it alone, and lays the masks on the map.
    assert!(dom.contains("<button class=\"copy\"") && dom.contains("href=\"data:image/png"), "the script has not run");
    assert!(dom.contains("--cut: 50%"));
    let shot = work.path("page.png");
    open(chromium, &work.path(""), &["--window-size=390,2000", &format!("--screenshot={}", shot.display())]);
    let shot = image::open(&shot).unwrap().to_rgb8();
    let colors: std::collections::BTreeSet<[u8; 3]> = shot.pixels().map(|pixel| pixel.0).collect();
    assert!(shot.width() == 390 && colors.len() > 50, "{} colours", colors.len());
}
