//! What a pair holds, read once from top to bottom.

use super::Moments;
use super::Pair;
use super::mask::Unknown;
use super::reader::{Planes, Reader};
use crate::flow::Stop;
use crate::raster::{SceneHeader, Warned, with_held};

/// What a pair holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// What the image's header says.
    pub header: SceneHeader,
    /// Pixels by class id, those that take no part at [`super::IGNORED`].
    pub pixels: Vec<u64>,
    /// Of each band that the pipeline reads, over the pixels with data, in the unit that is normalised: value by divisor.
    pub bands: Vec<Moments>,
    /// What decoders warned of.
    pub warned: Warned,
}

impl Survey {
    /// Reads a pair; `None` when it is stopped.
    ///
    /// # Errors
    /// Why it is no use: a file that is not there or damaged, grids that differ, values that are no class, bands that are missing.
    pub fn of(reader: &mut Reader, pair: &Pair, stop: &Stop) -> Result<Option<Self>, String> {
        // Those of a pair before that was no use.
        drop(reader.take_warned());
        let opened = reader.open(pair)?;
        let mut bands = vec![Moments::default(); opened.bands.len()];
        let (mut pixels, mut unknown) = (vec![0; 256], Unknown::default());
        for strip in opened.strips() {
            if stop.is_cut() {
                return Ok(None);
            }
            let labels = reader.labels(&opened, strip, &mut unknown)?;
            labels.pixels.bytes().iter().for_each(|class| pixels[usize::from(*class)] += 1);
            let Planes { pixels: values, valid } = reader.pixels(&opened, strip)?;
            let is_valid = |at: usize| valid.as_ref().is_none_or(|valid| valid[at] != 0);
            with_held!(values.dtype(), T => for (plane, moments) in values.values::<T>().chunks_exact(strip.size.len()).zip(&mut bands) {
                let data = plane.iter().enumerate().filter(|(at, _)| is_valid(*at));
                moments.join(Moments::of(data.map(|(_, value)| f64::from(*value) / opened.divisor)));
            });
        }
        reader.refuse(&opened, &unknown)?;
        Ok(Some(Self { header: opened.header, pixels, bands, warned: reader.take_warned() }))
    }
}
