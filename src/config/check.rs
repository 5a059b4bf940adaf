//! What the tables of a pipeline file mean together, checked.

use std::path::Path;

use super::agree::{Bundle, Bundles};
use super::band::Band;
use super::classes::{Class, ClassTable, ClassTableError, Nodata};
use super::fault::Fault;
use super::file::{InputTable, MemberInputTable, MemberTable, PipelineFile, StrategyName, TilerTable};
use super::names::name_fault;
use super::pipeline::{InputSpec, MaskDepth, Member, Pipeline, Reading, Weights};
use crate::geom::View;
use crate::raster::PixelType;
use crate::tiler::{Dilation, Rule, Strategy, Tiling};
use crate::zoo::spec::Network;

/// Centres up to here; beyond, a crop's pixel count would not fit the arithmetic of any network.
const MAX_CENTRE: u32 = 1 << 16;

/// The pipeline that a file means; paths in it are relative to `folder`. `bundles` are what members' weights say, one entry for each.
///
/// # Errors
/// When a value is out of range, or parts contradict each other.
pub(super) fn check(file: PipelineFile, folder: &Path, bundles: &[Option<Bundle>]) -> Result<Pipeline, Fault> {
    let said = Bundles(bundles);
    let reading = said.reading(file.input.as_ref().unwrap_or(&InputTable::default()))?;
    let classes = class_table(file.classes, file.nodata, &said)?;
    let max = classes.max_value();
    if file.outputs.mask_depth == MaskDepth::Eight && max > 255 {
        let text = format!("a class has value {max}, more than 8 bits hold; set outputs.mask_bits = 16");
        return Err(Fault::about("classes", text));
    }
    let post = file.post.checked(&classes)?;
    let distance = file.outputs.vectors_simplify;
    if !(distance.is_finite() && distance >= 0.0) {
        return Err(Fault::value(
            "outputs.vectors_simplify",
            distance,
            "0 or a distance in units of the reference system",
        ));
    }
    check_prefix(&file.package.prefix)?;
    let train = file.train.map(|table| table.checked(classes.classes().len(), folder)).transpose()?;
    Ok(Pipeline {
        tiling: match (file.tiler, said.tiling()) {
            (None, Some(tiling)) => tiling,
            (table, _) => tiling(table.unwrap_or_default())?,
        },
        reading: checked(reading)?,
        members: members(file.members, file.input.as_ref(), &classes, folder, bundles)?,
        combine: file.inference.combine,
        views: views(file.inference.views)?,
        batch: file.inference.batch,
        unit_max: file.inference.unit_max.0,
        classes,
        post,
        outputs: file.outputs,
        package: file.package,
        checkpoints: file.checkpoints,
        data: file.data,
        train,
    })
}

fn checked(reading: Reading) -> Result<Reading, Fault> {
    let Reading { nodata_value, resolution, assume_resolution, drivers, .. } = reading;
    if drivers.names().iter().all(|name| *name == "VRT") {
        let wanted = "formats of files, and VRT beside them for mosaics of such, e.g. [\"GTiff\", \"VRT\"]";
        return Err(Fault::value("input.drivers", format!("{:?}", drivers.names()), wanted));
    }
    for (key, metres) in [("input.resolution", resolution), ("input.assume_resolution", assume_resolution)] {
        if let Some(metres) = metres.filter(|metres| !metres.is_normal() || *metres < 0.0) {
            return Err(Fault::value(key, metres, "a length in metres, e.g. 0.5"));
        }
    }
    if assume_resolution.is_some() && resolution.is_none() {
        let text = "it says how long the pixels of some scenes are, which matters where input.resolution is set; set that too, or take it out";
        return Err(Fault::about("input.assume_resolution", text));
    }
    match nodata_value.filter(|value| !value.is_finite()) {
        Some(value) => {
            Err(Fault::value("input.nodata_value", value, "a finite number; what is not finite is nodata anyway"))
        }
        None => Ok(reading),
    }
}

/// Each once, and the input as it is among them: a deadline that gives up turned views must leave one.
fn views(views: Vec<View>) -> Result<Vec<View>, Fault> {
    let is_twice = |view: &View| views.iter().filter(|other| *other == view).count() > 1;
    let fault = match views.iter().find(|view| is_twice(view)) {
        Some(twice) => format!("`{}` is there twice", twice.name()),
        None if views.contains(&View::Identity) => return Ok(views),
        None => "`identity` is missing".to_owned(),
    };
    let text = format!("{fault}; name identity and any of hflip, vflip, rot90, rot180, rot270, each once");
    Err(Fault::about("inference.views", text))
}

/// The classes and what masks hold without data: as declared, or else as all members' weights say.
fn class_table(declared: Option<Vec<Class>>, nodata: Option<Nodata>, said: &Bundles<'_>) -> Result<ClassTable, Fault> {
    let is_declared = declared.is_some();
    let (classes, nodata) = match (declared, said.first()) {
        (Some(classes), _) => (classes, nodata),
        (None, Some(first)) => (first.classes.classes().to_vec(), nodata.or(first.classes.nodata())),
        (None, None) => return Err(Fault::missing("", "classes")),
    };
    let table = ClassTable::new(classes, nodata).map_err(|e| class_fault(&e))?;
    said.agree_on(&table, is_declared)?;
    Ok(table)
}

fn class_fault(error: &ClassTableError) -> Fault {
    let key = match error {
        ClassTableError::Id { position, .. } => format!("classes.{position}.id"),
        ClassTableError::Count(_) | ClassTableError::Value { .. } => "classes".to_owned(),
    };
    Fault::about(key, error)
}

/// The folder in the archive: what its masks would be called must be a name.
fn check_prefix(prefix: &str) -> Result<(), Fault> {
    let folder = prefix.trim_end_matches('/');
    let fault = if folder.is_empty() && !prefix.is_empty() {
        Some("a folder has no name")
    } else {
        name_fault(folder).filter(|_| !prefix.is_empty())
    };
    let refuse = |fault| {
        let wanted = format!("a folder inside the archive, e.g. \"results\", or \"\" for none: {fault}");
        Fault::value("package.prefix", format_args!("{prefix:?}"), wanted)
    };
    fault.map_or(Ok(()), |fault| Err(refuse(fault)))
}

fn tiling(table: TilerTable) -> Result<Tiling, Fault> {
    let in_range = |c: &u32| (1..=MAX_CENTRE).contains(c);
    let range = format!("1 to {MAX_CENTRE} pixels");
    let strategy = match table.strategy {
        StrategyName::Whole if table.whole_max == 0 => {
            return Err(Fault::value("tiler.whole_max", 0, "1 or more for the strategy `whole`"));
        }
        StrategyName::Whole => Strategy::Whole,
        StrategyName::Adaptive => {
            let centres = table.centres;
            if centres.is_empty() || !centres.iter().all(in_range) {
                let wanted = format!("one or more sizes of {range}");
                return Err(Fault::value("tiler.centres", format_args!("{centres:?}"), wanted));
            }
            Strategy::Adaptive { rule: table.rule, centres }
        }
        StrategyName::Fixed => {
            let lacks = || Fault::about("tiler", "the strategy `fixed` needs the key `centre`, e.g. 512");
            let centre = table.centre.ok_or_else(lacks)?;
            if !in_range(&centre) {
                return Err(Fault::value("tiler.centre", centre, range));
            }
            Strategy::Fixed { centre }
        }
    };
    for (key, pixels) in
        [("tiler.dilation", table.dilation.x.max(table.dilation.y)), ("tiler.whole_max", table.whole_max)]
    {
        if pixels > MAX_CENTRE {
            return Err(Fault::value(key, pixels, format!("0 to {MAX_CENTRE} pixels")));
        }
    }
    let TilerTable { whole_max, dilation, border, blend, .. } = table;
    let tiling = Tiling { whole_max, strategy, dilation, border, blend };
    check_blend(&tiling)?;
    Ok(tiling)
}

/// Tiles that are blended overlap, and no pixel is seen by more than two of them along an axis.
fn check_blend(tiling: &Tiling) -> Result<(), Fault> {
    let smallest = match &tiling.strategy {
        Strategy::Whole => None,
        // Of equal ones none is shorter than half of the largest.
        Strategy::Adaptive { rule: Rule::Even, centres } => centres.iter().max().map(|largest| largest.div_ceil(2)),
        Strategy::Adaptive { rule: Rule::MaxLast | Rule::LeastWaste, centres } => centres.iter().min().copied(),
        Strategy::Fixed { centre } => Some(*centre),
    };
    let Some(smallest) = smallest.filter(|_| !tiling.blend.is_none()) else { return Ok(()) };
    let Dilation { x, y } = tiling.dilation;
    if x.max(y) == 0 || x.max(y) > smallest / 2 {
        let wanted = format!(
            "1 to {} pixels where tiles are blended: they overlap, by no more than half of the smallest centre, which is {smallest}",
            smallest / 2
        );
        return Err(Fault::value("tiler.dilation", x.max(y), wanted));
    }
    Ok(())
}

fn members(
    tables: Vec<MemberTable>,
    shared: Option<&InputTable>,
    classes: &ClassTable,
    folder: &Path,
    bundles: &[Option<Bundle>],
) -> Result<Vec<Member>, Fault> {
    if tables.is_empty() {
        return Err(Fault::about("members", "there are no [[members]]; an ensemble needs at least one"));
    }
    let n_classes = u32::try_from(classes.classes().len()).unwrap_or(u32::MAX);
    let mut members: Vec<Member> = Vec::new();
    for ((idx, table), bundle) in tables.into_iter().enumerate().zip(bundles) {
        let key = format!("members.{idx}");
        let name = table.name.clone().unwrap_or_else(|| format!("member{idx}"));
        if members.iter().any(|m| m.name == name) {
            return Err(Fault::about(format!("{key}.name"), format!("two members are called `{name}`")));
        }
        members.push(member(table, &key, name, shared, n_classes, folder, bundle.as_ref())?);
    }
    check_files(&members)?;
    let total = members.iter().map(|m| m.weight).sum::<f64>();
    match total {
        total if !total.is_finite() => Err(Fault::about("members", "their weights are too large to be summed")),
        total if total > 0.0 => Ok(members),
        _ => Err(Fault::about("members", "all members have weight 0; give one of them more")),
    }
}

/// Either every band has a file of its own, or none.
fn check_files(members: &[Member]) -> Result<(), Fault> {
    let all: Vec<&Band> = members.iter().flat_map(|member| &member.input.bands).collect();
    let is_file = |band: &&Band| matches!(band, Band::File(_));
    let Some(file) = all.iter().copied().find(is_file) else { return Ok(()) };
    if let Some(other) = all.iter().copied().find(|band| !is_file(band)) {
        let text = format!(
            "{file} is the pattern of a file of its own and {other} is none; all bands need a pattern, or none"
        );
        return Err(Fault::about("input.bands", text));
    }
    let is_sound =
        |band: &&Band| matches!(band, Band::File(text) if text.matches('*').count() == 1 && !text.contains('/'));
    match all.into_iter().find(|band| !is_sound(band)) {
        None => Ok(()),
        Some(wrong) => Err(Fault::value("input.bands", wrong, "a file name with one star, e.g. \"*_B04.tif\"")),
    }
}

fn member(
    table: MemberTable,
    key: &str,
    name: String,
    shared: Option<&InputTable>,
    classes: u32,
    folder: &Path,
    bundle: Option<&Bundle>,
) -> Result<Member, Fault> {
    let own = bundle.map(|bundle| bundle.network(&table, key)).transpose()?;
    let network = own.as_ref().map_or_else(|| table.spec(key).map(|named| named.network), |spec| Ok(spec.network))?;
    let weights = weights(&table, network, key, folder)?;
    let is_digest = |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(digest) = table.sha256.as_ref().filter(|digest| !is_digest(digest)) {
        let wanted = "64 hexadecimal digits, as `sha256sum FILE` prints them";
        return Err(Fault::value(format!("{key}.sha256"), format_args!("{digest:?}"), wanted));
    }
    if !(table.weight.is_finite() && table.weight >= 0.0) {
        return Err(Fault::value(format!("{key}.weight"), table.weight, "0 or more"));
    }
    let input = input(shared, table.input.clone(), key, bundle)?;
    let bands = u32::try_from(input.bands.len()).unwrap_or(u32::MAX);
    let resolved = || {
        table.spec(key)?.resolve(bands, Some(classes)).map_err(|e| {
            let place = e.key.map_or_else(|| key.to_owned(), |own| format!("{key}.{own}"));
            Fault::about(place, e)
        })
    };
    let spec = own.map_or_else(resolved, Ok)?;
    Ok(Member {
        name,
        spec,
        weights,
        output: table.output,
        sha256: table.sha256.map(|digest| digest.to_ascii_lowercase()),
        weight: table.weight,
        precision: table.precision,
        kernels: table.kernels,
        input,
    })
}

/// Where a member's weights come from, and whether that may be. An ONNX graph is made of operators that ONNX Runtime brings along, and no
/// library with others is loaded, so that it needs no trust.
fn weights(table: &MemberTable, network: Network, key: &str, folder: &Path) -> Result<Weights, Fault> {
    let about = |text: &str| Fault::about(key, text);
    let weights = match (&table.weights, table.seed) {
        (Some(path), None) => Weights::File(folder.join(path)),
        (None, Some(seed)) => Weights::Seed(seed),
        (Some(_), Some(_)) => return Err(about("it has both `weights` and `seed`; keep one")),
        (None, None) if network == Network::Identity => Weights::Seed(0),
        (None, None) => return Err(about("it has neither `weights` (a file) nor `seed` (random weights)")),
    };
    let [is_program, is_onnx] = [Network::TorchScript, Network::Onnx].map(|program| network == program);
    match (is_program, &weights, table.trust, &table.sha256) {
        (true, Weights::File(_), true, Some(_)) => Ok(weights),
        (_, Weights::Seed(_), ..) if is_program || is_onnx => {
            Err(about("a program has weights of its own, no `seed`: name its file, weights = \"FILE\""))
        }
        (_, Weights::File(path), ..) if is_onnx && path.extension().is_none_or(|extension| extension != "onnx") => {
            Err(Fault::about(format!("{key}.weights"), "the name of an ONNX file ends in .onnx"))
        }
        _ if table.output.is_some() && !is_onnx => {
            Err(Fault::about(format!("{key}.output"), "`output` chooses among the outputs of an ONNX file"))
        }
        (true, ..) => Err(about(
            "a TorchScript file is a program, which can do on this machine whatever you can; if you know where it comes from, write \
             trust = true and sha256 = \"...\" (sha256sum FILE)",
        )),
        (false, _, true, _) => {
            Err(Fault::about(format!("{key}.trust"), "`trust` is for TorchScript programs; weights are data"))
        }
        (false, Weights::Seed(_), _, Some(_)) => Err(about("`sha256` is that of a file, and `seed` names none")),
        (false, ..) => Ok(weights),
    }
}

/// How a member's pixels are normalised: its own keys, the shared ones for the rest, and what its weights say where there are none.
fn input(
    shared: Option<&InputTable>,
    own: MemberInputTable,
    member: &str,
    bundle: Option<&Bundle>,
) -> Result<InputSpec, Fault> {
    let keys = [
        ("bands", own.bands.is_some()),
        ("mean", own.mean.is_some()),
        ("std", own.std.is_some()),
        ("divide", own.divide.is_some()),
    ];
    // Where to look: in the member's own table where it has the key.
    let key = |key: &str| match keys.contains(&(key, true)) {
        true => format!("{member}.input.{key}"),
        false => format!("input.{key}"),
    };
    let [bands, mean, std, divide] = keys.map(|(name, _)| key(name));
    let is_own = keys[..3].iter().any(|(_, is_own)| *is_own);
    let declared = match shared {
        None => own,
        Some(shared) => MemberInputTable {
            bands: own.bands.or_else(|| shared.bands.clone()),
            divide: own.divide.or_else(|| shared.divide.clone()),
            mean: own.mean.or_else(|| shared.mean.clone()),
            std: own.std.or_else(|| shared.std.clone()),
        },
    };
    let spec = match bundle {
        Some(bundle) => bundle.input(declared, key)?,
        None => {
            let lacks = |name: &str| shared.map_or(Fault::missing("", "input"), |_| Fault::missing("input", name));
            InputSpec {
                bands: declared.bands.ok_or_else(|| lacks("bands"))?,
                divide: declared.divide.unwrap_or_else(|| [(PixelType::U8, 255.0)].into()),
                mean: declared.mean.ok_or_else(|| lacks("mean"))?,
                std: declared.std.ok_or_else(|| lacks("std"))?,
            }
        }
    };
    checked_input(spec, if is_own { format!("{member}.input") } else { "input".to_owned() }, [bands, mean, std, divide])
}

fn checked_input(spec: InputSpec, table: String, [bands, mean, std, divide]: [String; 4]) -> Result<InputSpec, Fault> {
    let n = spec.bands.len();
    let all = || format!("[{}]", spec.bands.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    if n == 0 || spec.bands.contains(&Band::Number(0)) {
        let wanted = "a list that counts bands from 1, e.g. [1, 2, 3]";
        return Err(Fault::value(bands, all(), wanted));
    }
    if spec.mean.len() != n || spec.std.len() != n {
        let text = format!(
            "it has {n} bands, {} means and {} stds; give a mean and a std for each band",
            spec.mean.len(),
            spec.std.len()
        );
        return Err(Fault::about(table, text));
    }
    if !spec.mean.iter().all(|m| m.is_finite()) {
        return Err(Fault::value(mean, format_args!("{:?}", spec.mean), "finite numbers"));
    }
    if !spec.std.iter().all(|s| s.is_finite() && *s > 0.0) {
        return Err(Fault::value(std, format_args!("{:?}", spec.std), "finite numbers, every std above 0"));
    }
    if spec.divide.is_empty() || !spec.divide.values().all(|d| d.is_finite() && *d != 0.0) {
        let found = spec.divide.iter().map(|(dtype, by)| format!("{dtype} = {by}")).collect::<Vec<_>>().join(", ");
        let wanted = "a pixel type with a number other than 0, e.g. { u8 = 255 }";
        return Err(Fault::value(divide, format_args!("{{ {found} }}"), wanted));
    }
    Ok(spec)
}
