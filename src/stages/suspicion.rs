//! Whether it is the pixels, not the network, that a fault of a tile is owed to.

use crate::infer::{RawBatch, TileFault};
use crate::plan::{Plan, Scene, declared_nodata};
use crate::raster::Held;

/// Beyond this no sensor's values lie, and a network's sums may overflow.
const EXTREME: f32 = 1e30;

/// What a fault of a tile says, and what to do about the scene's pixels where they are the likely cause.
pub(super) fn cause(fault: &TileFault, plan: &Plan, scene: &Scene, batch: &RawBatch, tile: usize) -> Option<String> {
    if !matches!(fault, TileFault::NonFinite { .. }) {
        return None;
    }
    let has_class = plan.pipeline.classes.nodata().is_some();
    match (declared_nodata(scene, &plan.bands_of(scene)), has_class, extreme(batch, tile)) {
        (Some(value), false, _) => Some(format!(
            "the scene declares nodata ({value}) and the pipeline has no [nodata] class, so these pixels enter the networks as data; \
             add [nodata]"
        )),
        (_, false, Some(value)) => Some(format!(
            "its pixels hold {value:?}, which is hardly data: declare it as the file's nodata value, and add [nodata] to the pipeline"
        )),
        (_, true, Some(value)) => Some(format!(
            "its pixels hold {value:?}, which is hardly data and is not the nodata value that the file declares for all its bands; \
             declare it there"
        )),
        (_, _, None) => None,
    }
}

/// The most extreme value of a tile that counts as data, if it is one that no sensor gives.
fn extreme(batch: &RawBatch, tile: usize) -> Option<f32> {
    if batch.pixels.dtype().held() != Held::F32 {
        return None;
    }
    let area = batch.crop.len();
    let values = batch.pixels.values::<f32>().chunks_exact((area * batch.n_bands).max(1)).nth(tile)?;
    let is_data = |at: usize| batch.valid_of(tile).is_none_or(|valid| valid[at % area] != 0);
    let data = values.iter().enumerate().filter(|(at, _)| is_data(*at)).map(|(_, value)| *value);
    data.filter(|v| v.abs() >= EXTREME).max_by(|a, b| a.abs().total_cmp(&b.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::{PixelRect, Size};
    use crate::raster::{PixelBuf, PixelType};

    #[test]
    fn an_extreme_value_is_found_where_it_counts_as_data() {
        let size = Size::new(2, 1);
        let pixels = PixelBuf::from_slice(PixelType::F32, &[1.0f32, 2.0, -3.0e38, 5.0]);
        let kept = vec![PixelRect::whole(size); 2];
        let batch =
            RawBatch { name: String::new(), crop: size, n_bands: 1, pixels, valid: None, kept, blank: vec![false; 2] };
        assert_eq!([extreme(&batch, 0), extreme(&batch, 1)], [None, Some(-3.0e38)]);
        let batch = RawBatch { valid: Some(vec![1, 1, 0, 1]), ..batch };
        assert_eq!(extreme(&batch, 1), None);
    }
}
