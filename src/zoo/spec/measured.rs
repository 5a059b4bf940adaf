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

/// A network with a head of so many channels.
type NarrowRow = (u32, Row);

impl NetworkSpec {
    /// The row of this network, options aside but for a head's channels where they have been counted.
    fn row(&self) -> Option<&'static Row> {
        let is_this =
            |r: &&Row| (r.0, r.1, r.2, r.3) == (self.network, self.variant, self.backbone, self.output_stride);
        let narrow = NARROW.iter().filter(|(channels, _)| self.decoder_channels == [*channels]).map(|(_, row)| row);
        narrow.chain(ROWS).find(is_this)
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

    /// Multiply-accumulate operations on an image of this size, with 15 classes; none where nobody has counted them.
    ///
    /// A convolution's grow with the area, those of attention between all positions with its square: the two counts tell how many are which.
    pub fn macs_at(&self, size: Size) -> Option<f64> {
        let [small, large] = self.macs().map(|macs| macs as f64);
        let quadratic = (large - 4.0 * small) / 12.0;
        let area = size.area() as f64 / (512.0 * 512.0);
        (small > 0.0).then_some((small - quadratic) * area + quadratic * area * area)
    }

    /// Rough peak, in bytes, of what an f32 forward pass on the CPU holds beside weights and input.
    ///
    /// `batch` images of `size` network pixels. For planning: it errs on the high side, most for batches of small images. Measured as the
    /// growth of the resident set's high-water mark over a forward pass of 512 x 512 pixels, of which the largest fixed part is not
    /// taken off.
    pub fn activation_bytes(&self, batch: u32, size: Size) -> u64 {
        if let Some(script) = self.script {
            return (FIXED_MIB << 20) + u64::from(batch) * size.area() * u64::from(script.bytes_per_pixel);
        }
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
    (Backbone, Official, Some(ResNeSt101), 16, 46256751, 576, 2049, 62528, 250102, 605),
    (Backbone, Official, Some(ResNeSt101), 32, 46256751, 576, 2049, 53267, 213057, 538),
    (Backbone, Official, Some(ResNeSt101), 8, 46256751, 576, 2049, 186143, 744560, 1196),
    (Backbone, Official, Some(ResNeSt200), 16, 68183279, 576, 2049, 100178, 400696, 541),
    (Backbone, Official, Some(ResNeSt200), 32, 68183279, 576, 2049, 90917, 363652, 541),
    (Backbone, Official, Some(ResNeSt200), 8, 68183279, 576, 2049, 268286, 1073126, 925),
    (Backbone, Official, Some(ResNeSt269), 16, 108911215, 576, 2049, 143534, 574108, 608),
    (Backbone, Official, Some(ResNeSt269), 32, 108911215, 576, 2049, 117160, 468613, 541),
    (Backbone, Official, Some(ResNeSt269), 8, 108911215, 576, 2049, 421163, 1684626, 1276),
    (Backbone, Official, Some(ResNeSt50), 16, 25464975, 288, 2049, 37304, 149210, 461),
    (Backbone, Official, Some(ResNeSt50), 32, 25464975, 288, 2049, 28043, 112166, 460),
    (Backbone, Official, Some(ResNeSt50), 8, 25464975, 288, 2049, 102735, 410935, 892),
    (Backbone, Timm, Some(HrNetW18), 16, 19280739, 576, 2049, 22369, 89474, 402),
    (Backbone, Timm, Some(HrNetW18), 32, 19280739, 576, 2049, 22369, 89474, 402),
    (Backbone, Timm, Some(HrNetW18), 8, 19280739, 576, 2049, 22369, 89474, 402),
    (Backbone, Timm, Some(HrNetW18Small), 16, 11169199, 576, 2049, 8356, 33425, 275),
    (Backbone, Timm, Some(HrNetW18Small), 32, 11169199, 576, 2049, 8356, 33425, 275),
    (Backbone, Timm, Some(HrNetW18Small), 8, 11169199, 576, 2049, 8356, 33425, 275),
    (Backbone, Timm, Some(HrNetW32), 16, 39214415, 576, 2049, 46598, 186391, 402),
    (Backbone, Timm, Some(HrNetW32), 32, 39214415, 576, 2049, 46598, 186391, 401),
    (Backbone, Timm, Some(HrNetW32), 8, 39214415, 576, 2049, 46598, 186391, 402),
    (Backbone, Timm, Some(HrNetW48), 16, 75451599, 576, 2049, 90258, 361032, 401),
    (Backbone, Timm, Some(HrNetW48), 32, 75451599, 576, 2049, 90258, 361032, 402),
    (Backbone, Timm, Some(HrNetW48), 8, 75451599, 576, 2049, 90258, 361032, 402),
    (Backbone, Timm, Some(ResNeSt101), 16, 46256751, 576, 2049, 62528, 250102, 605),
    (Backbone, Timm, Some(ResNeSt101), 32, 46256751, 576, 2049, 53267, 213057, 538),
    (Backbone, Timm, Some(ResNeSt101), 8, 46256751, 576, 2049, 186143, 744560, 1231),
    (Backbone, Timm, Some(ResNeSt14), 16, 8593423, 288, 2049, 16767, 67067, 478),
    (Backbone, Timm, Some(ResNeSt14), 32, 8593423, 288, 2049, 14351, 57404, 444),
    (Backbone, Timm, Some(ResNeSt14), 8, 8593423, 288, 2049, 37705, 150819, 994),
    (Backbone, Timm, Some(ResNeSt200), 16, 68183279, 576, 2049, 100178, 400696, 526),
    (Backbone, Timm, Some(ResNeSt200), 32, 68183279, 576, 2049, 90917, 363652, 540),
    (Backbone, Timm, Some(ResNeSt200), 8, 68183279, 576, 2049, 268286, 1073126, 1087),
    (Backbone, Timm, Some(ResNeSt26), 16, 15051183, 288, 2049, 24754, 99012, 461),
    (Backbone, Timm, Some(ResNeSt26), 32, 15051183, 288, 2049, 18915, 75658, 459),
    (Backbone, Timm, Some(ResNeSt26), 8, 15051183, 288, 2049, 62804, 251215, 975),
    (Backbone, Timm, Some(ResNeSt269), 16, 108911215, 576, 2049, 143534, 574108, 525),
    (Backbone, Timm, Some(ResNeSt269), 32, 108911215, 576, 2049, 117160, 468613, 541),
    (Backbone, Timm, Some(ResNeSt269), 8, 108911215, 576, 2049, 421163, 1684626, 1087),
    (Backbone, Timm, Some(ResNeSt50), 16, 25464975, 288, 2049, 37304, 149210, 459),
    (Backbone, Timm, Some(ResNeSt50), 32, 25464975, 288, 2049, 28043, 112166, 461),
    (Backbone, Timm, Some(ResNeSt50), 8, 25464975, 288, 2049, 102735, 410935, 991),
    (Backbone, Timm, Some(Xception41), 16, 24951295, 288, 2049, 32837, 131350, 653),
    (Backbone, Timm, Some(Xception41), 32, 24951295, 288, 2049, 25988, 103954, 653),
    (Backbone, Timm, Some(Xception41), 8, 24951295, 288, 2049, 105971, 423882, 1160),
    (Backbone, Timm, Some(Xception65), 16, 37898047, 288, 2049, 46023, 184093, 590),
    (Backbone, Timm, Some(Xception65), 32, 37898047, 288, 2049, 39174, 156697, 590),
    (Backbone, Timm, Some(Xception65), 8, 37898047, 288, 2049, 158714, 634857, 1147),
    (Backbone, Torchvision, Some(ResNeXt101), 16, 86773071, 3136, 2049, 106179, 424715, 653),
    (Backbone, Torchvision, Some(ResNeXt101), 32, 86773071, 3136, 2049, 85744, 342977, 652),
    (Backbone, Torchvision, Some(ResNeXt101), 8, 86773071, 3136, 2049, 361763, 1447052, 1039),
    (Backbone, Torchvision, Some(ResNeXt50), 16, 23010639, 3136, 2049, 32435, 129738, 479),
    (Backbone, Torchvision, Some(ResNeXt50), 32, 23010639, 3136, 2049, 22091, 88366, 463),
    (Backbone, Torchvision, Some(ResNeXt50), 8, 23010639, 3136, 2049, 97715, 390859, 911),
    (Backbone, Torchvision, Some(ResNet101), 16, 42530895, 3136, 2049, 51821, 207283, 511),
    (Backbone, Torchvision, Some(ResNet101), 32, 42530895, 3136, 2049, 40748, 162991, 447),
    (Backbone, Torchvision, Some(ResNet101), 8, 42530895, 3136, 2049, 177247, 708988, 963),
    (Backbone, Torchvision, Some(ResNet152), 16, 58174543, 3136, 2049, 71215, 284860, 479),
    (Backbone, Torchvision, Some(ResNet152), 32, 58174543, 3136, 2049, 60142, 240569, 431),
    (Backbone, Torchvision, Some(ResNet152), 8, 58174543, 3136, 2049, 241135, 964539, 991),
    (Backbone, Torchvision, Some(ResNet18), 16, 11184207, 3136, 513, 15917, 63670, 222),
    (Backbone, Torchvision, Some(ResNet18), 32, 11184207, 3136, 513, 9475, 37900, 191),
    (Backbone, Torchvision, Some(ResNet18), 8, 11184207, 3136, 513, 48130, 192519, 399),
    (Backbone, Torchvision, Some(ResNet34), 16, 21292367, 3136, 513, 29205, 116820, 230),
    (Backbone, Torchvision, Some(ResNet34), 32, 21292367, 3136, 513, 19139, 76554, 203),
    (Backbone, Torchvision, Some(ResNet34), 8, 21292367, 3136, 513, 90408, 361633, 367),
    (Backbone, Torchvision, Some(ResNet50), 16, 23538767, 3136, 2049, 32426, 129705, 510),
    (Backbone, Torchvision, Some(ResNet50), 32, 23538767, 3136, 2049, 21353, 85413, 463),
    (Backbone, Torchvision, Some(ResNet50), 8, 23538767, 3136, 2049, 99669, 398677, 910),
    (BasNet, Naic, None, 32, 87334648, 576, 19592, 515373, 2061493, 2777),
    (BasNet, Official, None, 32, 87334648, 576, 19592, 515373, 2061493, 2776),
    (DaNet, Naic, Some(ResNeSt101), 8, 72208089, 576, 513, 295964, 1299810, 1002),
    (DaNet, Naic, Some(ResNeSt50), 8, 51416313, 288, 513, 212557, 966185, 938),
    (DaNet, Naic, Some(ResNeXt101), 8, 112724409, 3136, 513, 471584, 2002302, 1037),
    (DaNet, Naic, Some(ResNeXt50), 8, 48961977, 3136, 513, 207536, 946109, 883),
    (DaNet, Naic, Some(ResNet101), 8, 68482233, 3136, 513, 287069, 1264239, 909),
    (DaNet, Naic, Some(ResNet152), 8, 84125881, 3136, 513, 350956, 1519789, 925),
    (DaNet, Naic, Some(ResNet50), 8, 49490105, 3136, 513, 209491, 953927, 916),
    (DaNet, Official, Some(ResNet101), 8, 66448623, 3136, 1539, 287132, 1264490, 930),
    (DaNet, Official, Some(ResNet152), 8, 82092271, 3136, 1539, 351019, 1520041, 862),
    (DaNet, Official, Some(ResNet18), 8, 12678543, 3136, 387, 56827, 256299, 665),
    (DaNet, Official, Some(ResNet18W32), 8, 3176159, 1568, 195, 14971, 74379, 664),
    (DaNet, Official, Some(ResNet34), 8, 22786703, 3136, 387, 99106, 425414, 576),
    (DaNet, Official, Some(ResNet50), 8, 47456495, 3136, 1539, 209554, 954179, 1140),
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
    (DeepLabV3Plus, Smp, Some(ResNeSt14), 16, 11735839, 288, 257, 20961, 83841, 619),
    (DeepLabV3Plus, Smp, Some(ResNeSt14), 8, 11735839, 288, 257, 49726, 198902, 1160),
    (DeepLabV3Plus, Smp, Some(ResNeSt14W32), 16, 3977295, 144, 257, 7197, 28786, 392),
    (DeepLabV3Plus, Smp, Some(ResNeSt14W32), 8, 3977295, 144, 257, 16952, 67809, 576),
    (DeepLabV3Plus, Smp, Some(ResNeSt26), 16, 18193599, 288, 257, 28948, 115785, 519),
    (DeepLabV3Plus, Smp, Some(ResNeSt26), 8, 18193599, 288, 257, 74826, 299298, 1132),
    (DeepLabV3Plus, Smp, Some(ResNeXt101), 16, 89915487, 3136, 257, 110373, 441489, 589),
    (DeepLabV3Plus, Smp, Some(ResNeXt101), 8, 89915487, 3136, 257, 373784, 1495135, 911),
    (DeepLabV3Plus, Smp, Some(ResNeXt50), 16, 26153055, 3136, 257, 36628, 146512, 544),
    (DeepLabV3Plus, Smp, Some(ResNeXt50), 8, 26153055, 3136, 257, 109736, 438942, 1083),
    (DeepLabV3Plus, Smp, Some(ResNet101), 16, 45673311, 3136, 257, 56014, 224056, 470),
    (DeepLabV3Plus, Smp, Some(ResNet101), 8, 45673311, 3136, 257, 189268, 757071, 894),
    (DeepLabV3Plus, Smp, Some(ResNet152), 16, 61316959, 3136, 257, 75409, 301634, 479),
    (DeepLabV3Plus, Smp, Some(ResNet152), 8, 61316959, 3136, 257, 253156, 1012622, 894),
    (DeepLabV3Plus, Smp, Some(ResNet18), 16, 12332895, 3136, 257, 18307, 73226, 447),
    (DeepLabV3Plus, Smp, Some(ResNet18), 8, 12332895, 3136, 257, 53387, 213548, 561),
    (DeepLabV3Plus, Smp, Some(ResNet18W32), 16, 3619135, 1568, 257, 6222, 24888, 293),
    (DeepLabV3Plus, Smp, Some(ResNet18W32), 8, 3619135, 1568, 257, 16317, 65267, 443),
    (DeepLabV3Plus, Smp, Some(ResNet34), 16, 22441055, 3136, 257, 31594, 126377, 371),
    (DeepLabV3Plus, Smp, Some(ResNet34), 8, 22441055, 3136, 257, 95666, 382662, 477),
    (DeepLabV3Plus, Smp, Some(ResNet50), 16, 26681183, 3136, 257, 36620, 146478, 510),
    (DeepLabV3Plus, Smp, Some(ResNet50), 8, 26681183, 3136, 257, 111690, 446760, 883),
    (HrNet, Official, Some(HrNetW18), 32, 9640035, 576, 271, 18407, 73630, 402),
    (HrNet, Official, Some(HrNetW18Small), 32, 1539855, 576, 241, 4158, 16633, 213),
    (HrNet, Official, Some(HrNetW32), 32, 29544591, 576, 481, 45122, 180487, 433),
    (HrNet, Official, Some(HrNetW48), 32, 65856495, 576, 721, 93392, 373568, 592),
    (HrnetOcr, Naic, Some(HrNetW18), 32, 12077682, 576, 784, 53133, 212516, 1131),
    (HrnetOcr, Naic, Some(HrNetW18Small), 32, 3839262, 576, 754, 36619, 146460, 928),
    (HrnetOcr, Naic, Some(HrNetW32), 32, 32949918, 576, 994, 95702, 382791, 1143),
    (HrnetOcr, Naic, Some(HrNetW48), 32, 70367742, 576, 1234, 162092, 648349, 1284),
    (HrnetOcr, Official, Some(HrNetW18), 32, 12077682, 576, 784, 53133, 212516, 1132),
    (HrnetOcr, Official, Some(HrNetW18Small), 32, 3839262, 576, 754, 36619, 146460, 980),
    (HrnetOcr, Official, Some(HrNetW32), 32, 32949918, 576, 994, 95702, 382791, 1144),
    (HrnetOcr, Official, Some(HrNetW48), 32, 70367742, 576, 1234, 162092, 648349, 1285),
    (PspNet, Naic, Some(ResNet101), 32, 56408926, 3136, 770, 47427, 189627, 429),
    (PspNet, Naic, Some(ResNet152), 32, 72052574, 3136, 770, 66821, 267205, 461),
    (PspNet, Naic, Some(ResNet50), 32, 37416798, 3136, 770, 28032, 112050, 444),
    (PspNet, Smp, Some(ResNeSt101), 32, 47083503, 576, 4609, 20801, 83193, 633),
    (PspNet, Smp, Some(ResNeSt14), 32, 9420175, 288, 4609, 9269, 37064, 288),
    (PspNet, Smp, Some(ResNeSt200), 32, 69010031, 576, 4609, 43618, 174462, 505),
    (PspNet, Smp, Some(ResNeSt26), 32, 15877935, 288, 4609, 11550, 46191, 319),
    (PspNet, Smp, Some(ResNeSt269), 32, 109737967, 576, 4609, 50464, 201842, 505),
    (PspNet, Smp, Some(ResNeSt50), 32, 26291727, 288, 4609, 14973, 59881, 457),
    (PspNet, Smp, Some(ResNeXt101), 32, 87599823, 3136, 4609, 21270, 85072, 715),
    (PspNet, Smp, Some(ResNeXt50), 32, 23837391, 3136, 4609, 12035, 48129, 472),
    (PspNet, Smp, Some(ResNet101), 32, 43357647, 3136, 4609, 11909, 47625, 428),
    (PspNet, Smp, Some(ResNet152), 32, 59001295, 3136, 4609, 16472, 65879, 398),
    (PspNet, Smp, Some(ResNet18), 32, 11394351, 3136, 4609, 6000, 24000, 196),
    (PspNet, Smp, Some(ResNet34), 32, 21502511, 3136, 4609, 9624, 38496, 204),
    (PspNet, Smp, Some(ResNet50), 32, 24365519, 3136, 4609, 11909, 47625, 429),
    (RefineNet, Naic, Some(ResNet101), 32, 118038607, 3136, 2305, 262672, 1050690, 822),
    (RefineNet, Naic, Some(ResNet152), 32, 133682255, 3136, 2305, 282067, 1128268, 1014),
    (RefineNet, Naic, Some(ResNet50), 32, 99046479, 3136, 2305, 243278, 973112, 790),
    (RefineNet, Official, Some(ResNet101), 32, 118038607, 3136, 2305, 262672, 1050690, 822),
    (RefineNet, Official, Some(ResNet152), 32, 133682255, 3136, 2305, 282067, 1128268, 1014),
    (RefineNet, Official, Some(ResNet50), 32, 99046479, 3136, 2305, 243278, 973112, 790),
    (RefineNetLw, Official, Some(ResNet101), 32, 46335823, 3136, 2305, 51145, 204581, 980),
    (RefineNetLw, Official, Some(ResNet152), 32, 61979471, 3136, 2305, 70540, 282159, 692),
    (RefineNetLw, Official, Some(ResNet50), 32, 27343695, 3136, 2305, 31751, 127004, 913),
    (RendDaNet, Naic, Some(ResNet101), 8, 68752072, 3136, 1026, 287898, 1265620, 884),
    (RendDaNet, Naic, Some(ResNet152), 8, 84395720, 3136, 1026, 351785, 1521171, 965),
    (RendDaNet, Naic, Some(ResNet50), 8, 49759944, 3136, 1026, 210320, 955309, 965),
    (RendUnet, Naic, Some(ResNet101), 8, 45860699, 3712, 4614, 188077, 750990, 1250),
    (RendUnet, Naic, Some(ResNet152), 8, 61504347, 3712, 4614, 251965, 1006540, 1266),
    (RendUnet, Naic, Some(ResNet50), 8, 26868571, 3712, 4614, 110499, 440678, 1182),
    (ScseUnet, Naic, None, 32, 33104923, 3136, 65, 30028, 120112, 369),
    (Unet, Naic, None, 16, 34527951, 576, 65, 261624, 1046496, 2385),
    (Unet, Smp, Some(ResNeSt101), 32, 55259551, 576, 145, 76181, 304711, 1186),
    (Unet, Smp, Some(ResNeSt14), 32, 17577791, 288, 145, 36057, 144226, 607),
    (Unet, Smp, Some(ResNeSt200), 32, 77186079, 576, 145, 113830, 455305, 866),
    (Unet, Smp, Some(ResNeSt26), 32, 24035551, 288, 145, 40621, 162480, 590),
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
    (UnetPP, Smp, Some(ResNeSt101), 32, 73217951, 576, 145, 361259, 1445025, 2724),
    (UnetPP, Smp, Some(ResNeSt14), 32, 34042431, 288, 145, 223291, 893161, 1712),
    (UnetPP, Smp, Some(ResNeSt200), 32, 95144479, 576, 145, 398909, 1595619, 2792),
    (UnetPP, Smp, Some(ResNeSt26), 32, 40500191, 288, 145, 227855, 911415, 1745),
    (UnetPP, Smp, Some(ResNeSt269), 32, 135872415, 576, 145, 425152, 1700581, 2760),
    (UnetPP, Smp, Some(ResNeSt50), 32, 50913983, 288, 145, 236982, 947923, 2020),
    (UnetPP, Smp, Some(ResNeXt101), 32, 112222079, 3136, 145, 294683, 1178734, 1947),
    (UnetPP, Smp, Some(ResNeXt50), 32, 48459647, 3136, 145, 231031, 924123, 2007),
    (UnetPP, Smp, Some(ResNet101), 32, 67979903, 3136, 145, 249687, 998748, 2199),
    (UnetPP, Smp, Some(ResNet152), 32, 83623551, 3136, 145, 269081, 1076326, 1958),
    (UnetPP, Smp, Some(ResNet18), 32, 15972479, 3136, 145, 64399, 257597, 1764),
    (UnetPP, Smp, Some(ResNet34), 32, 26080639, 3136, 145, 74063, 296252, 1679),
    (UnetPP, Smp, Some(ResNet50), 32, 48987775, 3136, 145, 230292, 921170, 1898),
];

/// Of presets whose heads are narrower than the definition's; by the same program.
#[rustfmt::skip]
const NARROW: &[NarrowRow] = &[
    (128, (DeepLabV3Plus, Smp, Some(ResNet18W32), 16, 3098815, 1568, 129, 4828, 19313, 173)),
    (64, (DeepLabV3Plus, Smp, Some(ResNeSt14W32), 16, 2545551, 144, 65, 4779, 19115, 255)),
    (64, (HrnetOcr, Official, Some(HrNetW18Small), 32, 1698270, 576, 306, 6688, 26753, 214)),
];

#[cfg(test)]
mod tests {
    use crate::geom::Size;
    use crate::zoo::spec::SpecTable;

    /// Counted operation by operation over the reference models in PyTorch: multiply-accumulates at 1280 x 1280, and at 512 x 1024.
    #[test]
    fn macs_follow_the_size_also_where_attention_makes_them_grow_with_its_square() {
        for (name, square, wide) in [
            ("naic2020/deeplab-resnet101", 553.7, 177.2),
            ("naic2020/danet-resnet101", 2111.3, 593.5),
            ("naic2020/deeplab-resnest101", 1681.3, 538.0),
            ("naic2020/hrnet-ocr-w48", 1013.0, 324.2),
        ] {
            let spec = SpecTable::named(name).unwrap().resolve(3, Some(15)).unwrap();
            for (size, counted) in [(Size::new(1280, 1280), square), (Size::new(512, 1024), wide)] {
                let macs = spec.macs_at(size).unwrap() / 1e9;
                assert!((macs / counted - 1.0).abs() < 2e-3, "{name} {size}: {macs} against {counted}");
            }
        }
    }
}
