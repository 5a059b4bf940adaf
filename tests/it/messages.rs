//! What a person is told about a wrong value of each key of a pipeline file, and about a wrong command line: where it is, what it is, and
//! what it may be.
#![cfg(feature = "gdal")]

use crate::support::command::{Ran, Workdir, with_scenes};

/// Every key.
const FILE: &str = r##"
checkpoints = ["labels"]

[input]
bands = [1]
divide = { u8 = 255 }
mean = [0.5]
std = [0.25]

[tiler]
strategy = "fixed"
rule = "max-last"
whole_max = 60
centres = [64, 48]
centre = 64
dilation = 16
border = "reflect"

[inference]
combine = "logits"
batch = 2
unit_max = "256MiB"

[[members]]
name = "first"
network = "identity"

[[members]]
name = "second"
network = "deeplabv3plus"
variant = "smp"
backbone = "resnet34"
output_stride = 16
rates = [12, 24, 36]
depth = 5
decoder_channels = 256
trust = false
seed = 1
weight = 1.0
precision = "auto"
input = { bands = [1], mean = [0.5], std = [0.25] }

[post]
fill_holes = 0

[outputs]
mask_bits = 8
color = true

[package]
prefix = "masks"
manifest = false

[nodata]
value = 9
color = "#000000"

[[classes]]
id = 0
name = "water"
value = 1
color = "#2a6fb0"

[[classes]]
id = 1
name = "forest"
value = 2
color = "#2a6f00"
"##;

fn prepared() -> Workdir {
    let work = with_scenes(&[(40, 30)]);
    work.write("p.toml", FILE);
    work
}

fn plan(work: &Workdir, more: &[&str]) -> Ran {
    work.swath(&[&["plan", "p.toml", "-i", "in", "--backend", "fake", "--devices", "cpu"], more].concat())
}

/// Refused with these words, at the line that differs from the sound file.
fn refused(work: &Workdir, (old, new): (&str, &str), words: &[&str]) {
    let at = FILE.find(old).unwrap_or_else(|| panic!("no `{old}`"));
    let line = FILE[..at].matches('\n').count() + 1 + old.len() - old.trim_start().len();
    work.write("p.toml", FILE.replacen(old, new, 1));
    let ran = plan(work, &[]);
    ran.says(2, words);
    ran.says(2, &[&format!("error: `p.toml`, line {line}: ")]);
}

#[test]
fn the_sound_file_is_sound() {
    plan(&prepared(), &[]).expect(0);
}

#[test]
fn every_key_of_the_tables_says_where_it_is_what_it_is_and_what_it_may_be() {
    let work = prepared();
    let cases: &[((&str, &str), &[&str])] = &[
        (
            ("[\"labels\"]", "[\"label\"]"),
            &["`checkpoints.0` is \"label\"", "did you mean `labels`?", "`member-logits`"],
        ),
        (("[\"labels\"]", "\"labels\""), &["`checkpoints` is \"labels\"; it must be a list"]),
        (("bands = [1]", "bands = 1"), &["`input.bands` is 1; it must be a list of bands counted from 1"]),
        (("bands = [1]", "bands = [-1]"), &["`input.bands.0` is -1; it must be a whole number from 0"]),
        (("bands = [1]", "bands = [0]"), &["`input.bands` is [0]; it must be a list that counts bands from 1"]),
        (("bands = [1]", "bnads = [1]"), &["unknown key `input.bnads`; did you mean `bands`?"]),
        (("{ u8 = 255 }", "255"), &["`input.divide` is 255; it must be a table of pixel types"]),
        (("{ u8 = 255 }", "{ u9 = 255 }"), &["unknown key `input.divide.u9`; did you mean `u8`?"]),
        (("{ u8 = 255 }", "{ u8 = 0 }"), &["`input.divide` is { u8 = 0 }", "other than 0"]),
        (("{ u8 = 255 }", "{ u8 = \"255\" }"), &["`input.divide.u8` is \"255\"; it must be a number"]),
        (("mean = [0.5]", "mean = 0.5"), &["`input.mean` is 0.5; it must be a list of numbers"]),
        (("mean = [0.5]", "mean = [\"a\"]"), &["`input.mean.0` is \"a\"; it must be a number"]),
        (("mean = [0.5]", "mean = [nan]"), &["`input.mean` is [NaN]; it must be finite"]),
        (("std = [0.25]", "std = [0]"), &["`input.std` is [0.0]", "above 0"]),
        (("\"fixed\"", "\"fixde\""), &["`tiler.strategy` is \"fixde\"; did you mean `fixed`?", "`whole`, `adaptive`"]),
        (("\"fixed\"", "3"), &["`tiler.strategy` is 3; it must be one of `whole`, `adaptive`, `fixed`"]),
        (("\"max-last\"", "\"min\""), &["`tiler.rule` is \"min\"", "`max-last`"]),
        (("whole_max = 60", "whole_max = \"60\""), &["`tiler.whole_max` is \"60\"; it must be a whole number"]),
        (("whole_max = 60", "whole_max = 70000"), &["`tiler.whole_max` is 70000; it must be 0 to 65536 pixels"]),
        (("centres = [64, 48]", "centres = 64"), &["`tiler.centres` is 64; it must be a list of sizes"]),
        (("centre = 64", "centre = 0"), &["`tiler.centre` is 0; it must be 1 to 65536 pixels"]),
        (("centre = 64", "center = 64"), &["unknown key `tiler.center`; did you mean `centre`?"]),
        (("dilation = 16", "dilation = -16"), &["`tiler.dilation` is -16; it must be a whole number from 0"]),
        (("dilation = 16", "dilation = 1.5"), &["`tiler.dilation` is 1.5; it must be a whole number"]),
        (("\"reflect\"", "\"mirror\""), &["`tiler.border` is \"mirror\"", "`reflect`, `zero`"]),
        (("\"logits\"", "\"logit\""), &["`inference.combine` is \"logit\"; did you mean `logits`?"]),
        (("batch = 2", "batch = 0"), &["`inference.batch` is 0; it must be 1 or more"]),
        (("batch = 2", "batch = true"), &["`inference.batch` is true; it must be a whole number"]),
        (("\"256MiB\"", "\"lots\""), &["`inference.unit_max`: `lots` is not a size"]),
        (("\"256MiB\"", "256"), &["`inference.unit_max` is 256; it must be a size in quotes"]),
        (("fill_holes = 0", "fill_holes = 5000"), &["`post.fill_holes` is 5000; it must be 0 to 4096 pixels"]),
        (("mask_bits = 8", "mask_bits = 12"), &["`outputs.mask_bits`: masks have 8 or 16 bits, not 12"]),
        (("mask_bits = 8", "mask_bits = \"8\""), &["`outputs.mask_bits` is \"8\"; it must be 8 or 16"]),
        (("color = true", "color = \"yes\""), &["`outputs.color` is \"yes\"; it must be true or false"]),
        (("prefix = \"masks\"", "prefix = 1"), &["`package.prefix` is 1; it must be text in quotes"]),
        (("prefix = \"masks\"", "prefix = \"../../x\""), &["`package.prefix` is \"../../x\"", "inside the archive"]),
        (("manifest = false", "manifest = 0"), &["`package.manifest` is 0; it must be true or false"]),
    ];
    cases.iter().for_each(|(change, words)| refused(&work, *change, words));
}

#[test]
fn every_key_of_members_and_classes_too() {
    let work = prepared();
    let cases: &[((&str, &str), &[&str])] = &[
        (("\"first\"", "1"), &["`members.0.name` is 1; it must be text in quotes"]),
        (("\"second\"", "\"first\""), &["`members.1.name`: two members are called `first`"]),
        (("\"identity\"", "\"identty\""), &["`members.0.network` is \"identty\"; did you mean `identity`?"]),
        (("\"smp\"", "\"smb\""), &["`members.1.variant` is \"smb\"; did you mean `smp`?"]),
        (
            ("\"resnet34\"", "\"resnet43\""),
            &["`members.1.backbone` is \"resnet43\"; did you mean `resnet34`?", "`resnet50`"],
        ),
        (("\"resnet34\"", "34"), &["`members.1.backbone` is 34; it must be one of `resnet18`"]),
        (("backbone =", "backbon ="), &["unknown key `members.1.backbon`; did you mean `backbone`?"]),
        (("rates = [12, 24, 36]", "rates = [12, 24]"), &["`members.1.rates` is [12, 24]; it must be a list of three"]),
        (
            ("decoder_channels = 256", "decoder_channels = \"a\""),
            &["`members.1.decoder_channels`", "a whole number or a list"],
        ),
        (("output_stride = 16", "output_stride = 12"), &["`members.1.output_stride`: ", "`12`; it takes `16`, `8`"]),
        (("rates = [12, 24, 36]", "rates = [0, 24, 36]"), &["`members.1.rates`: ", "[0, 24, 36]; each is from 1"]),
        (("depth = 5", "depth = \"deep\""), &["`members.1.depth` is \"deep\"; it must be a whole number"]),
        (("trust = false", "trust = \"no\""), &["`members.1.trust` is \"no\"; it must be true or false"]),
        (("trust = false", "trust = true"), &["`members.1.trust`: ", "weights are data"]),
        (("seed = 1", "seed = -1"), &["`members.1.seed` is -1; it must be a whole number, 0 or more"]),
        (("weight = 1.0", "weight = -1.0"), &["`members.1.weight` is -1; it must be 0 or more"]),
        (("weight = 1.0", "weight = \"1\""), &["`members.1.weight` is \"1\"; it must be a number"]),
        (("\"auto\"", "\"f8\""), &["`members.1.precision` is \"f8\"", "`auto`, `f32`, `f16`, `bf16`"]),
        (("value = 9", "value = 70000"), &["`nodata.value` is 70000; it must be a whole number from 0 to 65535"]),
        (("\"#000000\"", "\"black\""), &["`nodata.color`: `black` is not a colour"]),
        (("id = 1", "id = 2"), &["`classes.1.id`: ", "ids count 0, 1, 2"]),
        (("id = 1", "id = 300"), &["`classes.1.id` is 300; it must be a whole number from 0 to 255"]),
        (("color = \"#2a6f00\"", "color = 7"), &["`classes.1.color` is 7; it must be a colour in quotes"]),
        (("color = \"#2a6f00\"", "colour = \"#2a6f00\""), &["unknown key `classes.1.colour`; did you mean `color`?"]),
    ];
    cases.iter().for_each(|(change, words)| refused(&work, *change, words));
    // Where the line is that of the table, for the key is not there, or of its first mention.
    let told = |(old, new): (&str, &str), words: &[&str]| {
        work.write("p.toml", FILE.replacen(old, new, 1));
        plan(&work, &[]).says(2, &[words, &["error: `p.toml`, line "]].concat());
    };
    told(("seed = 1\n", ""), &["`members.1`: it has neither `weights` (a file) nor `seed`"]);
    told(("name = \"water\"\n", ""), &["`classes.0` lacks the key `name`"]);
    told(("mean = [0.5]\nstd", "std"), &["`input` lacks the key `mean`"]);
    told(("value = 2", "value = 1"), &["`classes`: `water` and `forest` both have value 1"]);
    told(("input = { bands = [1], ", "input = { bands = [1, 2], "), &["`members.1.input`: it has 2 bands, 1 means"]);
}

#[test]
fn a_bracket_too_many_or_too_few_is_told_as_that() {
    let work = prepared();
    let told = |text: String, words: &[&str]| {
        work.write("p.toml", text);
        plan(&work, &[]).says(2, &[words, &["error: `p.toml`, line "]].concat());
    };
    let first_member = "[[members]]\nname = \"first\"\nnetwork = \"identity\"\n";
    let one_member = FILE.replacen(first_member, "", 1);
    told(one_member.replace("[[members]]", "[members]"), &["write [[members]] with two brackets"]);
    let classes = FILE.find("[[classes]]").unwrap();
    told(format!("{}[classes]\nid = 0\n", &FILE[..classes]), &["write [[classes]] with two brackets"]);
    told(FILE.replace("[input]", "[[input]]"), &["write [input] with one bracket"]);
    told(FILE.replace("[tiler]", "[[tiler]]"), &["write [tiler] with one bracket"]);
    told(FILE.replace("[tiler]", "[tyler]"), &["unknown key `tyler`; did you mean `tiler`?"]);
    told(FILE.replace("batch = 2", "batch = = 2"), &["line 21"]);
    work.write("p.toml", &FILE[..classes]);
    plan(&work, &[]).says(2, &["`p.toml`: there is no [[classes]]"]);
}

#[test]
fn a_setting_that_is_wrong_is_named_and_the_file_is_blamed_for_its_own_faults() {
    let work = prepared();
    for (setting, words) in [
        ("tiler.dilatoin=1", "unknown key `tiler.dilatoin`; did you mean `dilation`?"),
        ("tiler.centre=0", "`tiler.centre` is 0; it must be 1 to"),
        ("tiler.dilation=much", "`tiler.dilation` is \"much\"; it must be a whole number"),
        ("members.1.backbone=resnet43", "did you mean `resnet34`?"),
        ("members.7.weight=1", "there is no `members.7`; the list has 2"),
        ("members.first.weight=1", "`members` is a list of 2, and `first` is no position in it"),
        ("tiler.strategy.x=1", "`tiler.strategy` is a value and has nothing below it"),
        ("input.bands=[1,2]", "`input`: it has 2 bands, 1 means"),
        ("tiler", "write key=value"),
    ] {
        let ran = plan(&work, &["--set", "inference.batch=1", "--set", setting]);
        ran.says(2, &[&format!("error: --set {setting}: "), words]);
        assert!(!ran.stderr.contains("p.toml"), "{ran:?}");
    }
    work.write("p.toml", FILE.replace("centre = 64", "centre = 0"));
    plan(&work, &["--set", "tiler.dilation=3"]).says(2, &["`p.toml`, line 15: `tiler.centre` is 0"]);
    plan(&work, &["--set", "tiler.centre=32"]).expect(0);
}

#[test]
fn a_pipeline_behind_the_inputs_is_the_pipeline() {
    let work = prepared();
    let swath = |arguments: &[&str]| work.swath(&[arguments, &["--backend", "fake", "--devices", "cpu"]].concat());
    swath(&["run", "-i", "in", "p.toml", "-o", "out"]).says(0, &["1 done, 0 failed"]);
    work.swath(&["resume", "out"]).says(0, &["1 of 1 scene"]);
    swath(&["plan", "-i", "in/s0.tif", "p.toml"]).says(0, &["1 to segment"]);
    swath(&["plan", "-i", "in"]).says(2, &["no pipeline file is named", "swath run PIPELINE.toml -i"]);
    swath(&["plan", "-i", "p.toml"]).says(2, &["there is a pipeline file and no input"]);
    work.write("q.toml", FILE);
    swath(&["plan", "-i", "in", "p.toml", "q.toml"]).says(2, &["more than one TOML file"]);
}

#[test]
fn what_the_system_says_is_told_once() {
    let work = prepared();
    work.write("p.toml", FILE.replace("seed = 1\n", "weights = \"none.pth\"\n"));
    for ran in [
        plan(&work, &[]),
        work.swath(&["plan", "none.toml", "-i", "in"]),
        work.swath(&["plan", "p.toml", "-i", "none.txt"]),
        work.swath(&["eval", "none", "--truth", "none"]),
        work.swath(&["status", "none"]),
        work.swath(&["weights", "inspect", "none.pth"]),
    ] {
        assert!(ran.code != Some(0) && ran.stderr.contains("none"), "{ran:?}");
        assert!(ran.stderr.matches("os error 2").count() <= 1, "{ran:?}");
    }
}
