//! How large the networks are: counted and measured, for planning and for `swath models list`.
//!
//! `cargo run --release --example bench_networks` prints the rows.

use super::NetworkSpec;
use super::names::Backbone::{self, *};
use super::names::Network::{self, *};
use super::names::Variant::{self, *};
use crate::geom::Size;

/// MiB that a forward pass takes whatever the image: libtorch's code becoming resident, scratch memory, freed blocks that the allocator
/// keeps.
const FIXED_MIB: u64 = 192;

/// One network at its default options, with 3 bands and 15 classes: network, variant, backbone, output stride, parameters, further ones per
/// band and per class, millions of multiply-accumulate operations at 512 x 512 and at 1024 x 1024, bytes of activations per pixel.
type Row = (Network, Variant, Option<Backbone>, u32, u64, u64, u64, u64, u64, u64);

impl NetworkSpec {
    /// The row of this network, options aside.
    fn row(&self) -> Option<&'static Row> {
        let is_this =
            |r: &&Row| (r.0, r.1, r.2, r.3) == (self.network, self.variant, self.backbone, self.output_stride);
        ROWS.iter().find(is_this)
    }

    /// Number of trained values; running statistics are not among them. That of the default options where others are chosen.
    pub fn parameters(&self) -> u64 {
        let Some(row) = self.row() else { return 0 };
        let (per_band, per_class) = (row.5, row.6);
        (row.4 + u64::from(self.bands) * per_band + u64::from(self.classes) * per_class)
            .saturating_sub(3 * per_band + 15 * per_class)
    }

    /// Multiply-accumulate operations on images of 512 x 512 and 1024 x 1024 pixels, with 15 classes.
    pub fn macs(&self) -> [u64; 2] {
        self.row().map_or([0; 2], |row| [row.7 * 1_000_000, row.8 * 1_000_000])
    }

    /// Rough peak, in bytes, of what an f32 forward pass on the CPU holds beside weights and input.
    ///
    /// `batch` images of `size` network pixels. For planning: it errs on the high side, most for batches of small images. Measured as the
    /// growth of the resident set's high-water mark over a forward pass of 512 x 512 pixels, of which the largest fixed part is not
    /// taken off.
    pub fn activation_bytes(&self, batch: u32, size: Size) -> u64 {
        let Some(row) = self.row() else { return u64::from(batch) * size.area() * u64::from(self.classes) * 4 };
        // What grows with the classes are the logits.
        let more_classes = u64::from(self.classes.saturating_sub(15)) * 4 / u64::from(self.logit_stride()).pow(2);
        (FIXED_MIB << 20) + u64::from(batch) * size.area() * (row.9 + more_classes)
    }
}

/// libtorch 2.11.0, glibc, one thread, 2026-11-25.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    (DeepLabV3Plus, Smp, Some(ResNet18), 16, 12332895, 3136, 257, 0, 0, 603),
    (DeepLabV3Plus, Smp, Some(ResNet34), 16, 22441055, 3136, 257, 0, 0, 490),
];
