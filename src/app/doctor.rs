//! `swath doctor`: what this build and this machine can do, and what is wrong.

use crate::infer;
use crate::lifecycle::machine;
use crate::plan::DeviceId;
use crate::process;
use crate::raster::gdal_report;
use crate::report::Diagnosis;
use crate::words::format_bytes;

/// Less free memory than this will not carry a usual ensemble.
const LITTLE_MEMORY: u64 = 2 << 30;

/// Compressions that scenes from common sources have.
const COMMON_CODECS: [&str; 4] = ["LZW", "DEFLATE", "JPEG", "ZSTD"];

/// Looks at libraries, devices, memory and the cache of this machine.
pub fn doctor() -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    diagnosis.fact("swath", env!("CARGO_PKG_VERSION"));
    torch(&mut diagnosis);
    let onnxruntime = infer::onnxruntime().map(|(version, file)| format!("{version}, {}", file.display()));
    diagnosis.fact("ONNX Runtime", &onnxruntime.unwrap_or_else(|why| format!("none: {why}")));
    gdal(&mut diagnosis);
    diagnosis.fact("cores", &machine::cores().to_string());
    match machine::memory() {
        Some(memory) => {
            diagnosis
                .fact("memory", &format!("{} of {} free", format_bytes(memory.available), format_bytes(memory.total)));
            if memory.available < LITTLE_MEMORY {
                diagnosis.problem("less than 2 GiB of memory are free: lower --memory and name one device");
            }
        }
        None => diagnosis.problem("the system does not tell how much memory is free: give --memory yourself"),
    }
    diagnosis
}

fn torch(diagnosis: &mut Diagnosis) {
    diagnosis.fact("libtorch", &libtorch().unwrap_or_else(|| "none".into()));
    if let Some(problem) = infer::torch_problem(DeviceId::Cpu) {
        diagnosis.problem(&problem);
    }
    match infer::torch_problem(DeviceId::Cuda(0)) {
        None => gpus(diagnosis),
        Some(why) => {
            diagnosis.fact("GPUs", &format!("none: {why}"));
            if machine::has_nvidia_driver() && cfg!(feature = "torch") {
                diagnosis.problem(&format!("there is an NVIDIA driver, and swath cannot use it: {why}"));
            }
        }
    }
}

/// Each GPU with its class: runs that are to give equal bytes keep to one.
fn gpus(diagnosis: &mut Diagnosis) {
    let n_gpus = infer::cuda_devices();
    diagnosis.fact("GPUs", &n_gpus.to_string());
    for number in 0..n_gpus {
        match infer::gpu(number) {
            Ok(gpu) => {
                diagnosis.fact(&format!("cuda:{number}"), &gpu.to_string());
                if !gpu.has_kernels() {
                    diagnosis.problem(&format!(
                        "this libtorch has no kernels for cuda:{number}, {gpu}: leave it out of --devices, or use a libtorch built for it"
                    ));
                }
            }
            Err(why) => diagnosis.problem(&format!("cuda:{number} does not say what it is: {why}")),
        }
    }
}

/// The version of libtorch, and which of those on this machine was found.
fn libtorch() -> Option<String> {
    let version = infer::libtorch_version()?;
    let file = machine::library("libtorch_cpu.so");
    Some(file.map_or(version.clone(), |file| format!("{version}, {}", file.display())))
}

fn gdal(diagnosis: &mut Diagnosis) {
    let report = match gdal_report() {
        Ok(report) => report,
        Err(e) => return diagnosis.problem(&e.to_string()),
    };
    diagnosis.fact("GDAL", &report.version);
    diagnosis.fact("formats", &report.drivers.join(" "));
    // Where they cannot be read that is no fault of the machine: few have any.
    let confined = process::landlock_version().map_or_else(
        |why| format!("not read: {why}, and decoders of mosaics are confined by it; Linux 5.13 and later have it"),
        |version| format!("read where a pipeline allows them; Landlock {version} confines their decoders"),
    );
    diagnosis.fact("VRT mosaics", &confined);
    diagnosis.fact("TIFF codecs", &report.tiff_codecs.join(" "));
    let missing: Vec<&str> =
        COMMON_CODECS.into_iter().filter(|c| !report.tiff_codecs.iter().any(|known| known == c)).collect();
    if !missing.is_empty() {
        diagnosis.problem(&format!("this GDAL cannot read TIFFs compressed with {}", missing.join(", ")));
    }
}
