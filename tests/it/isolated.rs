//! Decoders in processes of their own: the same pixels, and a file that kills its decoder costs itself.
#![cfg(all(feature = "gdal", target_os = "linux"))]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use swath::geom::{PixelRect, Size, Span};
use swath::raster::{DecoderLimits, Gdal, Isolated, Mask, OpenSource, RasterSource, ReadRequest, SceneHeader};

use crate::support::command::{Workdir, children, geotiff, is_alive, wait_until};
use crate::support::memory::{TWO, pipeline, values};
use crate::support::{outputs, shared};

const RUN: [&str; 9] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "-v"];

fn isolated() -> Box<dyn RasterSource> {
    let limits = DecoderLimits::reading(16 << 20, 0, 16 << 20, Duration::from_secs(60));
    Isolated::by(limits, env!("CARGO_BIN_EXE_swath").into()).open()
}

/// Five scenes, the first of several rows of tiles.
fn prepared() -> Workdir {
    let work = Workdir::new();
    let text = pipeline("strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60", TWO, 7, None);
    work.write("p.toml", text + "[inference]\nbatch = 2\n");
    for (i, (w, h)) in (0..).zip([(130, 140), (70, 60), (40, 30), (40, 30), (1, 1)]) {
        let size = Size::new(w, h);
        geotiff(&work.path(&format!("in/s{i}.tif")), size, &values(size, 7, i));
    }
    work
}

fn reference(work: &Workdir) -> BTreeMap<String, Vec<u8>> {
    work.swath(&[&RUN[..], &["--decode", "in-process"]].concat()).expect(0);
    let bytes = outputs(&work.path("out"));
    std::fs::remove_dir_all(work.path("out")).unwrap();
    bytes
}

/// The whole scene, a part of it that begins in the middle of blocks, and its last row.
fn windows(size: Size) -> Vec<PixelRect> {
    let rows = size.height.min(700);
    let part = |from: u32, side: u32| Span::new(side * from / 7, side.min(side * from / 7 + side.div_ceil(2)));
    vec![
        PixelRect::from_spans(Span::new(0, size.width), Span::new(0, rows)),
        PixelRect::from_spans(part(1, size.width), part(2, size.height.min(3000))),
        PixelRect::from_spans(Span::new(0, size.width), Span::new(size.height - 1, size.height)),
    ]
}

fn request(path: &Path, header: &SceneHeader, window: PixelRect) -> ReadRequest {
    let request = header.request(path.into(), None, window, (1..=header.n_bands).rev().collect());
    ReadRequest { mask: header.mask == Mask::Dataset, probes: vec![window], ..request }
}

#[test]
fn isolated_and_direct_reading_give_the_same_answers() {
    let Some(folder) = shared("data/geotiffs") else { return };
    let Some(broken) = shared("data/broken/open") else { return };
    let (mut inside, mut apart) = (Gdal::set_up().unwrap().open(), isolated());
    let (mut headers, mut reads, mut errors) = (0, 0, 0);
    let files = [folder, broken].into_iter().flat_map(|dir| std::fs::read_dir(dir).unwrap());
    for path in files.map(|entry| entry.unwrap().path()) {
        let name = path.display();
        let (one, other) = (inside.inspect(&path, None), apart.inspect(&path, None));
        // A nodata value may be NaN, which is not equal to itself.
        assert_eq!(format!("{one:?}"), format!("{other:?}"), "{name}");
        let Ok(header) = one else { continue };
        headers += 1;
        for window in windows(header.size) {
            let request = request(&path, &header, window);
            if request.buffer_bytes() > 256 << 20 {
                continue;
            }
            let (mut one, mut other) = (vec![1; request.buffer_bytes()], vec![2; request.buffer_bytes()]);
            match (inside.read(&request, &mut one), apart.read(&request, &mut other)) {
                (Ok(a), Ok(b)) => {
                    assert_eq!(a, b, "{name}");
                    assert!(one == other, "{name}: {window:?}");
                    reads += 1;
                }
                (a, b) => {
                    assert_eq!(a, b, "{name}: {window:?}");
                    errors += 1;
                }
            }
        }
    }
    assert!(headers > 60 && reads > 150 && errors > 5, "{headers} headers, {reads} reads, {errors} errors");
}

#[test]
fn a_file_that_breaks_its_decoder_costs_itself_and_is_named() {
    let work = prepared();
    let expected = reference(&work);
    // Patience that a busy machine does not use up, except where it must be.
    let timeout = |fault: &str| if fault.contains("stall") { "3" } else { "60" };
    for (fault, words) in [
        ("decode:abort~open s2.tif", "s2.tif (plan): the decoder was killed by SIGABRT while it opened the file"),
        ("decode:stall~open s2.tif", "s2.tif (plan): the decoder gave no answer within 3 s (--decode-timeout)"),
        ("decode:balloon~open s2.tif", "s2.tif (plan): the decoder ran out of its memory limit"),
        ("decode:panic~open s2.tif", "s2.tif (plan): the decoder ended with exit code"),
        ("decode:abort~read s2.tif", "s2.tif (read): the decoder was killed by SIGABRT while it read the file"),
        ("decode:stall~read s2.tif", "s2.tif (read): the decoder gave no answer within 3 s (--decode-timeout)"),
        ("decode:balloon~read s2.tif", "s2.tif (read): the decoder ran out of its memory limit"),
        ("decode:error~read s2.tif", "s2.tif (read): cannot read band 1"),
    ] {
        let ran =
            work.swath_with(&[&RUN[..], &["--decode-timeout", timeout(fault)]].concat(), &[("SWATH_FAULTS", fault)]);
        ran.says(3, &[words, "4 done, 1 failed"]);
        let left = outputs(&work.path("out"));
        let good = |name: &String| !name.contains("s2") && name != "submit.zip";
        assert!(left.iter().filter(|(n, _)| good(n)).eq(expected.iter().filter(|(n, _)| good(n))), "{fault}");
        assert!(!left.contains_key("masks/s2.png") && !left.contains_key("submit.zip"), "{fault}");
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
}

#[test]
fn plan_survives_a_file_that_kills_its_decoder_at_open() {
    let work = prepared();
    let arguments = ["plan", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"];
    let ran = work.swath_with(&arguments, &[("SWATH_FAULTS", "decode:abort~open s2.tif")]);
    ran.says(3, &["4 to segment", "s2.tif", "the decoder was killed by SIGABRT while it opened the file"]);
    assert!(!work.path("out").exists());
}

#[test]
fn a_decoder_killed_once_is_replaced_and_costs_nothing() {
    let work = prepared();
    let expected = reference(&work);
    let log = work.path("faults.log");
    let log = log.to_str().unwrap();
    for doing in ["open", "read"] {
        let fault = format!("decode:abort~{doing} s0.tif!");
        let ran = work.swath_with(&RUN, &[("SWATH_FAULTS", &fault), ("SWATH_FAULTS_LOG", log)]);
        ran.says(0, &["5 done, 0 failed"]);
        assert_eq!(std::fs::read_to_string(log).unwrap().lines().count(), 1);
        assert!(outputs(&work.path("out")) == expected);
        std::fs::remove_file(log).unwrap();
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
}

#[test]
fn a_killed_run_leaves_no_decoder_behind() {
    let work = prepared();
    let log = work.path("faults.log");
    let mut command = work.command(&RUN);
    command.env("SWATH_FAULTS", "decode:stall~read s1.tif").env("SWATH_FAULTS_LOG", &log);
    let mut parent = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(|| log.exists());
    let workers = children(parent.id());
    let decoders: Vec<i32> = workers.iter().flat_map(|w| children(w.unsigned_abs())).collect();
    assert!(!decoders.is_empty());
    kill(Pid::from_raw(i32::try_from(parent.id()).unwrap()), Signal::SIGKILL).unwrap();
    parent.wait().unwrap();
    wait_until(|| !workers.iter().chain(&decoders).any(|pid| is_alive(*pid)));
}

#[test]
fn a_decoder_serves_only_another_swath() {
    Workdir::new().swath(&["decoder"]).says(2, &["serves another swath"]);
}
