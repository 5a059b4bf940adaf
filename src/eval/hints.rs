//! What is likely to be amiss with a comparison that can be made: values that are no classes, pictures in place of masks.

use super::scores::{Matrix, Scores};
use super::text::percentage;
use super::{Evaluation, Palettes};
use crate::config::classes::ClassTable;

/// Values by which truth often marks pixels that nobody has labelled.
const UNLABELLED: [u16; 2] = [u8::MAX as u16, u16::MAX];

/// Where palettes are compared and this is not reached, indices are probably no values.
const HARDLY_ANY: f64 = 0.05;

/// Adds the hints, and the values that have no entry in the class table.
pub(super) fn add(evaluation: &mut Evaluation, classes: Option<&ClassTable>) {
    let matrix = &evaluation.scores.matrix;
    if let Some(classes) = classes {
        evaluation.unknown = matrix.values.iter().copied().filter(|value| !classes.holds(*value)).collect();
    }
    let mut hints = truth_hint(&evaluation.scores, classes);
    hints.extend(masks_hint(matrix, classes));
    hints.extend(nodata_hint(&evaluation.nodata, classes));
    hints.extend(palette_hint(evaluation.palettes, evaluation.scores.miou));
    evaluation.hints = hints;
}

/// Values of the truth that no mask can be expected to hold.
fn truth_hint(scores: &Scores, classes: Option<&ClassTable>) -> Vec<String> {
    let matrix = &scores.matrix;
    let is_odd = |i: &usize| {
        let value = matrix.values[*i];
        let odd = match classes {
            Some(classes) => classes.classes().iter().all(|class| class.value != value),
            None => UNLABELLED.contains(&value) && matrix.in_masks(*i) == 0,
        };
        odd && matrix.in_truth(*i) > 0
    };
    let odd: Vec<usize> = (0..matrix.values.len()).filter(is_odd).collect();
    let why = |value: u16| match classes {
        Some(classes) if classes.holds(value) => "nodata in the class table",
        Some(_) => "not in the class table",
        None => "in no mask; often the mark of unlabelled pixels",
    };
    let line = |&i: &usize| {
        let (value, share) = (matrix.values[i], share(matrix.in_truth(i), scores.counted));
        format!("value {value}: {}; {share} of the ground truth, and scored as a class", why(value))
    };
    let mut lines: Vec<String> = odd.iter().map(line).collect();
    if let Some(last) = lines.last_mut() {
        let list = odd.iter().map(|i| matrix.values[*i].to_string()).collect::<Vec<_>>().join(",");
        let miou = without(matrix, &odd)
            .map_or_else(|| "no scores are left".to_owned(), |miou| format!("mIoU {}", percentage(miou)));
        let verb = if odd.len() == 1 { "leaves it out" } else { "leaves them out" };
        last.push_str(&format!("; --ignore {list} {verb}: {miou}"));
    }
    lines
}

/// The mean IoU when pixels with these truths are left out.
fn without(matrix: &Matrix, left_out: &[usize]) -> Option<f64> {
    let values: Vec<u16> = left_out.iter().map(|i| matrix.values[*i]).collect();
    let mut counts = matrix.counts.clone();
    left_out.iter().for_each(|i| counts[*i].fill(0));
    Scores::of(matrix.values.clone(), counts, 0, 0, &values).miou
}

/// Values that only masks of another pipeline hold.
fn masks_hint(matrix: &Matrix, classes: Option<&ClassTable>) -> Option<String> {
    let classes = classes?;
    let is_odd = |i: &usize| matrix.in_masks(*i) > 0 && !classes.holds(matrix.values[*i]);
    let odd: Vec<usize> = (0..matrix.values.len()).filter(is_odd).collect();
    let list = odd.iter().map(|i| matrix.values[*i].to_string()).collect::<Vec<_>>().join(", ");
    let (all, of_odd): (u64, u64) =
        (matrix.counts.iter().flatten().sum(), odd.iter().map(|i| matrix.in_masks(*i)).sum());
    (!odd.is_empty()).then(|| {
        let (subject, verb) = if odd.len() == 1 { ("value", "is") } else { ("values", "are") };
        let share = share(of_odd, all);
        format!("{subject} {list} of the masks {verb} not in the class table: {share} of the pixels; are they of this pipeline?")
    })
}

/// Classes that the truth's files leave out.
fn nodata_hint(nodata: &[u16], classes: Option<&ClassTable>) -> Vec<String> {
    let class = |value: u16| classes?.classes().iter().find(|class| class.value == value);
    let line = |class: &crate::config::classes::Class| {
        format!(
            "value {}: the class `{}`, and left out because the truth declares it as nodata",
            class.value, class.name
        )
    };
    nodata.iter().filter_map(|value| class(*value).map(line)).collect()
}

/// Indices that hardly ever agree with the other side.
fn palette_hint(palettes: Palettes, miou: Option<f64>) -> Option<String> {
    let side = match palettes {
        Palettes { masks: 0, truth: 0 } => return None,
        Palettes { masks: 0, .. } => "true masks",
        Palettes { truth: 0, .. } => "masks",
        Palettes { .. } => "masks and the true masks",
    };
    (miou? < HARDLY_ANY).then(|| {
        format!(
            "the {side} are PNGs with a palette, whose indices were compared, and hardly any agree: are they pictures? `swath run` writes \
             class values to the folder `masks`, and pictures to `color`"
        )
    })
}

#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
fn share(part: u64, whole: u64) -> String {
    percentage(part as f64 / whole.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::classes::{Class, Color, Nodata};
    use crate::eval::Confusion;

    fn hints(truth: &[u16], mask: &[u16], classes: Option<&ClassTable>) -> Evaluation {
        let mut counts = Confusion::new();
        counts.add(truth, mask, &[]).unwrap();
        let mut evaluation = Evaluation { scores: counts.scores(), ..Evaluation::default() };
        add(&mut evaluation, classes);
        evaluation
    }

    fn table(nodata: Option<u16>) -> ClassTable {
        let class = |id: u8, value| Class { id, name: format!("c{id}"), value, color: Color([id; 3]) };
        let nodata = nodata.map(|value| Nodata { value, color: Color([0; 3]) });
        ClassTable::new(vec![class(0, 1), class(1, 2)], nodata).unwrap()
    }

    #[test]
    fn an_unlabelled_value_is_told_with_the_score_that_leaves_it_out() {
        let found = hints(&[1, 1, 2, 255], &[1, 1, 2, 2], None);
        let wanted = "value 255: in no mask; often the mark of unlabelled pixels; 25.00% of the ground truth, and scored as a class; \
                      --ignore 255 leaves it out: mIoU 100.00%";
        assert_eq!(found.hints, [wanted]);
        assert!(hints(&[1, 255], &[1, 255], None).hints.is_empty(), "a class like others");
        assert!(hints(&[1, 9], &[1, 1], None).hints.is_empty(), "nobody knows the classes");
    }

    #[test]
    fn with_a_class_table_every_other_value_is_told() {
        let found = hints(&[1, 2, 7, 255], &[1, 13, 1, 1], Some(&table(None)));
        assert_eq!(found.unknown, [7, 13, 255]);
        assert!(found.hints[0].starts_with("value 7: not in the class table; 25.00% of the ground truth"), "{found:?}");
        assert!(found.hints[1].contains("; --ignore 7,255 leaves them out: mIoU 33.33%"), "{found:?}");
        assert!(found.hints[2].starts_with("value 13 of the masks is not in the class table: 25.00%"), "{found:?}");
        let found = hints(&[1, 0], &[1, 0], Some(&table(Some(0))));
        assert!(found.hints[0].starts_with("value 0: nodata in the class table"), "{found:?}");
        assert!(found.unknown.is_empty());
    }

    #[test]
    fn palettes_are_suspected_where_hardly_any_pixel_agrees() {
        let of = |masks, truth, miou| palette_hint(Palettes { masks, truth }, Some(miou));
        assert!(of(3, 0, 0.01).unwrap().starts_with("the masks are PNGs"));
        assert!(of(0, 3, 0.01).unwrap().starts_with("the true masks are PNGs"));
        assert!(of(3, 3, 0.5).is_none() && of(0, 0, 0.0).is_none());
    }
}
