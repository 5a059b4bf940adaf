//! Turns maps.

use tch::{TchError, Tensor};

use crate::geom::View;

/// `[tiles, channels, rows, columns]` turned; the same as [`View::turn`].
///
/// # Errors
/// When libtorch refuses, for want of memory for instance.
pub fn turn(view: View, maps: &Tensor) -> Result<Tensor, TchError> {
    let (rows, columns) = (2, 3);
    let turned = match view {
        View::Identity => return Ok(maps.shallow_clone()),
        View::Hflip => maps.f_flip([columns])?,
        View::Vflip => maps.f_flip([rows])?,
        View::Rot90 => maps.f_rot90(1, [rows, columns])?,
        View::Rot180 => maps.f_rot90(2, [rows, columns])?,
        View::Rot270 => maps.f_rot90(3, [rows, columns])?,
    };
    turned.f_contiguous()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Size;

    #[test]
    fn tensors_are_turned_as_slices_are() {
        let (size, values) = (Size::new(4, 3), (0..24).collect::<Vec<i32>>());
        let maps = Tensor::from_slice(&values).view([1, 2, 3, 4]);
        for view in [View::Identity, View::Hflip, View::Vflip, View::Rot90, View::Rot180, View::Rot270] {
            let turned = turn(view, &maps).unwrap();
            let sides = view.of_size(size);
            assert_eq!(turned.size(), [1, 2, i64::from(sides.height), i64::from(sides.width)]);
            assert_eq!(Vec::<i32>::try_from(turned.flatten(0, -1)).unwrap(), view.turn(&values, size), "{view:?}");
        }
    }
}
