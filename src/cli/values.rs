//! How the values of arguments are written.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use crate::app::Hardware;
use crate::config::{Precision, Span};
use crate::geom::Size;
use crate::plan::DeviceId;

/// One of the words of a table.
pub(super) fn one_of<T: Copy + Send + Sync + 'static, const N: usize>(
    named: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    let find = move |word: String| named.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    PossibleValuesParser::new(named.map(|(name, _)| name)).try_map(move |word| find(word).ok_or("it is none of them"))
}

/// A span of time up to a day, and at least so long.
pub(super) fn up_to_a_day(least: Duration) -> impl Fn(&str) -> Result<Span, String> + Clone {
    let most = Duration::from_secs(86_400);
    move |text| match text.parse()? {
        Span(time) if (least..=most).contains(&time) => Ok(Span(time)),
        _ => Err(format!("it must be {} to {}", Span(least), Span(most))),
    }
}

/// A span of time with its unit: whoever writes 12 may mean hours.
pub(super) fn deadline(text: &str) -> Result<Span, String> {
    match text.trim().parse::<u64>() {
        Ok(number) => Err(format!("`{text}` has no unit; write e.g. {number}h, {number}m or {number}s")),
        Err(_) => text.parse().and_then(|span: Span| match span.0 {
            Duration::ZERO => Err("it must be more than nothing".to_owned()),
            _ => Ok(span),
        }),
    }
}

/// `WIDTHxHEIGHT`.
pub(super) fn size(text: &str) -> Result<Size, String> {
    let side = |text: &str| text.parse().ok().filter(|side| (16..=1_000_000).contains(side));
    let sides = text.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
    let (width, height) = sides.ok_or("it is WIDTHxHEIGHT in pixels, 16 to 1000000 each, e.g. 4096x4096")?;
    Ok(Size::new(width, height))
}

/// `XMIN,YMIN,XMAX,YMAX`.
pub(super) fn bounds(text: &str) -> Result<[f64; 4], String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let numbers = numbers.filter(|numbers| numbers.iter().all(|number| number.is_finite()));
    let [x0, y0, x1, y1] = numbers.and_then(|numbers| numbers.try_into().ok()).ok_or("it is XMIN,YMIN,XMAX,YMAX")?;
    if x0 < x1 && y0 < y1 {
        return Ok([x0, y0, x1, y1]);
    }
    Err("the least x and y come first, then the greatest: XMIN,YMIN,XMAX,YMAX".into())
}

/// Devices: those of this machine, or others by what they are sold as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeviceArg {
    Here(DeviceId),
    Elsewhere(Hardware),
}

impl std::str::FromStr for DeviceArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count =
            |(n, name): (&str, &str)| Some((n.parse().ok().filter(|n| (1..=1024).contains(n))?, name.to_owned()));
        match text.split_once('x').and_then(count).filter(|(_, name)| !name.is_empty()) {
            Some((n, name)) => Ok(Self::Elsewhere(Hardware { n, name })),
            None => text.parse().map(Self::Here).map_err(|e| format!("{e}, or 4xH100 for four that are elsewhere")),
        }
    }
}

/// A shard: by its index, or the one that a batch engine started this process for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShardArg {
    Auto,
    Index(u32),
}

impl std::str::FromStr for ShardArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let index = |text: &str| text.parse().ok().map(Self::Index);
        let found = if text == "auto" { Some(Self::Auto) } else { index(text) };
        found.ok_or_else(|| "it is a shard's index, counted from 0, or auto for that of the batch engine".to_owned())
    }
}

/// A number of times, at least one.
pub(super) fn repeats(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=100_000).contains(n)).ok_or_else(|| "it is a number from 1 to 100000".to_owned())
}

/// The arithmetic by the word that pipelines have for it. What `auto` comes to is for runs to say.
pub(super) fn precision(text: &str) -> Result<Precision, String> {
    let word: StrDeserializer<'_, ValueError> = text.into_deserializer();
    let named = Precision::deserialize(word).map_err(|e| e.to_string())?;
    if named == Precision::Auto { Err("name the arithmetic itself, e.g. f32".to_owned()) } else { Ok(named) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_sides_and_precisions_are_those_of_pipelines() {
        assert_eq!(size("300x200").unwrap(), Size::new(300, 200));
        assert!(["", "300", "x200", "300x", "8x200", "300x200x1"].iter().all(|text| size(text).is_err()));
        assert_eq!(precision("bf16").unwrap(), Precision::BF16);
        assert!(precision("auto").unwrap_err().contains("f32") && precision("f8").unwrap_err().contains("`f16`"));
        assert_eq!(bounds("-10.5,20, 3e2,40"), Ok([-10.5, 20.0, 300.0, 40.0]));
        assert!(["1,2,3", "1,2,3,4,5", "1,2,3,x", "1,2,3,inf", ""].iter().all(|text| bounds(text).is_err()));
        assert!(bounds("3,2,1,4").unwrap_err().contains("least"));
        assert!(repeats("0").is_err() && repeats("12") == Ok(12));
    }

    #[test]
    fn a_shard_has_an_index_or_its_engine_does() {
        assert_eq!(
            ["auto", "0", "17"].map(|text| text.parse::<ShardArg>().unwrap()),
            [ShardArg::Auto, ShardArg::Index(0), ShardArg::Index(17)]
        );
        assert!(["-1", "Auto", "1/4", ""].iter().all(|text| text.parse::<ShardArg>().is_err()));
    }

    #[test]
    fn devices_are_here_or_so_many_of_a_name() {
        let elsewhere = |n, name: &str| Ok(DeviceArg::Elsewhere(Hardware { n, name: name.into() }));
        assert_eq!("4x2080Ti".parse(), elsewhere(4, "2080Ti"));
        assert_eq!("8xH100 80GB".parse(), elsewhere(8, "H100 80GB"));
        assert_eq!("cuda:3".parse(), Ok(DeviceArg::Here(DeviceId::Cuda(3))));
        for wrong in ["4x", "0xH100", "xH100", "H100", "4"] {
            assert!(wrong.parse::<DeviceArg>().unwrap_err().contains("4xH100"), "{wrong}");
        }
    }
}
