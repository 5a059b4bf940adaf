//! A scene as a person sees it, row by row, for outputs that show it.

use crate::config::InputSpec;
use crate::geom::{PixelRect, Size};
use crate::outputs::overlay::{RGB, shown, window};
use crate::plan::Plan;
use crate::raster::{PixelBuf, RasterError, RasterSource, ReadRequest, with_held};

/// The rows of a scene, from the top.
#[derive(Default)]
pub(super) struct Picture {
    /// Rows that have been read: red, green and blue of each pixel.
    rows: Vec<u8>,
    /// The first of them.
    from: u32,
    /// The first that has not been read.
    end: u32,
}

impl Picture {
    /// A row of a scene of a plan, not above those that were asked for before.
    pub(super) fn row(
        &mut self,
        (plan, scene): (&Plan, usize),
        y: u32,
        source: &mut dyn RasterSource,
    ) -> Result<&[u8], RasterError> {
        let header = &plan.scenes[scene].header;
        let length = header.size.width as usize * RGB;
        if y >= self.end {
            let (Size { width, height }, size) = (window(header), header.size);
            self.from = y / height.max(1) * height;
            self.end = size.height.min(self.from + height);
            self.rows.clear();
            self.rows.resize(length * (self.end - self.from) as usize, 0);
            for x in (0..size.width).step_by(width.max(1) as usize) {
                let size = Size::new(width.min(size.width - x), self.end - self.from);
                self.read(plan, scene, PixelRect { x, y: self.from, size }, source)?;
            }
        }
        Ok(&self.rows[(y - self.from) as usize * length..][..length])
    }

    fn read(
        &mut self,
        plan: &Plan,
        scene: usize,
        window: PixelRect,
        source: &mut dyn RasterSource,
    ) -> Result<(), RasterError> {
        let Some((input, n_bands)) = shown(&plan.pipeline) else { return Ok(()) };
        let request = of_bands(plan.request(scene, window), plan, &input.bands[..n_bands]);
        let mut pixels = PixelBuf::of_bytes(request.dtype, request.buffer_bytes());
        source.read(&request, pixels.bytes_mut())?;
        let divisor = divisor(input, &request);
        let (width, area) = (plan.scenes[scene].header.size.width as usize, window.size.len());
        with_held!(request.dtype, T => {
            let values = pixels.values::<T>();
            for (y, row) in (0..).zip(self.rows.chunks_exact_mut(width * RGB)) {
                let row = &mut row[window.x as usize * RGB..][..window.size.width as usize * RGB];
                for (x, pixel) in row.chunks_exact_mut(RGB).enumerate() {
                    let at = y * window.size.width as usize + x;
                    for (color, band) in pixel.iter_mut().zip(0..) {
                        *color = seen(f64::from(values[band % n_bands * area + at]) / divisor);
                    }
                }
            }
        });
        Ok(())
    }
}

/// The same request for some of the plan's bands, in this order.
fn of_bands(request: ReadRequest, plan: &Plan, bands: &[crate::config::Band]) -> ReadRequest {
    let places: Vec<usize> = bands.iter().filter_map(|band| plan.bands.iter().position(|own| own == band)).collect();
    let ReadRequest { files, bands, nodata, .. } = &request;
    ReadRequest {
        files: places.iter().filter_map(|at| files.get(*at).cloned()).collect(),
        bands: places.iter().map(|at| bands[*at]).collect(),
        nodata: places.iter().map(|at| nodata[*at]).collect(),
        ..request
    }
}

/// What networks divide by: a scene whose type they do not know has been refused.
fn divisor(input: &InputSpec, request: &ReadRequest) -> f64 {
    input.divide.get(&request.dtype).copied().unwrap_or(1.0)
}

/// A share of 0 to 1 as a byte, 0 for what is no number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 255")]
fn seen(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}
