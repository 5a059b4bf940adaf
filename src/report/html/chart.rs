//! Curves over steps, as pictures.

use crate::report::training::Curve;

/// The picture, and where its plot lies in it.
const SIZE: [f64; 2] = [520.0, 230.0];
const LEFT: f64 = 54.0;
const RIGHT: f64 = 496.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 202.0;

/// Marks of an axis, about.
const MARKS: f64 = 5.0;

pub(super) struct Chart {
    pub(super) title: String,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) across: Vec<Mark>,
    pub(super) up: Vec<Mark>,
    pub(super) lines: Vec<Line>,
    pub(super) best: Option<f64>,
}

/// A mark of an axis.
#[derive(Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) at: f64,
    pub(super) label: String,
}

pub(super) struct Line {
    pub(super) name: String,
    pub(super) color: String,
    /// The means.
    pub(super) path: String,
    /// Where a mean is of several values: from the least to the greatest.
    pub(super) band: String,
}

/// A curve with its name and colour.
pub(super) type Named<'a> = (String, String, &'a Curve);

/// An axis: values from the first to the last lie on places from the first to the last.
struct Axis {
    values: [f64; 2],
    places: [f64; 2],
}

impl Chart {
    /// Curves up to a step, with a line at the best one. No chart where there is no curve.
    pub(super) fn draw(title: &str, curves: Vec<Named<'_>>, n_steps: u64, best: Option<u64>) -> Option<Self> {
        let means = || curves.iter().flat_map(|(.., curve)| curve.points().map(|point| point.mean));
        let (low, high) =
            means().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| (low.min(mean), high.max(mean)));
        if low > high {
            return None;
        }
        // A constant has a height, too.
        let margin = if low < high { (high - low) * 0.04 } else { low.abs().max(1e-9) * 0.1 };
        let x = Axis { values: [0.0, n_steps.max(1) as f64], places: [LEFT, RIGHT] };
        let y = Axis { values: [low - margin, high + margin], places: [BOTTOM, TOP] };
        let line = |(name, color, curve): Named<'_>| {
            let band =
                if curve.points().any(|point| point.low < point.high) { band(curve, &x, &y) } else { String::new() };
            Line {
                name,
                color,
                path: path(curve.points().map(|point| [x.place(point.step), y.place(point.mean)])),
                band,
            }
        };
        Some(Self {
            title: title.to_owned(),
            width: SIZE[0],
            height: SIZE[1],
            left: LEFT,
            right: RIGHT,
            top: TOP,
            bottom: BOTTOM,
            across: x.marks(),
            up: y.marks(),
            lines: curves.into_iter().map(line).collect(),
            best: best.map(|step| x.place(step as f64)),
        })
    }
}

fn path(places: impl Iterator<Item = [f64; 2]>) -> String {
    let mut places: Vec<String> = places.map(|[x, y]| format!("{x} {y}")).collect();
    if let [only] = &places[..] {
        // To itself: with round ends that is a dot.
        places.push(only.clone());
    }
    format!("M{}", places.join("L"))
}

fn band(curve: &Curve, x: &Axis, y: &Axis) -> String {
    let up = curve.points().map(|point| [x.place(point.step), y.place(point.high)]);
    let mut down: Vec<[f64; 2]> = curve.points().map(|point| [x.place(point.step), y.place(point.low)]).collect();
    down.reverse();
    path(up.chain(down)) + "Z"
}

impl Axis {
    /// To a tenth of a unit; what is beyond the axis lies at its end.
    fn place(&self, value: f64) -> f64 {
        let [[from, to], [first, last]] = [self.values, self.places];
        let share = ((value - from) / (to - from)).clamp(0.0, 1.0);
        ((first + share * (last - first)) * 10.0).round() / 10.0
    }

    /// Marks at round numbers.
    fn marks(&self) -> Vec<Mark> {
        let [from, to] = self.values;
        let rough = (to - from) / MARKS;
        let power = rough.log10().floor();
        let unit = 10.0_f64.powf(power);
        let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * unit).into_iter().find(|step| *step >= rough).unwrap_or(unit);
        let greatest = from.abs().max(to.abs());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few digits")]
        let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let label = |value: f64| match greatest {
            _ if value == 0.0 => "0".to_owned(),
            0.002..1e6 => format!("{value:.digits$}"),
            _ => format!("{value:.1e}"),
        };
        let first = (from / step).ceil();
        let values = (0_u32..20).map(|n| (first + f64::from(n)) * step).take_while(|value| *value <= to);
        values.map(|value| Mark { at: self.place(value), label: label(value) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_at_round_numbers() {
        let marks = |values| {
            let marks = Axis { values, places: [0.0, 100.0] }.marks();
            marks.into_iter().map(|mark| (mark.at, mark.label)).collect::<Vec<_>>()
        };
        let named =
            |marks: &[(f64, &str)]| marks.iter().map(|(at, label)| (*at, (*label).to_owned())).collect::<Vec<_>>();
        assert_eq!(
            marks([0.0, 1000.0]),
            named(&[(0.0, "0"), (20.0, "200"), (40.0, "400"), (60.0, "600"), (80.0, "800"), (100.0, "1000")])
        );
        assert_eq!(marks([0.5, 1.0])[1], (20.0, "0.6".to_owned()));
        assert_eq!(marks([0.44, 0.56])[0], (8.3, "0.45".to_owned()));
        assert_eq!(marks([0.0, 1e-3])[1], (20.0, "2.0e-4".to_owned()));
    }
}
