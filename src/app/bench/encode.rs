//! `swath bench encode`: masks as PNG, by the encoder's settings.

use std::time::{Duration, Instant};

use super::{interruptible, random, report, spread};
use crate::app::Error;
use crate::flow::Stop;
use crate::geom::Size;
use crate::outputs::{PngSetting, encode_labels};
use crate::report::{BenchReport, EncodeFigures, EncodeRow};
use crate::synth::draw;

/// What `swath bench encode` is asked.
#[derive(Clone, Copy, Debug)]
pub struct EncodeRequest {
    /// Side of the square masks in pixels.
    pub side: u32,
    /// Times that each is encoded.
    pub repeats: usize,
}

/// One pixel in so many of the noisy mask has another label: what networks leave at borders.
const SPECKLE: u64 = 40;

/// Encodes each mask with each setting.
///
/// # Errors
/// When a mask cannot be encoded, or somebody stops it.
pub fn encode(request: &EncodeRequest) -> Result<BenchReport<EncodeFigures>, Error> {
    let EncodeRequest { side, repeats } = *request;
    let rows = interruptible(|stop| rows(Size::new(side, side), repeats, stop))?;
    Ok(report("encode", EncodeFigures { side, repeats, rows }))
}

fn rows(size: Size, repeats: usize, stop: &Stop) -> Result<Vec<EncodeRow>, Error> {
    let land = draw(7, "mask", size).truth;
    let speckled = land.iter().zip(random(1));
    #[expect(clippy::cast_possible_truncation, reason = "it is below 15")]
    let speckled = speckled.map(|(label, n)| if n % SPECKLE == 0 { (n >> 32) as u8 % 15 } else { *label }).collect();
    let masks = [("land", land), ("speckled", speckled), ("one class", vec![3; size.len()])];
    let mut rows = Vec::new();
    for (mask, labels) in &masks {
        for setting in PngSetting::ALL {
            let (mut times, mut bytes): (Vec<Duration>, u64) = Default::default();
            for _ in (0..repeats).take_while(|_| !stop.is_cut()) {
                let began = Instant::now();
                bytes = encode_labels(labels, size, setting)?.len() as u64;
                times.push(began.elapsed());
            }
            let least = spread(&mut times).map_or(0.0, |(_, least)| least.as_secs_f64());
            let mpx_per_second = size.area() as f64 / 1e6 / least;
            let used = setting.name == PngSetting::USED.name;
            rows.push(EncodeRow { mask, setting: setting.name, used, mpx_per_second, bytes });
        }
    }
    Ok(rows)
}
