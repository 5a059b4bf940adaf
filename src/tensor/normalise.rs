//! The normaliser and padder on tensors.

use std::collections::HashMap;

use tch::{Device, Kind, TchError, Tensor};

use super::staging::{Staging, Uploaded};
use super::{Affine, Crops, InputRule};
use crate::geom::Size;
use crate::raster::{Held, PixelType};
use crate::tiler::Border;

/// Raw crops on a device, as the host holds them.
#[derive(Debug)]
pub struct Raw {
    pixels: Uploaded,
    /// `[tile][row][column]`, 1 where there is no data; `None` where all is.
    void: Option<Uploaded>,
    dtype: PixelType,
    /// Tiles, bands, rows, columns.
    shape: [i64; 4],
}

impl Raw {
    /// Starts the upload of crops.
    ///
    /// # Errors
    /// When libtorch refuses, for want of memory for instance.
    pub fn upload(crops: Crops<'_>, staging: &mut Staging) -> Result<Self, TchError> {
        let n_tiles = crops.blank.len();
        let shape = [n_tiles as i64, crops.n_bands as i64, i64::from(crops.size.height), i64::from(crops.size.width)];
        let void = (crops.valid.is_some() || crops.blank.contains(&true)).then(|| void(crops));
        Ok(Self {
            pixels: staging.upload(crops.pixels.bytes())?,
            void: void.map(|void| staging.upload(&void)).transpose()?,
            dtype: crops.pixels.dtype(),
            shape,
        })
    }

    /// Gives the buffers of an upload back that is over.
    pub fn give_back(self, staging: &mut Staging) {
        staging.give_back(self.pixels);
        self.void.into_iter().for_each(|void| staging.give_back(void));
    }

    /// The values of some tiles, `[tiles, bands, rows, columns]`, f32.
    fn values(&self, first: usize, n_tiles: usize) -> Result<Tensor, TchError> {
        let tiles = |values: Tensor| values.f_view(self.shape)?.f_narrow(0, first as i64, n_tiles as i64);
        let bytes = &self.pixels.bytes;
        match self.dtype.held() {
            Held::U8 => tiles(bytes.shallow_clone())?.f_to_kind(Kind::Float),
            Held::I16 => tiles(bytes.f_view_dtype(Kind::Int16)?)?.f_to_kind(Kind::Float),
            // tch has no such type: the sign bit is one of the value's.
            Held::U16 => tiles(bytes.f_view_dtype(Kind::Int16)?)?
                .f_to_kind(Kind::Int)?
                .f_bitwise_and(0xFFFF)?
                .f_to_kind(Kind::Float),
            Held::F32 => tiles(bytes.f_view_dtype(Kind::Float)?),
        }
    }

    /// Where some tiles have no data, `[tiles, 1, rows, columns]`.
    fn void(&self, first: usize, n_tiles: usize) -> Result<Option<Tensor>, TchError> {
        let [all, _, rows, columns] = self.shape;
        let tiles = |void: &Uploaded| {
            let void = void.bytes.f_view([all, 1, rows, columns])?.f_narrow(0, first as i64, n_tiles as i64)?;
            void.f_to_kind(Kind::Bool)
        };
        self.void.as_ref().map(tiles).transpose()
    }
}

/// 1 where there is no data.
fn void(crops: Crops<'_>) -> Vec<u8> {
    let area = crops.size.len();
    let mut void: Vec<u8> = match crops.valid {
        Some(valid) => valid.iter().map(|valid| u8::from(*valid == 0)).collect(),
        None => vec![0; crops.blank.len() * area],
    };
    for (tile, _) in crops.blank.iter().enumerate().filter(|(_, blank)| **blank) {
        void[tile * area..(tile + 1) * area].fill(1);
    }
    void
}

/// Makes networks' inputs on a device. The same numbers, to the last bit, as on the host.
#[derive(Debug)]
pub struct Normaliser {
    device: Device,
    rules: Vec<InputRule>,
    /// Scale and offset of a rule for a pixel type, `[1, bands, 1, 1]`.
    affine: HashMap<(usize, PixelType), (Tensor, Tensor)>,
    /// For each length of a crop and of its padding, where the values come from.
    mirrors: HashMap<(u32, u32), Tensor>,
}

impl Normaliser {
    /// One that follows these rules.
    pub fn new(rules: Vec<InputRule>, device: Device) -> Self {
        Self { device, rules, affine: HashMap::new(), mirrors: HashMap::new() }
    }

    /// The input of `n_tiles` crops from the first one on, by the rule of this index: `[tiles, bands, rows, columns]` of the padded size,
    /// f32.
    ///
    /// # Errors
    /// When libtorch refuses, for want of memory for instance.
    pub fn input(
        &mut self,
        rule: usize,
        raw: &Raw,
        (first, n_tiles): (usize, usize),
        padded: Size,
    ) -> Result<Tensor, TchError> {
        let mut values = raw.values(first, n_tiles)?;
        let (scale, offset) = self.affine(rule, raw.dtype)?;
        let [_, n_bands, rows, columns] = raw.shape;
        let rule = &self.rules[rule];
        if !rule.planes.iter().map(|plane| *plane as i64).eq(0..n_bands) {
            let planes: Vec<i64> = rule.planes.iter().map(|plane| *plane as i64).collect();
            let planes: Vec<Tensor> = planes.iter().map(|at| values.f_narrow(1, *at, 1)).collect::<Result<_, _>>()?;
            values = Tensor::f_cat(&planes, 1)?;
        }
        // Two roundings, as on the host: a fused multiply-add has one.
        let mut values = values.f_mul(&scale)?.f_add(&offset)?;
        if let Some(void) = raw.void(first, n_tiles)? {
            values = values.f_masked_fill(&void, 0.0)?;
        }
        let (height, width) = (i64::from(padded.height), i64::from(padded.width));
        if (rows, columns) == (height, width) {
            return Ok(values);
        }
        match rule.border {
            Border::Reflect => {
                let (rows, columns) = (size(rows), size(columns));
                let (across, down) = (self.mirror(columns, padded.width)?, self.mirror(rows, padded.height)?);
                values.f_index_select(3, &across)?.f_index_select(2, &down)
            }
            Border::Zero => {
                let zeros = offset.f_expand([n_tiles as i64, rule.planes.len() as i64, height, width], true)?;
                let out = zeros.f_contiguous()?;
                out.f_narrow(2, 0, rows)?.f_narrow(3, 0, columns)?.f_copy_(&values)?;
                Ok(out)
            }
        }
    }

    fn affine(&mut self, rule: usize, dtype: PixelType) -> Result<(Tensor, Tensor), TchError> {
        if let Some((scale, offset)) = self.affine.get(&(rule, dtype)) {
            return Ok((scale.shallow_clone(), offset.shallow_clone()));
        }
        let rule_of = &self.rules[rule];
        let identity = || vec![Affine { scale: 1.0, offset: 0.0 }; rule_of.planes.len()];
        let affine = rule_of.affine.get(&dtype).cloned().unwrap_or_else(identity);
        let shape = [1, affine.len() as i64, 1, 1];
        let upload = |values: Vec<f32>| Tensor::f_from_slice(&values)?.f_view(shape)?.f_to_device(self.device);
        let scale = upload(affine.iter().map(|affine| affine.scale).collect())?;
        let offset = upload(affine.iter().map(|affine| affine.offset).collect())?;
        self.affine.insert((rule, dtype), (scale.shallow_clone(), offset.shallow_clone()));
        Ok((scale, offset))
    }

    /// Where each of `to` positions takes its value from among `from`.
    fn mirror(&mut self, from: u32, to: u32) -> Result<Tensor, TchError> {
        if let Some(mirror) = self.mirrors.get(&(from, to)) {
            return Ok(mirror.shallow_clone());
        }
        let source = |at: u32| i64::from(Border::Reflect.resolve(i64::from(at), from).unwrap_or_default());
        let mirror = Tensor::f_from_slice(&(0..to).map(source).collect::<Vec<_>>())?.f_to_device(self.device)?;
        self.mirrors.insert((from, to), mirror.shallow_clone());
        Ok(mirror)
    }
}

fn size(length: i64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
