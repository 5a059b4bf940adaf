//! The program as a person runs it.
#![cfg(feature = "gdal")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::memory::{TWO, pipeline, values};
use super::{outputs, skipped};

/// A folder of its own for a test, and the program in it.
pub(crate) struct Workdir {
    dir: tempfile::TempDir,
    /// What the program is started by, if not by itself.
    through: Cell<&'static [&'static str]>,
}

/// Starts a program of root without what sets root above the rights of files (util-linux).
const AS_ANYBODY: [&str; 3] =
    ["setpriv", "--inh-caps=-dac_override,-dac_read_search", "--bounding-set=-dac_override,-dac_read_search"];

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Workdir {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), through: Cell::new(&[]) }
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    pub(crate) fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// From here on the rights of files hold for the program, also where root runs the tests. False, with a printed reason, where that
    /// cannot be had.
    pub(crate) fn heeds_rights(&self) -> bool {
        let is_root = std::fs::metadata(self.path(".")).unwrap().uid() == 0;
        let can_drop =
            || Command::new(AS_ANYBODY[0]).args(&AS_ANYBODY[1..]).arg("true").status().is_ok_and(|s| s.success());
        if is_root && !can_drop() {
            skipped("root may do everything, and there is no setpriv (util-linux) that gives it up");
            return false;
        }
        self.through.set(if is_root { &AS_ANYBODY } else { &[] });
        true
    }

    /// The program with these arguments, here, with a cache of its own.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let words = [self.through.get(), &[env!("CARGO_BIN_EXE_swath")]].concat();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(packing(arguments))
            .current_dir(self.dir.path())
            .env("XDG_CACHE_HOME", self.path("cache"));
        command.env_remove("RUST_BACKTRACE");
        command
    }

    pub(crate) fn swath(&self, arguments: &[&str]) -> Ran {
        self.swath_with(arguments, &[])
    }

    /// With more in its environment.
    pub(crate) fn swath_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        let output = self.command(arguments).envs(environment.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let ran = Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
        ran
    }

    pub(crate) fn report(&self, run_dir: &str) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.path(run_dir).join("report.json")).unwrap()).unwrap()
    }

    /// Forward passes of the last run.
    pub(crate) fn forwards(&self, run_dir: &str) -> u64 {
        self.report(run_dir)["totals"]["forwards"].as_u64().unwrap()
    }
}

/// The arguments, and where the networks of a run are fake, that it shall pack all the same: tests compare archives.
fn packing<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = arguments.to_vec();
    if arguments.first() == Some(&"run") && arguments.contains(&"fake") && !arguments.contains(&UNPACKED) {
        let end = arguments.iter().position(|argument| *argument == "--").unwrap_or(arguments.len());
        arguments.insert(end, "--pack-fake");
    }
    arguments.retain(|argument| *argument != UNPACKED);
    arguments
}

/// An argument for [`Workdir`] alone: fake masks are not packed, as without a word about it.
pub(crate) const UNPACKED: &str = "--no-pack";

impl Ran {
    /// Expects an exit code and returns what was printed, both streams.
    pub(crate) fn expect(&self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Expects an exit code and that all these words were printed.
    pub(crate) fn says(&self, code: i32, words: &[&str]) {
        let text = self.expect(code);
        for word in words {
            assert!(text.contains(word), "`{word}` is not in:\n{text}");
        }
    }
}

/// A GeoTIFF of u8 bands, through swath's own writer.
pub(crate) fn geotiff(path: &Path, size: swath::geom::Size, planes: &[u8]) {
    use swath::geom::GeoTransform;
    use swath::raster::{GeoTiff, TiffLayout, write_geotiff};
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let transform = GeoTransform::north_up(500_000.0, 5_400_000.0, 0.5);
    write_geotiff(path, &GeoTiff { size, texture: size, planes, layout: TiffLayout::COMMON, transform, epsg: 32632 })
        .unwrap();
}

/// The processes that a process, any of its threads, has started.
pub(crate) fn children(pid: u32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
    let children = threads.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
    children.flat_map(|text| text.split_whitespace().map(|p| p.parse().unwrap()).collect::<Vec<_>>()).collect()
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

/// Waits for what must come to pass.
pub(crate) fn wait_until(what: impl Fn() -> bool) {
    // Nothing that is waited for takes longer unless it hangs.
    let (start, limit) = (Instant::now(), Duration::from_secs(60));
    while !what() {
        assert!(start.elapsed() < limit, "waited in vain");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A folder `in` with scenes of these sizes, and `p.toml`: two fake members, tiles of 64 with a ring of 16, small scenes in groups.
pub(crate) fn with_scenes(sizes: &[(u32, u32)]) -> Workdir {
    let work = Workdir::new();
    let text = pipeline("strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60", TWO, 7, None);
    work.write("p.toml", text + "[inference]\nbatch = 2\n");
    for (i, &(w, h)) in (0..).zip(sizes) {
        let size = swath::geom::Size::new(w, h);
        geotiff(&work.path(&format!("in/s{i}.tif")), size, &values(size, 7, i));
    }
    work
}

/// Weights for the first member of a pipeline: also where networks are fake they must fit.
#[cfg(feature = "torch")]
pub(crate) fn own_weights(work: &Workdir, pipeline: &str, file: &str) {
    let pipeline = swath::config::Pipeline::load(&work.path(pipeline), &[]).unwrap();
    super::save_weights(&pipeline.members[0].spec, &work.path(file));
}

/// A build without networks compares nothing.
#[cfg(not(feature = "torch"))]
pub(crate) fn own_weights(work: &Workdir, _pipeline: &str, file: &str) {
    let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
    work.write(file, safetensors::serialize([("weight", tensor)], None).unwrap());
}

/// What a run makes anew in `out`.
pub(crate) fn fresh(work: &Workdir, run: &[&str], more: &[&str]) -> BTreeMap<String, Vec<u8>> {
    work.swath(&[run, &["--fresh"], more].concat()).expect(0);
    outputs(&work.path("out"))
}

/// What this command leaves in `out`, which is taken away again.
pub(crate) fn reference(work: &Workdir, command: &[&str]) -> BTreeMap<String, Vec<u8>> {
    work.swath(command).expect(0);
    let bytes = outputs(&work.path("out"));
    std::fs::remove_dir_all(work.path("out")).unwrap();
    bytes
}
