//! What in a plan can hardly be meant. It is told and not refused: a person may know better.

use std::collections::BTreeSet;

use super::{Plan, Scene};
use crate::config::InputSpec;
use crate::raster::{Mask, PixelType, Scale};
use crate::words::{count, listed};

/// Everything doubtful about a plan, a sentence each.
pub fn doubts(plan: &Plan) -> Vec<String> {
    let mut doubts = of_normalisation(plan);
    doubts.extend(of_nodata(plan));
    let unscaled = plan.scenes.iter().filter(|scene| scene.header.scale == Scale::Ignored).count() as u64;
    if unscaled > 0 {
        doubts.push(format!(
            "{} a scale or an offset for the stored values, which the networks see as they are stored; input.apply_scale = true applies it",
            if unscaled == 1 { "1 scene gives".to_owned() } else { format!("{unscaled} scenes give") }
        ));
    }
    doubts
}

/// Means and standard deviations that pixel values cannot have, by members that share an input and by pixel type.
fn of_normalisation(plan: &Plan) -> Vec<String> {
    let types: BTreeSet<PixelType> = plan.scenes.iter().map(|scene| scene.header.dtype).collect();
    let mut inputs: Vec<(&InputSpec, Vec<String>)> = Vec::new();
    for member in &plan.pipeline.members {
        match inputs.iter_mut().find(|(input, _)| **input == member.input) {
            Some((_, names)) => names.push(format!("`{}`", member.name)),
            None => inputs.push((&member.input, vec![format!("`{}`", member.name)])),
        }
    }
    let all = inputs.len() == 1;
    let doubt = |(input, names): &(&InputSpec, Vec<String>), dtype: PixelType| {
        let whose = if all { "input".to_owned() } else { format!("input of {}", listed(names, 5)) };
        let divide = *input.divide.get(&dtype)?;
        let trouble = Values { dtype, divide }.trouble(input)?;
        Some(format!("{whose}: {trouble}; the masks will mean nothing{}", remedy(input, dtype)))
    };
    inputs.iter().flat_map(|input| types.iter().filter_map(move |dtype| doubt(input, *dtype))).collect()
}

/// Divisors that people use, by pixel type.
fn usual(dtype: PixelType) -> &'static [f64] {
    match dtype {
        PixelType::U8 => &[1.0, 255.0],
        PixelType::U16 => &[1.0, 10_000.0, 65_535.0],
        PixelType::I16 => &[1.0, 10_000.0, 32_767.0],
        PixelType::I8 => &[1.0, 127.0],
        PixelType::U32 | PixelType::I32 | PixelType::U64 | PixelType::I64 => &[1.0, 10_000.0],
        PixelType::F32 | PixelType::F64 => &[],
    }
}

/// The divisors that would fit the means and standard deviations.
fn remedy(input: &InputSpec, dtype: PixelType) -> String {
    let fits = |divide: &&f64| Values { dtype, divide: **divide }.trouble(input).is_none();
    let fitting: Vec<String> =
        usual(dtype).iter().filter(fits).map(|divide| format!("divide = {{ {dtype} = {divide} }}")).collect();
    match fitting.as_slice() {
        [] => "; look at divide, mean and std".to_owned(),
        fitting => format!("; {} would fit", fitting.join(" or ")),
    }
}

/// A standard deviation so many times the whole range leaves nothing of it: 0 and 255 become numbers that differ by less than a tenth.
const FAR_TOO_WIDE: f64 = 10.0;

/// Pixel values of a type after the division. Of integers it is known what they can be; of 16 bits few scenes use all, so only what no
/// value at all can be counts.
#[derive(Clone, Copy)]
struct Values {
    dtype: PixelType,
    divide: f64,
}

impl Values {
    /// Least and greatest pixel value.
    fn range(self) -> Option<(f64, f64)> {
        (!self.dtype.is_float()).then(|| self.dtype.range())
    }

    /// The first mean or standard deviation that such values cannot have.
    fn trouble(self, input: &InputSpec) -> Option<String> {
        let (low, high) = self.range()?;
        let each = input.bands.iter().zip(&input.mean).zip(&input.std);
        each.into_iter().find_map(|((band, mean), std)| {
            // In units of pixel values, as they are stored.
            let (mean_px, std_px) = (mean * self.divide, std * self.divide.abs());
            let slack = 1e-6 * (high - low);
            if mean_px < low - slack || mean_px > high + slack {
                Some(format!("the mean {mean} of band {band} lies outside of what {self} can be"))
            } else if std_px > FAR_TOO_WIDE * (high - low) {
                Some(format!("the std {std} of band {band} leaves no difference between {self}"))
            } else if std_px < 0.99 {
                Some(format!("the std {std} of band {band} is less than a single step between {self}"))
            } else {
                None
            }
        })
    }
}

impl std::fmt::Display for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (low, high) = self.range().unwrap_or_default();
        let (a, b) = (low / self.divide, high / self.divide);
        write!(f, "{} values divided by {} ({} to {})", self.dtype, self.divide, a.min(b), a.max(b))
    }
}

/// Pixels that the files call nodata and the pipeline does not.
fn of_nodata(plan: &Plan) -> Vec<String> {
    if plan.pipeline.classes.nodata().is_some() {
        return Vec::new();
    }
    let without = "and the pipeline has no [nodata] class: these pixels enter the networks as data; add [nodata] with the value \
                   that masks are to hold there";
    let verb =
        |n: usize, one: &str, many: &str| format!("{} {}", count(n as u64, "scene"), if n == 1 { one } else { many });
    let declared: Vec<String> =
        plan.scenes.iter().filter_map(|scene| declared_nodata(scene, &plan.bands_of(scene))).collect();
    let masked = plan.scenes.iter().filter(|scene| scene.header.mask == Mask::Dataset).count();
    let mut doubts = Vec::new();
    if let Some(first) = declared.first() {
        let others = if declared.iter().all(|value| value == first) { "" } else { " and others" };
        doubts.push(format!("{} nodata ({first}{others}) {without}", verb(declared.len(), "declares", "declare")));
    }
    if masked > 0 {
        doubts.push(format!("{} a mask or an alpha band {without}", verb(masked, "has", "have")));
    }
    doubts
}

/// The nodata value that a scene declares for every band that is read, as people write it; several where bands differ.
pub fn declared_nodata(scene: &Scene, bands: &[u32]) -> Option<String> {
    let of_band = |band: &u32| scene.header.nodata.get((*band as usize).checked_sub(1)?).copied().flatten();
    let values: Vec<String> =
        bands.iter().map(|band| of_band(band).map(|v| number(v, scene.header.dtype))).collect::<Option<_>>()?;
    let first = values.first()?;
    Some(if values.iter().all(|value| value == first) { first.clone() } else { values.join(", ") })
}

/// A value of a pixel type, with an exponent where it is large: -9999, -3.4028235e38.
fn number(value: f64, dtype: PixelType) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "the tag is text, and an f32's own digits are the shortest")]
    let text = if dtype == PixelType::F32 { format!("{:?}", value as f32) } else { format!("{value:?}") };
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Band;

    fn trouble(dtype: PixelType, divide: f64, mean: f64, std: f64) -> Option<String> {
        let input = InputSpec {
            bands: vec![Band::Number(1)],
            divide: [(dtype, divide)].into(),
            mean: vec![mean],
            std: vec![std],
        };
        Values { dtype, divide }.trouble(&input).map(|text| format!("{text}{}", remedy(&input, dtype)))
    }

    #[test]
    fn what_values_of_a_type_cannot_have_is_told_with_the_divisor_that_would_fit() {
        let text = trouble(PixelType::U8, 255.0, 138.0, 58.0).unwrap();
        assert_eq!(
            text,
            "the mean 138 of band 1 lies outside of what u8 values divided by 255 (0 to 1) can be; divide = { u8 = 1 } would fit"
        );
        let text = trouble(PixelType::U8, 1.0, 0.485, 0.229).unwrap();
        assert!(
            text.contains("less than a single step") && text.ends_with("divide = { u8 = 255 } would fit"),
            "{text}"
        );
        let text = trouble(PixelType::U8, 255.0, 0.5, 3000.0).unwrap();
        assert!(text.contains("leaves no difference") && text.ends_with("look at divide, mean and std"), "{text}");
        let text = trouble(PixelType::U16, 1.0, 0.1, 0.05).unwrap();
        assert!(text.ends_with("divide = { u16 = 10000 } or divide = { u16 = 65535 } would fit"), "{text}");
        assert!(trouble(PixelType::I16, 10_000.0, 500.0, 100.0).is_some());
    }

    #[test]
    fn what_can_be_is_left_alone() {
        for (dtype, divide, mean, std) in [
            (PixelType::U8, 255.0, 0.485, 0.229),
            (PixelType::U8, 255.0, 0.5, 0.5),
            (PixelType::U8, 255.0, 0.0, 1.0),
            (PixelType::U8, 1.0, 0.0, 1.0),
            (PixelType::U8, 1.0, 0.0, 255.0),
            (PixelType::U8, 127.5, 1.0, 1.0),
            (PixelType::U8, -255.0, -1.0, 1.0),
            (PixelType::U16, 10_000.0, 0.12, 0.05),
            (PixelType::U16, 255.0, 0.485, 0.229),
            (PixelType::U16, 1.0, 1200.0, 300.0),
            (PixelType::I16, 1.0, -20.0, 5.0),
            (PixelType::F32, 1.0, 138.0, 1e-9),
        ] {
            assert_eq!(trouble(dtype, divide, mean, std), None, "{dtype} / {divide}, {mean}, {std}");
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(-9999.0, PixelType::I16), "-9999");
        assert_eq!(number(f64::from(f32::MIN), PixelType::F32), "-3.4028235e38");
        assert_eq!(number(0.1, PixelType::F32), "0.1");
    }
}
