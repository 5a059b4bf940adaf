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
    /// That of runs: the compressor made for PNG. Of its filters this one is the fastest at equal size: eight masks of houses and streets
    /// took 348 kB at 1160 Mpx/s per core, 354 kB at 770 with the filter chosen per row, 356 kB at 1550 and more with `up`; only labels that
    /// are sprinkled with noise are a tenth larger than with a choice (2026-11-27). Without a filter masks hardly compress.
    pub(crate) const USED: Self = Self::new("fdeflate, paeth", DeflateCompression::FdeflateUltraFast, Filter::Paeth);

    /// Those that are worth a comparison.
    pub(crate) const ALL: [Self; 10] = [
        Self::new("none", DeflateCompression::NoCompression, Filter::NoFilter),
        Self::new("fdeflate, sub", DeflateCompression::FdeflateUltraFast, Filter::Sub),
        Self::new("fdeflate, up", DeflateCompression::FdeflateUltraFast, Filter::Up),
        Self::USED,
        Self::new("fdeflate, adaptive", DeflateCompression::FdeflateUltraFast, Filter::Adaptive),
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
