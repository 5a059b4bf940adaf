//! The symmetries of a grid of pixels: what may be turned before a network sees it, and turned back after.

use serde::{Deserialize, Serialize};

use super::Size;

/// A way to turn a map; rotations are counter-clockwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// As it is.
    Identity,
    /// Left and right exchanged.
    Hflip,
    /// Top and bottom exchanged.
    Vflip,
    /// By 90 degrees.
    Rot90,
    /// By 180 degrees.
    Rot180,
    /// By 270 degrees.
    Rot270,
}

impl View {
    /// Its name in pipeline files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Hflip => "hflip",
            Self::Vflip => "vflip",
            Self::Rot90 => "rot90",
            Self::Rot180 => "rot180",
            Self::Rot270 => "rot270",
        }
    }

    /// The one that turns back.
    pub const fn inverse(self) -> Self {
        match self {
            Self::Identity | Self::Hflip | Self::Vflip | Self::Rot180 => self,
            Self::Rot90 => Self::Rot270,
            Self::Rot270 => Self::Rot90,
        }
    }

    /// The size of a turned map.
    pub const fn of_size(self, size: Size) -> Size {
        match self {
            Self::Identity | Self::Hflip | Self::Vflip | Self::Rot180 => size,
            Self::Rot90 | Self::Rot270 => Size::new(size.height, size.width),
        }
    }

    /// Turns planes of `size`, one behind the other, each row by row.
    pub fn turn<T: Copy>(self, planes: &[T], size: Size) -> Vec<T> {
        let (width, height) = (size.width as usize, size.height as usize);
        let turned = self.of_size(size);
        let mut out = Vec::with_capacity(planes.len());
        for plane in planes.chunks_exact(size.len().max(1)) {
            for y in 0..turned.height as usize {
                let row = (0..turned.width as usize).map(|x| match self {
                    Self::Identity => (x, y),
                    Self::Hflip => (width - 1 - x, y),
                    Self::Vflip => (x, height - 1 - y),
                    Self::Rot90 => (width - 1 - y, x),
                    Self::Rot180 => (width - 1 - x, height - 1 - y),
                    Self::Rot270 => (y, height - 1 - x),
                });
                out.extend(row.map(|(x, y)| plane[y * width + x]));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [View; 6] = [View::Identity, View::Hflip, View::Vflip, View::Rot90, View::Rot180, View::Rot270];

    #[test]
    fn a_map_is_turned_as_named_and_back() {
        let (size, map) = (Size::new(3, 2), [1, 2, 3, 4, 5, 6]);
        let turned = ALL.map(|view| view.turn(&map, size));
        assert_eq!(
            turned,
            [
                [1, 2, 3, 4, 5, 6],
                [3, 2, 1, 6, 5, 4],
                [4, 5, 6, 1, 2, 3],
                // As numpy.rot90: 3 6, 2 5, 1 4.
                [3, 6, 2, 5, 1, 4],
                [6, 5, 4, 3, 2, 1],
                [4, 1, 5, 2, 6, 3],
            ]
        );
        let two: Vec<i32> = (0..12).collect();
        for view in ALL {
            assert_eq!(view.inverse().turn(&view.turn(&two, size), view.of_size(size)), two, "{view:?}");
        }
    }
}
