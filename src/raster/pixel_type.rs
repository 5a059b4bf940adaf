//! The types of pixels: one table, and the ways to be generic over it.

use serde::{Deserialize, Serialize};

/// The table: a name, the Rust type of the same name, and how values are held once they are read. Those that are not held as they are
/// stored are converted while they are read, so that whatever works on pixels knows four types.
macro_rules! pixel_types {
    ($($(#[$doc:meta])* $name:ident: $stored:ident in $held:ident,)*) => {
        /// Type of a pixel value in its file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum PixelType {
            $($(#[$doc])* $name,)*
        }

        impl PixelType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// How values are held in memory.
            pub const fn held(self) -> Held {
                match self {
                    $(Self::$name => Held::$held,)*
                }
            }

            /// Its name in pipeline files and reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($stored),)*
                }
            }

            /// Bytes of a value in its file.
            pub const fn stored_bytes(self) -> usize {
                match self {
                    $(Self::$name => size_of::<$stored>(),)*
                }
            }

            /// Least and greatest value.
            pub const fn range(self) -> (f64, f64) {
                match self {
                    $(Self::$name => (<$stored>::MIN as f64, <$stored>::MAX as f64),)*
                }
            }
        }
    };
}

pixel_types! {
    /// Unsigned, 8 bits.
    U8: u8 in U8,
    /// Unsigned, 16 bits.
    U16: u16 in U16,
    /// Signed, 16 bits.
    I16: i16 in I16,
    /// IEEE 754, 32 bits.
    F32: f32 in F32,
    /// Signed, 8 bits.
    I8: i8 in I16,
    /// Unsigned, 32 bits.
    U32: u32 in F32,
    /// Signed, 32 bits.
    I32: i32 in F32,
    /// Unsigned, 64 bits.
    U64: u64 in F32,
    /// Signed, 64 bits.
    I64: i64 in F32,
    /// IEEE 754, 64 bits.
    F64: f64 in F32,
}

/// How pixel values are held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// As u8.
    U8,
    /// As u16.
    U16,
    /// As i16.
    I16,
    /// As f32.
    F32,
}

/// Evaluates an expression in which a name stands for the Rust type that the values of a pixel type are held in.
macro_rules! with_held {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype.held() {
            $crate::raster::Held::U8 => {
                type $T = u8;
                $body
            }
            $crate::raster::Held::U16 => {
                type $T = u16;
                $body
            }
            $crate::raster::Held::I16 => {
                type $T = i16;
                $body
            }
            $crate::raster::Held::F32 => {
                type $T = f32;
                $body
            }
        }
    };
}
pub(crate) use with_held;

/// A value that is a whole number of 16 bits: a class, or an index into a palette.
pub(crate) fn whole(value: f64) -> Option<u16> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "compared with what it came from")]
    let integer = value as u16;
    (f64::from(integer) == value).then_some(integer)
}

impl PixelType {
    /// Bytes of a value in memory.
    pub const fn bytes(self) -> usize {
        match self.held() {
            Held::U8 => 1,
            Held::U16 | Held::I16 => 2,
            Held::F32 => 4,
        }
    }

    /// Whether values are real numbers in the file, so that they may be no numbers at all.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

impl std::fmt::Display for PixelType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
