//! How hard PNG files are compressed.

use std::io::Write;

use png::{DeflateCompression, Encoder, Filter};

/// A compressor, and the filter that rows go through before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PngSetting {
    /// What it is called where settings are compared.
    pub(crate) name: &'static str,
    compression: DeflateCompression,
    filter: Filter,
}

impl PngSetting {
    /// That of runs: the compressor made for PNG with the filter chosen per row. Without a filter masks hardly compress.
    pub(crate) const USED: Self =
        Self::new("fdeflate, adaptive", DeflateCompression::FdeflateUltraFast, Filter::Adaptive);

    /// Those that are worth a comparison.
    pub(crate) const ALL: [Self; 10] = [
        Self::new("none", DeflateCompression::NoCompression, Filter::NoFilter),
        Self::new("fdeflate, sub", DeflateCompression::FdeflateUltraFast, Filter::Sub),
        Self::new("fdeflate, up", DeflateCompression::FdeflateUltraFast, Filter::Up),
        Self::new("fdeflate, paeth", DeflateCompression::FdeflateUltraFast, Filter::Paeth),
        Self::USED,
        Self::new("level 1, unfiltered", DeflateCompression::Level(1), Filter::NoFilter),
        Self::new("level 1, up", DeflateCompression::Level(1), Filter::Up),
        Self::new("level 1, adaptive", DeflateCompression::Level(1), Filter::Adaptive),
        Self::new("level 6, adaptive", DeflateCompression::Level(6), Filter::Adaptive),
        Self::new("level 9, adaptive", DeflateCompression::Level(9), Filter::Adaptive),
    ];

    const fn new(name: &'static str, compression: DeflateCompression, filter: Filter) -> Self {
        Self { name, compression, filter }
    }

    pub(super) fn apply<W: Write>(self, encoder: &mut Encoder<'_, W>) {
        encoder.set_deflate_compression(self.compression);
        encoder.set_filter(self.filter);
    }
}
