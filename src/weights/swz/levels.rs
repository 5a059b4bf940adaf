//! Values coded as levels: scales, the levels as f16 with their code, and the codes of the values.

use half::f16;

use super::fields::{Broken, Fields};
use super::histogram::{Binned, N_KEYS};
use super::huffman::{self, Code, MAX_SYMBOLS, Table};
use super::quantiser::Levels;
use super::scales::Scales;
use super::streams;

/// Codes the values of `binned`, whose levels are `levels`.
pub(super) fn encode(binned: &Binned, levels: &Levels) -> Result<Vec<u8>, Broken> {
    let mut out = Vec::new();
    binned.scales.write(&mut out)?;
    let n_levels = u16::try_from(levels.values.len()).map_err(|_| Broken::new("it has too many levels"))?;
    out.extend(n_levels.to_le_bytes());
    out.extend(levels.values.iter().flat_map(|level| level.to_le_bytes()));
    out.extend(huffman::pack(&levels.lengths));
    let mut codes = vec![Code::default(); N_KEYS];
    for (bins, code) in levels.bins().zip(huffman::codes(&levels.lengths)) {
        binned.histogram.keys[bins].iter().for_each(|&key| codes[usize::from(key)] = code);
    }
    streams::write(&mut out, binned.keys.len(), |i| codes[usize::from(binned.keys[i])])?;
    Ok(out)
}

/// Upper bound of the bytes of [`encode`], a dozen at most above them, when the codes have `n_bits` bits.
pub(super) fn max_bytes(binned: &Binned, levels: &Levels, n_bits: u64) -> u64 {
    let n_levels = levels.values.len() as u64;
    let table = 2 + 2 * n_levels + n_levels.div_ceil(2);
    binned.scales.max_bytes() + table + streams::max_bytes(binned.keys.len(), n_bits)
}

/// Undoes [`encode`] for `n` values in `n_rows` channels.
pub(super) fn decode(fields: &mut Fields<'_>, n: usize, n_rows: usize) -> Result<Vec<f32>, Broken> {
    let scales = Scales::read(fields, n_rows)?;
    let n_levels = usize::from(fields.u16()?);
    if n_levels > MAX_SYMBOLS {
        return Err(Broken::new(format!("{n_levels} levels are too many")));
    }
    let mut levels: Vec<f32> =
        fields.take(2 * n_levels)?.as_chunks().0.iter().map(|&level| f16::from_le_bytes(level).to_f32()).collect();
    if levels.iter().any(|level| !level.is_finite()) {
        return Err(Broken::new("a level is not finite"));
    }
    let lengths = huffman::unpack(fields.take(n_levels.div_ceil(2))?, n_levels)?;
    if scales.is_one() {
        scales.apply(&mut levels);
        return streams::read(fields, n, &Table::new(&lengths, &levels), 0.0);
    }
    let mut values = streams::read(fields, n, &Table::new(&lengths, &levels), 0.0)?;
    scales.apply(&mut values);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::super::quantiser;
    use super::super::scales::Scaling;
    use super::super::testing::gaussian;
    use super::*;

    fn coded(binned: &Binned, levels: &Levels, n_rows: usize) -> (Vec<u8>, Vec<f32>) {
        let bytes = encode(binned, levels).unwrap();
        let mut fields = Fields(&bytes);
        let values = decode(&mut fields, binned.keys.len(), n_rows).unwrap();
        fields.end().unwrap();
        (bytes, values)
    }

    /// Channels of very different scales.
    fn values() -> Vec<f32> {
        let mut values = gaussian(3, 64 * 500);
        values.chunks_mut(500).zip(0u8..).for_each(|(row, i)| row.iter_mut().for_each(|v| *v *= 0.9f32.powi(i.into())));
        values
    }

    #[test]
    fn the_foretold_cost_is_that_of_the_decoded_values() {
        let values = values();
        for scaling in [Scaling::Tensor, Scaling::Channel] {
            let binned = Binned::new(&values, 64, scaling);
            for levels in [quantiser::clusters(&binned.histogram, 5), quantiser::steps(&binned.histogram, 0.25)] {
                let cost = levels.cost(&binned.histogram);
                let (bytes, decoded) = coded(&binned, &levels, 64);
                assert!((0..=12).contains(&(max_bytes(&binned, &levels, cost.n_bits) - bytes.len() as u64)));
                let errors = || values.iter().zip(&decoded).map(|(a, b)| f64::from(*a) - f64::from(*b));
                let squared: f64 = errors().map(|e| e * e).sum();
                assert!((squared / cost.squared_error - 1.0).abs() < 1e-4, "{squared} {}", cost.squared_error);
                let max = errors().map(f64::abs).fold(0.0, f64::max);
                assert!(max <= cost.max_error * 1.000_01 && max > cost.max_error * 0.2, "{max} {}", cost.max_error);
            }
        }
    }

    #[test]
    fn scales_per_channel_keep_the_error_of_small_channels_small() {
        let values = values();
        let last = |scaling| {
            let binned = Binned::new(&values, 64, scaling);
            let (_, decoded) = coded(&binned, &quantiser::steps(&binned.histogram, 0.5), 64);
            let start = 63 * 500;
            let square = |v: f64| v * v;
            let error: f64 = values[start..].iter().zip(&decoded[start..]).map(|(a, b)| square(f64::from(a - b))).sum();
            error / values[start..].iter().map(|v| square(f64::from(*v))).sum::<f64>()
        };
        assert!(last(Scaling::Channel) < 0.05 && last(Scaling::Tensor) > 0.5);
    }

    #[test]
    fn zeros_stay_zeros() {
        let binned = Binned::new(&[0.0; 100], 10, Scaling::Channel);
        assert_eq!(coded(&binned, &quantiser::steps(&binned.histogram, 0.5), 10).1, [0.0; 100]);
        assert_eq!(coded(&binned, &quantiser::clusters(&binned.histogram, 2), 10).1, [0.0; 100]);
    }
}
