//! A scene as a person sees it, row by row, for outputs that show it.

use crate::config::InputSpec;
use crate::geom::{PixelRect, Size};
use crate::outputs::overlay::{RGB, shown, window};
use crate::plan::Plan;
use crate::raster::{PixelBuf, RasterError, RasterSource, ReadRequest, SceneHeader, with_held};

/// The rows of a scene, from the top.
pub(crate) struct Picture {
    header: SceneHeader,
    /// Asks for its bands that are shown, of any window.
    request: ReadRequest,
    /// What networks divide by.
    divisor: f64,
    /// Rows that have been read: red, green and blue of each pixel.
    rows: Vec<u8>,
    /// The first of them.
    from: u32,
    /// The first that has not been read.
    end: u32,
}

impl Picture {
    /// Of a scene of a plan; `None` where no network sees it.
    pub(crate) fn of_plan(plan: &Plan, scene: usize) -> Option<Self> {
        let (input, n_bands) = shown(&plan.pipeline)?;
        let header = plan.scenes[scene].header.clone();
        let request = of_bands(plan.request(scene, PixelRect::whole(header.size)), plan, &input.bands[..n_bands]);
        Some(Self::new(header, request, input))
    }

    /// Of a scene whose bands a request names, for networks with this input.
    pub(crate) fn new(header: SceneHeader, request: ReadRequest, input: &InputSpec) -> Self {
        // A scene whose type they do not know has been refused.
        let divisor = input.divide.get(&request.dtype).copied().unwrap_or(1.0);
        Self { header, request, divisor, rows: Vec::new(), from: 0, end: 0 }
    }

    /// The extent of the scene.
    pub(crate) fn size(&self) -> Size {
        self.header.size
    }

    /// What it asks for at a time, at most: its decoder must have room for it.
    pub(crate) fn widest(&self) -> (&SceneHeader, ReadRequest) {
        let window = PixelRect { x: 0, y: 0, size: window(&self.header) };
        (&self.header, ReadRequest { window, ..self.request.clone() })
    }

    /// A row, not above those that were asked for before.
    pub(crate) fn row(&mut self, y: u32, source: &mut dyn RasterSource) -> Result<&[u8], RasterError> {
        let size = self.header.size;
        let length = size.width as usize * RGB;
        if y >= self.end {
            let Size { width, height } = window(&self.header);
            self.from = y / height.max(1) * height;
            self.end = size.height.min(self.from + height);
            self.rows.clear();
            self.rows.resize(length * (self.end - self.from) as usize, 0);
            for x in (0..size.width).step_by(width.max(1) as usize) {
                let size = Size::new(width.min(size.width - x), self.end - self.from);
                self.read(PixelRect { x, y: self.from, size }, source)?;
            }
        }
        Ok(&self.rows[(y - self.from) as usize * length..][..length])
    }

    fn read(&mut self, window: PixelRect, source: &mut dyn RasterSource) -> Result<(), RasterError> {
        let request = ReadRequest { window, ..self.request.clone() };
        let mut pixels = PixelBuf::of_bytes(request.dtype, request.buffer_bytes());
        source.read(&request, pixels.bytes_mut())?;
        let (width, area, n_bands) = (self.header.size.width as usize, window.size.len(), request.bands.len().max(1));
        with_held!(request.dtype, T => {
            let values = pixels.values::<T>();
            for (y, row) in (0..).zip(self.rows.chunks_exact_mut(width * RGB)) {
                let row = &mut row[window.x as usize * RGB..][..window.size.width as usize * RGB];
                for (x, pixel) in row.chunks_exact_mut(RGB).enumerate() {
                    let at = y * window.size.width as usize + x;
                    for (color, band) in pixel.iter_mut().zip(0..) {
                        *color = seen(f64::from(values[band % n_bands * area + at]) / self.divisor);
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

/// A share of 0 to 1 as a byte, 0 for what is no number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 255")]
fn seen(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}
