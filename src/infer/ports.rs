//! What an ONNX model takes and returns, compared with what its member and the crops of a plan need. The file tells, so this needs no library
//! and is found out when a run is planned.

use std::collections::BTreeSet;

use super::DeviceError;
use crate::config::{Member, Weights};
use crate::geom::{Size, View};
use crate::plan::{MemberPlan, Plan};
use crate::weights::onnx::{self, FLOAT, FLOAT16, OnnxFile, Port};
use crate::words::explain;

/// What goes in and out of a member's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    /// Name of the input.
    pub(super) input: String,
    /// Whether it takes 16-bit floats.
    pub(super) takes_half: bool,
    /// Name of the logits.
    pub(super) output: String,
    /// Whether it takes one tile at a time: its first side is fixed.
    pub(super) one_by_one: bool,
}

/// Compares the ONNX members of a plan with what it asks of them.
///
/// # Errors
/// The first that does not fit: what was found, and what to set.
pub fn check_onnx(plan: &Plan) -> Result<(), DeviceError> {
    plan.members.iter().filter(|m| m.member.spec.is_onnx()).try_for_each(|m| ports(plan, m).map(drop))
}

/// The ports of a plan's member.
///
/// # Errors
/// As [`check_onnx`].
pub(super) fn ports(plan: &Plan, planned: &MemberPlan) -> Result<Ports, DeviceError> {
    let member = &planned.member;
    let failed = |detail: String| DeviceError::Weights { member: member.name.clone(), detail };
    let Weights::File(path) = &member.weights else { return Err(failed("it has a seed, no file".to_owned())) };
    let file = onnx::read(path).map_err(|e| failed(explain(&e)))?;
    let views = &plan.pipeline.views;
    let padded = |size: Size| member.spec.size_rule().padded(size);
    let seen = plan.scenes.iter().map(|scene| padded(scene.grid.crop()));
    let sizes: BTreeSet<Size> = seen.flat_map(|size| views.iter().map(move |view: &View| view.of_size(size))).collect();
    Ports::of(member, &file, &sizes).map_err(|text| failed(format!("`{}` {text}", path.display())))
}

impl Ports {
    fn of(member: &Member, file: &OnnxFile, sizes: &BTreeSet<Size>) -> Result<Self, String> {
        let spec = &member.spec;
        let input = match file.inputs.as_slice() {
            [input] => input,
            all => return Err(format!("takes {} inputs{}, and a member has one, the image", all.len(), listed(all))),
        };
        let takes_half = is_half(input, "takes")?;
        let [tiles, bands, height, width] = sides(input, "takes")?;
        if let Some(bands) = bands.filter(|n| *n != u64::from(spec.bands)) {
            return Err(format!("takes {bands} bands, and `input.bands` has {}", spec.bands));
        }
        if let Some(tiles) = tiles.filter(|n| *n != 1) {
            return Err(format!(
                "takes {tiles} tiles at a time: export it for one, or with a first side that may change"
            ));
        }
        let fits = |size: &&Size| !differs(height, size.height) && !differs(width, size.width);
        if let Some(other) = sizes.iter().find(|size| !fits(size)) {
            return Err(fixed(height, width, *other));
        }
        let output = chosen(member, &file.outputs)?;
        is_half(output, "returns")?;
        if let Some(classes) = sides(output, "returns")?[1].filter(|n| *n != u64::from(spec.classes)) {
            return Err(format!(
                "returns {classes} channels in `{}`, and there are {} classes",
                output.name, spec.classes
            ));
        }
        Ok(Self { input: input.name.clone(), takes_half, output: output.name.clone(), one_by_one: tiles.is_some() })
    }
}

fn differs(fixed: Option<u64>, side: u32) -> bool {
    fixed.is_some_and(|fixed| fixed != u64::from(side))
}

/// What to set where sizes are fixed and a crop has another.
fn fixed(height: Option<u64>, width: Option<u64>, crop: Size) -> String {
    let side = |side: Option<u64>| side.map_or_else(|| "any".to_owned(), |n| n.to_string());
    let text = format!(
        "takes tiles of {} x {} (width, height) alone, and the pipeline makes one of {crop}: export it with sides that may change",
        side(width),
        side(height)
    );
    match (height, width) {
        (Some(height), Some(width)) if height == width => format!(
            "{text}, or set tiler.strategy = \"fixed\", tiler.centre + 2 x tiler.dilation = {height}, tiler.whole_max = {height} (or less) \
             and members.min_size = {height}"
        ),
        _ => text,
    }
}

/// The output that holds the logits.
fn chosen<'a>(member: &Member, outputs: &'a [Port]) -> Result<&'a Port, String> {
    match (&member.output, outputs) {
        (None, [one]) => Ok(one),
        (None, all) => Err(format!("returns {} outputs{}: name the logits, output = \"...\"", all.len(), listed(all))),
        (Some(name), all) => all.iter().find(|port| port.name == *name).ok_or_else(|| {
            format!("returns no `{name}`, which `output` names; it returns{}", listed(all).replace(':', ""))
        }),
    }
}

fn listed(ports: &[Port]) -> String {
    let names: Vec<String> = ports.iter().take(8).map(|port| format!("`{}`", port.name)).collect();
    if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
}

/// Whether it is 16-bit floats; it may be 32-bit ones.
fn is_half(port: &Port, what: &str) -> Result<bool, String> {
    match port.element {
        FLOAT => Ok(false),
        FLOAT16 => Ok(true),
        other => Err(format!(
            "{what} `{}`, which holds {}: a member takes normalised floats and returns logits, both f32 or f16",
            port.name,
            element(other)
        )),
    }
}

/// What `TensorProto.DataType` calls it.
fn element(number: u64) -> String {
    let known = [(2, "uint8"), (3, "int8"), (5, "int16"), (6, "int32"), (7, "int64"), (9, "bool"), (11, "float64")];
    let name = known.iter().find(|(n, _)| *n == number).map(|(_, name)| (*name).to_owned());
    name.unwrap_or_else(|| format!("elements of type {number}"))
}

/// Tiles, channels, height and width, as far as the file says.
fn sides(port: &Port, what: &str) -> Result<[Option<u64>; 4], String> {
    let Some(dims) = &port.dims else { return Ok([None; 4]) };
    dims.as_slice().try_into().map_err(|_| {
        format!("{what} `{}` with {} sides, not four: tiles, channels, height, width", port.name, dims.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, element: u64, dims: [u64; 4]) -> Port {
        let dims = dims.iter().map(|n| (*n > 0).then_some(*n)).collect();
        Port { name: name.to_owned(), element, dims: Some(dims) }
    }

    fn member(output: Option<&str>) -> Member {
        let text = "[[members]]\nnetwork = \"onnx\"\nweights = \"m.onnx\"\n[input]\nbands = [1, 2, 3]\nmean = [0, 0, 0]\n\
                    std = [1, 1, 1]\n[[classes]]\nid = 0\nname = \"a\"\nvalue = 0\ncolor = \"#000000\"\n[[classes]]\nid = 1\n\
                    name = \"b\"\nvalue = 1\ncolor = \"#ffffff\"\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        crate::atomic::write(&path, text.as_bytes()).unwrap();
        let member = crate::config::Pipeline::load(&path, &[]).unwrap().members.remove(0);
        Member { output: output.map(str::to_owned), ..member }
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_to_set() {
        let sizes: BTreeSet<Size> = [Size::new(256, 256), Size::new(320, 256)].into();
        let file = |inputs: &[&Port], outputs: &[&Port]| {
            let all = |ports: &[&Port]| ports.iter().map(|port| (*port).clone()).collect();
            let mut file = OnnxFile::default();
            (file.inputs, file.outputs) = (all(inputs), all(outputs));
            file
        };
        let refused = |inputs: &[&Port], outputs: &[&Port], name: Option<&str>, words: &[&str]| {
            let text = Ports::of(&member(name), &file(inputs, outputs), &sizes).unwrap_err();
            assert!(words.iter().all(|word| text.contains(word)), "{words:?} are not in: {text}");
        };
        let (image, logits, aux) =
            (port("x", FLOAT, [0, 3, 0, 0]), port("y", FLOAT, [0, 2, 0, 0]), port("aux", FLOAT, [0, 2, 0, 0]));
        refused(&[], &[&logits], None, &["takes 0 inputs"]);
        refused(&[&image, &port("z", FLOAT, [0; 4])], &[&logits], None, &["2 inputs: `x`, `z`"]);
        refused(&[&port("x", 2, [0, 3, 0, 0])], &[&logits], None, &["uint8", "normalised"]);
        refused(&[&port("x", FLOAT, [0, 4, 0, 0])], &[&logits], None, &["takes 4 bands", "has 3"]);
        refused(&[&port("x", FLOAT, [8, 3, 0, 0])], &[&logits], None, &["8 tiles at a time"]);
        let fixed = port("x", FLOAT, [0, 3, 256, 256]);
        refused(&[&fixed], &[&logits], None, &["320 x 256", "strategy = \"fixed\"", "min_size = 256"]);
        refused(&[&image], &[&port("y", 7, [0, 2, 0, 0])], None, &["returns `y`", "int64"]);
        refused(&[&image], &[&port("y", FLOAT, [0, 5, 0, 0])], None, &["5 channels", "2 classes"]);
        refused(&[&image], &[&logits, &aux], None, &["2 outputs: `y`, `aux`", "output = "]);
        refused(&[&image], &[&logits, &aux], Some("w"), &["no `w`", "`aux`"]);
        let flat = Port { dims: Some(vec![None, Some(2)]), ..logits.clone() };
        refused(&[&image], &[&flat], None, &["with 2 sides"]);
        let ports = Ports::of(&member(Some("aux")), &file(&[&image], &[&logits, &aux]), &sizes).unwrap();
        assert_eq!((ports.output.as_str(), ports.one_by_one, ports.takes_half), ("aux", false, false));
    }
}
