//! "Did you mean": known names near one that is not.

use std::collections::BTreeSet;

use super::catalogue::{ARCHITECTURES, Architecture};
use super::presets::presets;

/// Names that are suggested.
const SUGGESTED: usize = 3;

/// Less alike than this is no suggestion.
const ALIKE: f64 = 0.85;

/// What to do about a name that no network has.
pub(super) fn advice(name: &str) -> String {
    let all = "`swath models list` shows their names";
    match suggestions(name).as_slice() {
        [] => all.to_owned(),
        [one] => format!("did you mean {one}? {all}"),
        [others @ .., last] => format!("did you mean {} or {last}? {all}", others.join(", ")),
    }
}

fn suggestions(name: &str) -> Vec<String> {
    let real = ARCHITECTURES.iter().filter(|a| a.is_known());
    let known: BTreeSet<String> =
        real.flat_map(names).chain(presets().into_iter().map(|p| p.name.to_owned())).collect();
    alike(name, &known, ALIKE).into_iter().take(SUGGESTED).map(|name| format!("`{name}`")).collect()
}

/// The names that are at least so much like `name`, the nearest first: 1 are equal ones, 0 such as have nothing in common.
pub(crate) fn alike<'a>(name: &str, known: impl IntoIterator<Item = &'a String>, least: f64) -> Vec<&'a String> {
    let wanted = plain(name);
    let known = known.into_iter().map(|name| (similarity(&wanted, &plain(name)), name));
    let mut alike: Vec<(f64, &String)> = known.filter(|(similarity, _)| *similarity >= least).collect();
    // The shorter of two that are equally alike: it leaves more to the defaults.
    alike.sort_by(|(a, name), (b, other)| b.total_cmp(a).then(name.len().cmp(&other.len())));
    alike.into_iter().map(|(_, name)| name).collect()
}

/// Every name that an architecture goes by.
fn names(a: &Architecture) -> Vec<String> {
    let (network, variant) = (a.network.to_string(), a.variant.to_string());
    let heads = [network.clone(), format!("{variant}/{network}")];
    let with = |head: &String| a.backbones.iter().map(move |b| format!("{head}/{b}")).collect::<Vec<_>>();
    heads.iter().flat_map(|head| [vec![head.clone()], with(head)].concat()).collect()
}

/// A name as people remember it: neither case nor kind of dash matters.
fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', ' ', '+'], "_")
}

/// A part of a name, such as that of a backbone, stands for it.
fn similarity(wanted: &str, name: &str) -> f64 {
    let is_part = name.split('/').any(|part| part == wanted);
    if is_part { 1.0 } else { strsim::jaro_winkler(wanted, name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        assert_eq!(suggestions("danett")[0], "`danet`");
        assert_eq!(suggestions("unet/resnet35")[0], "`unet/resnet34`");
        assert_eq!(suggestions("HRNet-OCR")[0], "`hrnet_ocr`");
        assert_eq!(suggestions("hrnet_w48")[0], "`hrnet/hrnet_w48`");
        assert!(suggestions("vgg").is_empty() && advice("vgg").starts_with("`swath models list`"));
        assert!(advice("danett").starts_with("did you mean `danet`"), "{}", advice("danett"));
    }
}
