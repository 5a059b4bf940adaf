//! ONNX models as members, through the command line. The models are written here, byte by byte, so small that their masks can be told.
#![cfg(all(feature = "onnx", feature = "gdal"))]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use half::f16;
use swath::geom::Size;
use swath::{infer, weights};

use crate::support::command::{Ran, Workdir, geotiff};
use crate::support::memory::{pipeline, values};
use crate::support::{outputs, png, skipped};

/// A field of a protocol buffer that is a message, a text or bytes.
fn field(number: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    [&[number << 3 | 2][..], &varint(content.len() as u64), content].concat()
}

/// One that is a number; those above 15 have keys of two bytes.
fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

/// A graph of one convolution whose kernel has 3 x 3 places of which one is not 0, so that each class is a linear function of one pixel.
#[derive(Clone)]
struct Model {
    /// By class: what the pixel is multiplied with, and what is added.
    classes: Vec<(f32, f32)>,
    /// Row and column of the pixel in the kernel.
    at: (usize, usize),
    stride: u64,
    /// `TensorProto.DataType` of all.
    element: u64,
    /// The sides of the input; 0 may change.
    input: [u64; 4],
    operator: &'static str,
    /// Names of the outputs.
    outputs: Vec<&'static str>,
    /// The file that holds the kernel.
    data: Option<&'static str>,
}

/// By the right neighbour's value: up to 2 the class is 0, up to 4 it is 1.
const CLASSES: [(f32, f32); 3] = [(0.0, 2.0), (1.0, 0.0), (2.0, -4.0)];

fn class_of(value: u8) -> u16 {
    match value {
        0..3 => 0,
        3..5 => 1,
        _ => 2,
    }
}

impl Model {
    fn new() -> Self {
        Self {
            classes: CLASSES.to_vec(),
            at: (1, 2),
            stride: 1,
            element: 1,
            input: [0, 1, 0, 0],
            operator: "Conv",
            outputs: vec!["y"],
            data: None,
        }
    }

    fn raw(&self, values: &[f32]) -> Vec<u8> {
        match self.element {
            10 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    fn kernel(&self) -> Vec<u8> {
        let mut kernel = vec![0.0; self.classes.len() * 9];
        for (class, (slope, _)) in self.classes.iter().enumerate() {
            kernel[class * 9 + self.at.0 * 3 + self.at.1] = *slope;
        }
        self.raw(&kernel)
    }

    fn port(&self, name: &str, sides: [u64; 4]) -> Vec<u8> {
        let side = |n: u64| field(1, if n == 0 { field(2, "any") } else { number(1, n) });
        let shape = sides.map(side).concat();
        let tensor = field(1, [number(1, self.element), field(2, shape)].concat());
        [field(1, name), field(2, tensor)].concat()
    }

    fn bytes(&self) -> Vec<u8> {
        let n = self.classes.len() as u64;
        let ints = |name: &str, ints: &[u64]| {
            let ints: Vec<u8> = ints.iter().flat_map(|i| number(8, *i)).collect();
            field(5, [field(1, name), number(20, 7), ints].concat())
        };
        let convolution = [
            ["x", "w", "b"].map(|name| field(1, name)).concat(),
            field(2, self.outputs[0]),
            field(4, self.operator),
            ints("pads", &[1; 4]),
            ints("strides", &[self.stride; 2]),
        ];
        let copies = self.outputs[1..]
            .iter()
            .map(|name| field(1, [field(1, self.outputs[0]), field(2, name), field(4, "Identity")].concat()));
        let dims = [n, 1, 3, 3].map(|n| number(1, n)).concat();
        let content = match self.data {
            None => field(9, self.kernel()),
            Some(file) => [field(13, [field(1, "location"), field(2, file)].concat()), number(14, 1)].concat(),
        };
        let kernel = [dims, number(2, self.element), field(8, "w"), content].concat();
        let offsets: Vec<f32> = self.classes.iter().map(|(_, offset)| *offset).collect();
        let offsets = [number(1, n), number(2, self.element), field(8, "b"), field(9, self.raw(&offsets))].concat();
        let graph = [
            field(1, convolution.concat()),
            copies.collect::<Vec<_>>().concat(),
            field(2, "graph"),
            field(5, kernel),
            field(5, offsets),
            field(11, self.port("x", self.input)),
            self.outputs.iter().flat_map(|name| field(12, self.port(name, [0, n, 0, 0]))).collect(),
        ];
        [number(1, 8), field(8, [field(1, ""), number(2, 17)].concat()), field(7, graph.concat())].concat()
    }
}

/// A folder with scenes, and where ONNX Runtime is.
struct Machine {
    work: Workdir,
    library: String,
}

const SIZES: [(u32, u32); 3] = [(100, 61), (61, 40), (64, 64)];
const RUN: [&str; 6] = ["run", "p.toml", "-i", "in", "-o", "out"];
const TILER: &str = "strategy = \"fixed\"\ncentre = 48\ndilation = 8\nwhole_max = 64\nborder = \"zero\"";

impl Machine {
    fn new() -> Option<Self> {
        let library = infer::onnxruntime().map_err(|why| skipped(&format!("no ONNX Runtime: {why}"))).ok()?.1;
        let work = Workdir::new();
        for (i, (w, h)) in (0..).zip(SIZES) {
            let size = Size::new(w, h);
            geotiff(&work.path(&format!("in/s{i}.tif")), size, &values(size, 7, i));
        }
        Some(Self { work, library: library.display().to_string() })
    }

    /// Writes a model and a pipeline of it.
    fn with(&self, model: &Model, more: &str) {
        self.work.write("m.onnx", model.bytes());
        let member = format!(
            "[[members]]\nnetwork = \"onnx\"\nweights = \"m.onnx\"\ninput = {{ mean = [0.0], std = [1.0] }}\n{more}\n"
        );
        self.work.write("p.toml", pipeline(TILER, &member, 3, None) + "[inference]\nbatch = 2\n");
    }

    fn swath(&self, arguments: &[&str]) -> Ran {
        self.work.swath_with(arguments, &[("SWATH_ONNXRUNTIME", &self.library)])
    }

    /// Runs, compares with what the right neighbours say, and takes the outputs away.
    fn gives_the_masks(&self, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
        self.swath(&[&RUN[..], more].concat()).says(0, &["3 done, 0 failed"]);
        for (i, (w, h)) in (0..).zip(SIZES) {
            let pixels = values(Size::new(w, h), 7, i);
            let right = |at: usize| if (at + 1).is_multiple_of(w as usize) { 0 } else { pixels[at + 1] };
            let expected: Vec<u16> = (0..pixels.len()).map(|at| class_of(right(at))).collect();
            assert!(png(&self.work.path(&format!("out/masks/s{i}.png"))) == (w, h, expected), "s{i}");
        }
        let all = outputs(&self.work.path("out"));
        std::fs::remove_dir_all(self.work.path("out")).unwrap();
        all
    }

    /// A run and a plan of this model are refused with these words, before there is anything.
    fn refuses(&self, model: &Model, more: &str, code: i32, words: &[&str]) {
        self.with(model, more);
        self.swath(&RUN).says(code, words);
        assert!(!self.work.path("out").exists());
    }
}

#[test]
fn an_onnx_model_gives_the_masks_that_its_weights_say() {
    let Some(machine) = Machine::new() else { return };
    machine.with(&Model::new(), "");
    let masks = machine.gives_the_masks(&["--devices", "cpu"]);
    assert!(masks == machine.gives_the_masks(&["--devices", "cpu,cpu,cpu"]));
    // One tile at a time, one size alone, 16-bit floats, one of several outputs.
    let fixed = "min_size = 64";
    for (model, more) in [
        (Model { input: [1, 1, 0, 0], ..Model::new() }, ""),
        (Model { input: [1, 1, 64, 64], ..Model::new() }, fixed),
        (Model { input: [0, 1, 64, 64], ..Model::new() }, fixed),
        (Model { element: 10, ..Model::new() }, ""),
        (Model { outputs: vec!["aux", "y"], ..Model::new() }, "output = \"y\""),
    ] {
        machine.with(&model, more);
        assert!(masks == machine.gives_the_masks(&[]), "{more} {:?}", model.input);
    }
}

#[test]
fn logits_of_an_onnx_model_that_are_coarser_are_up_sampled() {
    let Some(machine) = Machine::new() else { return };
    // Stripes of 20 columns that are 0, 3 and 6; every second pixel is looked at.
    for (i, height) in (0..).zip([40, 61, 100]) {
        let stripes: Vec<u8> = (0..height * 60).map(|at| u8::try_from(at % 60 / 20 * 3).unwrap()).collect();
        geotiff(&machine.work.path(&format!("in/s{i}.tif")), Size::new(60, height), &stripes);
    }
    let model = Model { stride: 2, at: (1, 1), ..Model::new() };
    machine.refuses(&model, "", 12, &["`member0`", "it returned [1, 3, 32, 32]", "not [1, 3, 64, 64]", "`upsampling`"]);
    for align_corners in [false, true] {
        machine.with(&model, &format!("upsampling = 2\nmultiple = 2\nalign_corners = {align_corners}"));
        machine.swath(&[&RUN[..], &["--set", "tiler.border=reflect"]].concat()).says(0, &["3 done, 0 failed"]);
        for i in 0..3 {
            let (width, _, mask) = png(&machine.work.path(&format!("out/masks/s{i}.png")));
            for (at, class) in mask.iter().enumerate() {
                let x = at % width as usize;
                // Between the stripes the mean of both decides.
                assert!(!(4..16).contains(&(x % 20)) || usize::from(*class) == x / 20, "s{i} at {at}: {class}");
            }
        }
        std::fs::remove_dir_all(machine.work.path("out")).unwrap();
    }
}

#[test]
fn tensors_beside_an_onnx_model_are_part_of_it() {
    let Some(machine) = Machine::new() else { return };
    let work = &machine.work;
    let model = Model { data: Some("m.onnx.data"), ..Model::new() };
    machine.refuses(&model, "", 12, &["m.onnx.data", "which is not there"]);
    work.write("m.onnx.data", model.kernel());
    machine.gives_the_masks(&[]);
    let digest = weights::digest(&work.path("m.onnx")).unwrap();
    let by_hand = std::process::Command::new("sh")
        .args(["-c", "sha256sum m.onnx m.onnx.data | sha256sum"])
        .current_dir(work.path("."))
        .output()
        .unwrap();
    assert!(by_hand.stdout.starts_with(digest.as_bytes()), "{by_hand:?}");
    machine.with(&model, &format!("sha256 = \"{digest}\""));
    machine.swath(&RUN).says(0, &["3 done"]);
    let mask = work.path("out/masks/s0.png");
    let before = std::fs::metadata(&mask).unwrap().ino();
    machine.swath(&RUN).says(0, &["3 done"]);
    assert_eq!(std::fs::metadata(&mask).unwrap().ino(), before);
    // Other tensors are another model: refused where the digest is named, and computed anew where it is not.
    let other = Model { at: (1, 1), ..model.clone() };
    work.write("m.onnx.data", other.kernel());
    machine.swath(&RUN).says(12, &["m.onnx", &digest, "the pipeline says"]);
    machine.with(&model, "");
    machine.swath(&RUN).says(0, &["3 done"]);
    assert_ne!(std::fs::metadata(&mask).unwrap().ino(), before);
    let size = Size::new(SIZES[0].0, SIZES[0].1);
    let expected: Vec<u16> = values(size, 7, 0).into_iter().map(class_of).collect();
    assert!(png(&mask).2 == expected);
    std::fs::remove_dir_all(work.path("out")).unwrap();
    // Nothing outside the model's directory is its.
    work.write("elsewhere/w", model.kernel());
    std::fs::create_dir(work.path("models")).unwrap();
    std::os::unix::fs::symlink(work.path("elsewhere/w"), work.path("models/link")).unwrap();
    for (data, words) in
        [("../elsewhere/w", "not in its directory"), ("/etc/passwd", "not in its directory"), ("link", "lies outside")]
    {
        work.write("models/m.onnx", Model { data: Some(data), ..Model::new() }.bytes());
        let path = work.path("models/m.onnx");
        assert!(weights::digest(&path).unwrap_err().to_string().contains(words), "{data}");
        machine.swath(&[&RUN[..], &["--set", "members.0.weights=models/m.onnx"]].concat()).says(12, &["m.onnx", words]);
    }
}

#[test]
fn what_an_onnx_model_takes_and_returns_must_fit_the_pipeline() {
    let Some(machine) = Machine::new() else { return };
    let model = Model::new;
    let refuses = |model: Model, more: &str, code, words: &[&str]| machine.refuses(&model, more, code, words);
    refuses(
        Model { classes: vec![(1.0, 0.0); 2], ..model() },
        "",
        12,
        &["`member0`", "m.onnx", "2 channels", "3 classes"],
    );
    refuses(Model { input: [0, 3, 0, 0], ..model() }, "", 12, &["takes 3 bands", "has 1"]);
    refuses(Model { input: [1, 1, 128, 128], ..model() }, "", 12, &["128 x 128", "64 x 64", "min_size = 128"]);
    refuses(Model { outputs: vec!["aux", "y"], ..model() }, "", 12, &["`aux`, `y`", "output = "]);
    refuses(model(), "output = \"z\"", 12, &["no `z`", "`y`"]);
    refuses(Model { element: 2, ..model() }, "", 12, &["uint8", "normalised"]);
    refuses(Model { operator: "Convolve", ..model() }, "", 12, &["`member0`", "ONNX Runtime refuses it", "Convolve"]);
    refuses(model(), "trust = true", 2, &["`trust` is for TorchScript programs"]);
    refuses(model(), "precision = \"f16\"", 2, &["arithmetic is in its file"]);
    refuses(model(), "backbone = \"resnet18\"", 2, &["onnx", "backbone"]);
    refuses(model(), "seed = 1", 2, &["keep one"]);
    machine.with(&model(), "");
    machine.work.write("m.onnx", "no model");
    machine.swath(&RUN).says(12, &["m.onnx", "not a whole ONNX file"]);
    let inspected = machine.swath(&["weights", "inspect", "m.onnx"]);
    inspected.says(inspected.code.unwrap(), &["an ONNX model", "network = \"onnx\""]);
    machine.swath(&[&RUN[..], &["--set", "members.0.weights=m.pt"]].concat()).says(2, &["ends in .onnx"]);
    // What the file tells is told when a run is planned.
    machine.with(&Model { input: [0, 3, 0, 0], ..model() }, "");
    machine.swath(&["plan", "p.toml", "-i", "in"]).says(12, &["takes 3 bands"]);
}

#[test]
fn without_onnx_runtime_its_members_say_how_to_get_it() {
    let Some(machine) = Machine::new() else { return };
    machine.with(&Model::new(), "");
    let none = machine.work.write("none/readme", "");
    let none = [("SWATH_ONNXRUNTIME", none.parent().unwrap().to_str().unwrap())];
    for command in [&RUN[..], &["plan", "p.toml", "-i", "in"]] {
        let ran = machine.work.swath_with(command, &none);
        assert!(![Some(0), Some(101)].contains(&ran.code), "{ran:?}");
        ran.says(ran.code.unwrap(), &["SWATH_ONNXRUNTIME", "is or holds no libonnxruntime.so"]);
    }
    machine
        .work
        .swath_with(&["doctor"], &none)
        .says(machine.work.swath(&["doctor"]).code.unwrap(), &["ONNX Runtime", "none"]);
    machine.swath(&["doctor"]).says(machine.work.swath(&["doctor"]).code.unwrap(), &[&machine.library]);
    // A library that is another one.
    let file = machine.work.write("libonnxruntime.so", "no library");
    let ran = machine.work.swath_with(&RUN, &[("ORT_DYLIB_PATH", file.to_str().unwrap())]);
    ran.says(ran.code.unwrap(), &["libonnxruntime.so", "run.sh"]);
    // On a GPU it has the CUDA provider, or nothing runs.
    if !machine.library.contains("cuda") {
        let ran = machine.swath(&[&RUN[..], &["--devices", "cuda:0"]].concat());
        assert_ne!(ran.code, Some(0));
        ran.says(ran.code.unwrap(), &["has no CUDA provider", "--devices cpu"]);
    }
    assert!(!machine.work.path("out").exists());
}

#[test]
fn a_damaged_onnx_file_is_refused_wherever_it_ends() {
    let work = Workdir::new();
    let whole = Model { data: Some("m.onnx"), ..Model::new() }.bytes();
    let path = work.write("m.onnx", &whole);
    let file = weights::onnx::read(&path).unwrap();
    assert_eq!((file.inputs.len(), file.outputs.len(), file.data.len()), (1, 1, 1));
    for end in 0..whole.len() {
        work.write("m.onnx", &whole[..end]);
        assert!(weights::onnx::read(&path).is_err(), "{end}");
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            work.write("m.onnx", &damaged);
            drop(weights::onnx::read(&path));
        }
    }
}

#[cfg(feature = "torch")]
#[test]
fn onnx_models_and_networks_of_libtorch_are_summed_together() {
    let Some(machine) = Machine::new() else { return };
    machine.with(&Model::new(), "");
    let text = std::fs::read_to_string(machine.work.path("p.toml")).unwrap();
    // Its logits count for nothing, but it runs.
    let other = "[[members]]\nnetwork = \"unet\"\nbackbone = \"resnet18\"\nseed = 5\nweight = 0.0\n[[members]]\nnetwork = \"onnx\"";
    machine.work.write("p.toml", text.replace("[[members]]\nnetwork = \"onnx\"", other));
    machine.gives_the_masks(&[]);
    machine.swath(&[&RUN[..], &["--devices", "cpu-tensors"]].concat()).says(14, &["without members of libtorch"]);
}
