//! Masks of any form as class ids, window by window: memory is a window.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::labels::{IGNORED, LabelRule};
use crate::config::classes::ClassId;
use crate::geom::PixelRect;
use crate::plan::Decode;
use crate::raster::{
    Fitting, Palette, PixelBuf, PixelType, RasterError, ReadRequest, SceneHeader, Warned, is_mosaic, whole, with_held,
};
use crate::words::{count, listed};

/// Values that are no class are counted apart up to so many; a photograph has more.
const DISTINCT: usize = 256;

/// And so many are named.
const NAMED: usize = 8;

/// Reads masks, one after the other. Owned by one thread.
pub(crate) struct Masks {
    rule: Arc<LabelRule>,
    decoder: Fitting,
}

/// A mask that can be read.
#[derive(Clone, Debug)]
pub(crate) struct MaskFile {
    path: PathBuf,
    header: SceneHeader,
    form: Form,
}

/// How a mask says what is where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Values,
    Colors,
}

/// What stands for nothing, and how many pixels have it.
#[derive(Debug, Default)]
pub(crate) struct Unknown(BTreeMap<String, u64>);

impl Unknown {
    fn add(&mut self, text: String) {
        let is_listed = self.0.len() < DISTINCT || self.0.contains_key(&text);
        *self.0.entry(if is_listed { text } else { "others".to_owned() }).or_default() += 1;
    }
}

impl MaskFile {
    pub(crate) fn header(&self) -> &SceneHeader {
        &self.header
    }

    /// The same with its header changed.
    pub(super) fn with_header(self, change: impl FnOnce(SceneHeader) -> SceneHeader) -> Self {
        Self { header: change(self.header), ..self }
    }

    /// Bytes of a pixel as it is read.
    pub(crate) fn pixel_bytes(&self) -> usize {
        self.bands().len() * self.header.dtype.bytes()
    }

    fn bands(&self) -> Vec<u32> {
        match self.form {
            Form::Values => vec![1],
            Form::Colors => vec![1, 2, 3],
        }
    }
}

impl Masks {
    pub(crate) fn new(rule: &Arc<LabelRule>) -> Self {
        Self::through(rule, Fitting::new(Decode::TIMEOUT))
    }

    /// The same over a decoder that is there.
    pub(crate) fn through(rule: &Arc<LabelRule>, decoder: Fitting) -> Self {
        Self { rule: Arc::clone(rule), decoder }
    }

    /// Looks at a header.
    ///
    /// # Errors
    /// When it cannot be read, or is not that of a mask.
    pub(crate) fn open(&mut self, path: &Path) -> Result<MaskFile, String> {
        if is_mosaic(path) {
            let path = path.display();
            return Err(format!(
                "the mask `{path}` is a mosaic of other files; write it to a file: gdal_translate {path} NEW.tif"
            ));
        }
        let header = inspect(&mut self.decoder, path)?;
        let form = form(&header).map_err(|reason| format!("the mask `{}` {reason}", path.display()))?;
        Ok(MaskFile { path: path.to_owned(), header, form })
    }

    /// Whether indices of a palette stand for other classes than their colours.
    pub(crate) fn contradicts(&self, palette: &[[u8; 3]]) -> bool {
        let classes = (0..).zip(palette).map(|(index, color)| (self.rule.of_value(index), self.rule.of_color(*color)));
        classes.into_iter().any(|(by_index, by_color)| by_index.zip(by_color).is_some_and(|(a, b)| a != b))
    }

    /// What decoders warned of since somebody last asked.
    pub(crate) fn take_warned(&mut self) -> Warned {
        self.decoder.take_warned()
    }

    /// Replaces `labels` by the classes of a window: [`IGNORED`] is what takes no part, and also what stands for nothing, which is noted.
    ///
    /// # Errors
    /// When the pixels cannot be read.
    pub(crate) fn read(
        &mut self,
        mask: &MaskFile,
        window: PixelRect,
        labels: &mut Vec<ClassId>,
        unknown: &mut Unknown,
    ) -> Result<(), String> {
        let MaskFile { path, header, form } = mask;
        let request = header.request(path.clone(), None, window, mask.bands());
        let buffer = read(&mut self.decoder, header, &request)?;
        let area = window.size.len();
        labels.clear();
        labels.reserve(area);
        let mut note = |class: Option<ClassId>, text: &dyn Fn() -> String| {
            if class.is_none() {
                unknown.add(text());
            }
            labels.push(class.unwrap_or(IGNORED));
        };
        match form {
            Form::Colors => {
                let (bytes, mut last) = (buffer.bytes(), None);
                for at in 0..area {
                    let color = [bytes[at], bytes[area + at], bytes[2 * area + at]];
                    // Neighbours are alike.
                    let known = last.filter(|(same, _)| *same == color).map(|(_, class)| class);
                    let class = known.unwrap_or_else(|| self.rule.of_color(color));
                    last = Some((color, class));
                    note(class, &|| format!("#{}", crate::hex(&color)));
                }
            }
            Form::Values => {
                let nodata = header.nodata.first().copied().flatten();
                with_held!(header.dtype, T => for value in buffer.values::<T>() {
                    let value = f64::from(*value);
                    let class = if Some(value) == nodata { Some(IGNORED) } else { whole(value).and_then(|value| self.rule.of_value(value)) };
                    note(class, &|| value.to_string());
                });
            }
        }
        Ok(())
    }

    /// Refuses a mask in which this was found: says which values stand for nothing, and what may help.
    pub(crate) fn refuse(&self, mask: &MaskFile, Unknown(unknown): &Unknown) -> Result<(), String> {
        if unknown.is_empty() {
            return Ok(());
        }
        let mut most: Vec<(&String, &u64)> = unknown.iter().collect();
        most.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let named: Vec<String> = most.iter().map(|(value, n)| format!("{value} ({})", count(**n, "pixel"))).collect();
        let known: Vec<String> = self.rule.values().map(|value| value.to_string()).collect();
        let known = match mask.form {
            Form::Values => format!("classes have the values {}", listed(&known, NAMED)),
            Form::Colors => "no class has these colours".to_owned(),
        };
        Err(format!(
            "the mask holds what is no class: {}; {known}; set data.labels = \"id\" if masks hold positions in the class table, or say in \
             data.remap what they are",
            listed(&named, NAMED)
        ))
    }
}

/// Looks at a header.
pub(super) fn inspect(source: &mut Fitting, path: &Path) -> Result<SceneHeader, String> {
    source.inspect(path).map_err(|e| format!("`{}`: {e}", path.display()))
}

pub(super) fn read(source: &mut Fitting, header: &SceneHeader, request: &ReadRequest) -> Result<PixelBuf, String> {
    let mut buffer = PixelBuf::of_bytes(request.dtype, request.buffer_bytes());
    let failed = |e: RasterError| format!("`{}`: {e}", request.path.display());
    source.read(header, request, buffer.bytes_mut()).map_err(failed)?;
    Ok(buffer)
}

/// What keeps a file from being a mask, or how it is one.
fn form(header: &SceneHeader) -> Result<Form, String> {
    let is_palette = header.palette == Palette::Indices;
    let is_integer = matches!(header.dtype, PixelType::U8 | PixelType::I8 | PixelType::U16 | PixelType::I16);
    match header.n_bands {
        _ if is_palette => Ok(Form::Values),
        1 | 2 if is_integer => Ok(Form::Values),
        3 | 4 if header.dtype == PixelType::U8 => Ok(Form::Colors),
        n => Err(format!(
            "holds {} of {} values; a mask holds one band of 8 or 16 bits, or the classes' colours in three of 8",
            count(n.into(), "band"),
            header.dtype
        )),
    }
}
