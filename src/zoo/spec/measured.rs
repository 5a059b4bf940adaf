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
    (Backbone, Naic, Some(Xception), 16, 37867312, 288, 0, 46023, 184093, 525),
    (Backbone, Naic, Some(Xception), 8, 37867312, 288, 0, 158714, 634857, 840),
    (BasNet, Naic, None, 32, 87334648, 576, 19592, 515373, 2061493, 2777),
    (DaNet, Naic, Some(ResNeSt101), 8, 72208089, 576, 513, 295964, 1299810, 1002),
    (DaNet, Naic, Some(ResNeSt50), 8, 51416313, 288, 513, 212557, 966185, 938),
    (DaNet, Naic, Some(ResNeXt101), 8, 112724409, 3136, 513, 471584, 2002302, 1037),
    (DaNet, Naic, Some(ResNeXt50), 8, 48961977, 3136, 513, 207536, 946109, 883),
    (DaNet, Naic, Some(ResNet101), 8, 68482233, 3136, 513, 287069, 1264239, 909),
    (DaNet, Naic, Some(ResNet152), 8, 84125881, 3136, 513, 350956, 1519789, 925),
    (DaNet, Naic, Some(ResNet50), 8, 49490105, 3136, 513, 209491, 953927, 916),
    (DeepLabV3Plus, Naic, Some(ResNeSt101), 16, 65117623, 576, 257, 99300, 397188, 537),
    (DeepLabV3Plus, Naic, Some(ResNeSt101), 8, 65117623, 576, 257, 269018, 1076061, 1050),
    (DeepLabV3Plus, Naic, Some(ResNeSt50), 16, 44325847, 288, 257, 74076, 296296, 502),
    (DeepLabV3Plus, Naic, Some(ResNeSt50), 8, 44325847, 288, 257, 185611, 742436, 1080),
    (DeepLabV3Plus, Naic, Some(ResNet101), 16, 59342767, 3136, 257, 88593, 354369, 481),
    (DeepLabV3Plus, Naic, Some(ResNet101), 8, 59342767, 3136, 257, 260123, 1040490, 866),
    (DeepLabV3Plus, Naic, Some(ResNet152), 16, 74986415, 3136, 257, 107987, 431947, 470),
    (DeepLabV3Plus, Naic, Some(ResNet152), 8, 74986415, 3136, 257, 324011, 1296040, 722),
    (DeepLabV3Plus, Naic, Some(ResNet50), 16, 40350639, 3136, 257, 69198, 276791, 578),
    (DeepLabV3Plus, Naic, Some(ResNet50), 8, 40350639, 3136, 257, 182545, 730179, 878),
    (HrnetOcr, Naic, Some(HrNetW18), 32, 12077682, 576, 784, 52881, 211510, 1131),
    (HrnetOcr, Naic, Some(HrNetW32), 32, 32949918, 576, 994, 95450, 381785, 1143),
    (HrnetOcr, Naic, Some(HrNetW48), 32, 70367742, 576, 1234, 161840, 647343, 1284),
    (PspNet, Naic, Some(ResNet101), 32, 56408926, 3136, 770, 47427, 189627, 429),
    (PspNet, Naic, Some(ResNet152), 32, 72052574, 3136, 770, 66821, 267205, 461),
    (PspNet, Naic, Some(ResNet50), 32, 37416798, 3136, 770, 28032, 112050, 444),
    (RefineNet, Naic, Some(ResNet101), 32, 118038607, 3136, 2305, 262672, 1050690, 822),
    (RefineNet, Naic, Some(ResNet152), 32, 133682255, 3136, 2305, 282067, 1128268, 1014),
    (RefineNet, Naic, Some(ResNet50), 32, 99046479, 3136, 2305, 243278, 973112, 790),
    (RendDaNet, Naic, Some(ResNet101), 8, 68752072, 3136, 1026, 287898, 1265620, 884),
    (RendDaNet, Naic, Some(ResNet152), 8, 84395720, 3136, 1026, 351785, 1521171, 965),
    (RendDaNet, Naic, Some(ResNet50), 8, 49759944, 3136, 1026, 210320, 955309, 965),
    (RendUnet, Naic, Some(ResNet101), 8, 45860699, 3712, 4614, 188077, 750990, 1250),
    (RendUnet, Naic, Some(ResNet152), 8, 61504347, 3712, 4614, 251965, 1006540, 1266),
    (RendUnet, Naic, Some(ResNet50), 8, 26868571, 3712, 4614, 110499, 440678, 1182),
    (ScseUnet, Naic, None, 32, 33104923, 3136, 65, 30028, 120112, 369),
    (Unet, Naic, None, 16, 34527951, 576, 65, 261624, 1046496, 2385),
    (Unet, Smp, Some(ResNeSt101), 32, 55259551, 576, 145, 76181, 304711, 1186),
    (Unet, Smp, Some(ResNeSt200), 32, 77186079, 576, 145, 113830, 455305, 866),
    (Unet, Smp, Some(ResNeSt269), 32, 117914015, 576, 145, 140073, 560267, 802),
    (Unet, Smp, Some(ResNeSt50), 32, 34449343, 288, 145, 49748, 198988, 815),
    (Unet, Smp, Some(ResNeXt101), 32, 95757439, 3136, 145, 107450, 429799, 652),
    (Unet, Smp, Some(ResNeXt50), 32, 31995007, 3136, 145, 43797, 175188, 605),
    (Unet, Smp, Some(ResNet101), 32, 51515263, 3136, 145, 62453, 249813, 644),
    (Unet, Smp, Some(ResNet152), 32, 67158911, 3136, 145, 81848, 327391, 710),
    (Unet, Smp, Some(ResNet18), 32, 14330239, 3136, 145, 22121, 88483, 466),
    (Unet, Smp, Some(ResNet34), 32, 24438399, 3136, 145, 31784, 127138, 546),
    (Unet, Smp, Some(ResNet50), 32, 32523135, 3136, 145, 43059, 172235, 645),
    (UnetPP, Naic, None, 16, 36630543, 576, 65, 551534, 2206137, 5937),
    (UnetPP, Smp, Some(ResNeXt101), 32, 112222079, 3136, 145, 294683, 1178734, 1947),
    (UnetPP, Smp, Some(ResNeXt50), 32, 48459647, 3136, 145, 231031, 924123, 2006),
    (UnetPP, Smp, Some(ResNet101), 32, 67979903, 3136, 145, 249687, 998748, 2198),
    (UnetPP, Smp, Some(ResNet152), 32, 83623551, 3136, 145, 269081, 1076326, 1958),
    (UnetPP, Smp, Some(ResNet18), 32, 15972479, 3136, 145, 64399, 257597, 1764),
    (UnetPP, Smp, Some(ResNet34), 32, 26080639, 3136, 145, 74063, 296252, 1678),
    (UnetPP, Smp, Some(ResNet50), 32, 48987775, 3136, 145, 230292, 921170, 1898),
];
