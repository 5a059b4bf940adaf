//! TorchScript programs as members, through the command line.
#![cfg(all(feature = "torch", feature = "gdal"))]

use std::path::Path;

use swath::geom::Size;
use swath::weights;
use swath::zoo::layers::scope::Purpose;
use swath::zoo::spec::SpecTable;
use swath::zoo::{registry, store};
use tch::{CModule, Device, Kind, Tensor};

use crate::support::command::{Workdir, geotiff};
use crate::support::memory::{pipeline, values};
use crate::support::{outputs, png};

const SIDE: u32 = 64;

/// A program that computes what `network` does, traced with an image of one band.
fn program(work: &Workdir, name: &str, mut network: impl FnMut(&Tensor) -> Tensor) -> String {
    let _no_grad = tch::no_grad_guard();
    let image = Tensor::zeros([1, 1, i64::from(SIDE), i64::from(SIDE)], (Kind::Float, Device::Cpu));
    let mut trace = |inputs: &[Tensor]| vec![network(&inputs[0])];
    let module = CModule::create_by_tracing(name, "forward", &[image], &mut trace).unwrap();
    module.save(work.path(name)).unwrap();
    weights::digest(&work.path(name)).unwrap()
}

/// A network with weights that follow from seed 5.
fn seeded(name: &str) -> impl Fn(&Tensor) -> Tensor {
    let spec = SpecTable::named(name).unwrap().resolve(1, Some(3)).unwrap();
    let mut built = registry::build(&spec, Purpose::Inference, Device::Cpu).unwrap();
    store::seeded(&built.store, &built.layout, 5).unwrap();
    built.store.freeze();
    move |image| built.network.forward(image, false).values
}

fn member(file: &str, more: &str) -> String {
    format!("[[members]]\nnetwork = \"torchscript\"\nweights = \"{file}\"\n{more}\n")
}

fn prepared() -> Workdir {
    let work = Workdir::new();
    for (i, (w, h)) in (0..).zip([(64, 64), (64, 64)]) {
        let size = Size::new(w, h);
        geotiff(&work.path(&format!("in/s{i}.tif")), size, &values(size, 7, i));
    }
    work
}

/// Writes a pipeline with this member.
fn with_member(work: &Workdir, member: &str) {
    work.write("p.toml", pipeline("strategy = \"whole\"\nwhole_max = 64", member, 3, None));
}

const RUN: [&str; 6] = ["run", "p.toml", "-i", "in", "-o", "out"];

#[test]
fn a_program_gives_the_masks_of_its_network() {
    let work = prepared();
    // Full-resolution logits, and logits of stride 8 whose corners lie on corners.
    for (name, network, more) in [
        ("unet/resnet18", "network = \"unet\"\nbackbone = \"resnet18\"", ""),
        (
            "official/danet/resnet50",
            "network = \"danet\"\nvariant = \"official\"\nbackbone = \"resnet50\"",
            "multiple = 64\nupsampling = 8\nalign_corners = true",
        ),
    ] {
        with_member(&work, &format!("[[members]]\n{network}\nseed = 5\n"));
        work.swath(&RUN).says(0, &["2 done, 0 failed"]);
        let expected = outputs(&work.path("out/masks"));
        std::fs::remove_dir_all(work.path("out")).unwrap();
        let digest = program(&work, "own.pt", seeded(name));
        with_member(&work, &member("own.pt", &format!("trust = true\nsha256 = \"{digest}\"\n{more}")));
        work.swath(&RUN).says(0, &["2 done, 0 failed", "PyTorch has deprecated the format"]);
        assert!(outputs(&work.path("out/masks")) == expected, "{name}");
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
}

#[test]
fn a_program_runs_only_when_trusted_and_meant() {
    let work = prepared();
    let digest = program(&work, "own.pt", |image| image.repeat([1, 3, 1, 1]));
    let trusted = format!("trust = true\nsha256 = \"{digest}\"");
    for (more, words) in [
        (String::new(), ["a TorchScript file is a program", "trust = true"]),
        ("trust = true".to_owned(), ["a TorchScript file is a program", "sha256"]),
        (format!("sha256 = \"{digest}\""), ["a TorchScript file is a program", "trust"]),
        ("trust = true\nsha256 = \"abc\"".to_owned(), ["64 hexadecimal digits", "sha256sum"]),
        (format!("{trusted}\nmultiple = 0"), ["multiple is 0", "from 1"]),
    ] {
        with_member(&work, &member("own.pt", &more));
        work.swath(&RUN).says(2, &words);
    }
    let other = digest.replace(|c: char| c.is_ascii_digit(), "a");
    with_member(&work, &member("own.pt", &format!("trust = true\nsha256 = \"{other}\"")));
    work.swath(&RUN).says(12, &["own.pt", &digest, "the pipeline says"]);
    // As weights of a network it is refused, and says what it is.
    with_member(&work, "[[members]]\nnetwork = \"unet\"\nbackbone = \"resnet18\"\nweights = \"own.pt\"\n");
    work.swath(&RUN).says(12, &["a TorchScript archive", "network = \"torchscript\""]);
    with_member(&work, "[[members]]\nnetwork = \"unet\"\nbackbone = \"resnet18\"\nseed = 1\ntrust = true\n");
    work.swath(&RUN).says(2, &["`trust` is for TorchScript programs"]);
    let text = work.write("text.pt", "no program");
    let digest = weights::digest(&text).unwrap();
    with_member(&work, &member("text.pt", &format!("trust = true\nsha256 = \"{digest}\"")));
    work.swath(&RUN).says(12, &["text.pt", "as a TorchScript program"]);
    assert!(!work.path("out").exists());
}

#[test]
fn what_a_program_returns_must_be_what_the_pipeline_says() {
    let work = prepared();
    let half = |image: &Tensor| image.repeat([1, 3, 1, 1]).avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None);
    for (n_classes, more) in [(2, ""), (3, "upsampling = 2")] {
        let digest = program(&work, "own.pt", |image| image.repeat([1, n_classes, 1, 1]));
        with_member(&work, &member("own.pt", &format!("trust = true\nsha256 = \"{digest}\"\n{more}")));
        work.swath(&RUN).says(12, &["`member0`", "the TorchScript program returned", "3 classes"]);
        assert!(!work.path("out").exists());
    }
    let digest = program(&work, "own.pt", half);
    with_member(&work, &member("own.pt", &format!("trust = true\nsha256 = \"{digest}\"\nupsampling = 2")));
    work.swath(&RUN).says(0, &["2 done, 0 failed"]);
}

#[test]
fn a_program_saved_by_pytorch_runs_as_for_inference() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/program.pt");
    let digest = weights::digest(&fixture).unwrap();
    let work = Workdir::new();
    // Stripes of 20 columns that are 0, 3 and 6, in scenes of several sizes and one in tiles.
    for (i, height) in (0..).zip([40, 61, 100]) {
        let stripes: Vec<u8> = (0..height * 60).map(|at| u8::try_from(at % 60 / 20 * 3).unwrap()).collect();
        geotiff(&work.path(&format!("in/s{i}.tif")), Size::new(60, height), &stripes);
    }
    let more = "upsampling = 2\nmultiple = 2\ninput = { mean = [0.0], std = [1.0] }";
    let member = member(&fixture.display().to_string(), &format!("trust = true\nsha256 = \"{digest}\"\n{more}"));
    let tiler = "strategy = \"fixed\"\ncentre = 48\ndilation = 8\nwhole_max = 64";
    work.write("p.toml", pipeline(tiler, &member, 3, None));
    work.swath(&RUN).says(0, &["3 done, 0 failed"]);
    for i in 0..3 {
        let (width, _, mask) = png(&work.path(&format!("out/masks/s{i}.png")));
        for (at, class) in mask.iter().enumerate() {
            let x = at % width as usize;
            // Between the stripes the mean of both decides.
            assert!(!(4..16).contains(&(x % 20)) || usize::from(*class) == x / 20, "s{i} at {at}: {class}");
        }
    }
    let half = [&RUN[..], &["--set", "members.0.precision=f16"]].concat();
    work.swath_with(&half, &[("SWATH_SLOW_HALF", "1")]).says(12, &["`member0`", "Error"]);
}

#[test]
fn weights_may_be_named_by_their_digest_too() {
    let work = prepared();
    let spec = SpecTable::named("unet/resnet18").unwrap().resolve(1, Some(3)).unwrap();
    let built = registry::build(&spec, Purpose::Training, Device::Cpu).unwrap();
    store::save(&built.store, &built.layout, &work.path("w.safetensors")).unwrap();
    let digest = weights::digest(&work.path("w.safetensors")).unwrap();
    let with = |digest: &str| {
        let member = "[[members]]\nnetwork = \"unet\"\nbackbone = \"resnet18\"\nweights = \"w.safetensors\"\n";
        with_member(&work, &format!("{member}sha256 = \"{digest}\"\n"));
    };
    with(&digest.to_uppercase());
    work.swath(&RUN).says(0, &["2 done, 0 failed"]);
    with(&"0".repeat(64));
    work.swath(&RUN).says(12, &["w.safetensors", &digest, "fetch the file again"]);
}
