//! Palettes: true masks have them often, and pictures always.

use crate::config::classes::ClassTable;

/// Whether the indices of a file with this palette are no class values: it has the colours of the class table, and not at the values of the
/// classes.
pub(super) fn is_picture(palette: &[[u8; 3]], classes: &ClassTable) -> bool {
    let at_its_value = |value: u16, color: [u8; 3]| palette.get(usize::from(value)) == Some(&color);
    let is_mask = classes.classes().iter().all(|class| at_its_value(class.value, class.color.0));
    let has_colors = classes.classes().iter().all(|class| palette.contains(&class.color.0));
    // A table of one colour says nothing about a palette.
    let first = classes.classes().first().map(|class| class.color);
    let is_colored = classes.classes().iter().any(|class| Some(class.color) != first);
    is_colored && has_colors && !is_mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::classes::{Class, Color};

    #[test]
    fn a_palette_with_the_classes_colours_elsewhere_is_that_of_a_picture() {
        let class = |id: u8, value| Class { id, name: format!("c{id}"), value, color: Color([id, 0, 9]) };
        let classes = ClassTable::new(vec![class(0, 1), class(1, 2)], None).unwrap();
        let (a, b, other) = ([0, 0, 9], [1, 0, 9], [7, 7, 7]);
        assert!(is_picture(&[a, b], &classes));
        assert!(is_picture(&[b, a, other], &classes));
        assert!(!is_picture(&[other, a, b], &classes), "indices are values");
        assert!(!is_picture(&[other, a], &classes), "other colours");
        let grey = ClassTable::new(vec![Class { color: Color([0; 3]), ..class(0, 1) }], None).unwrap();
        assert!(!is_picture(&[[0; 3]], &grey));
    }
}
