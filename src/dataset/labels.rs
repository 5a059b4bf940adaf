//! From what a mask holds to class ids.

use std::collections::BTreeMap;

use crate::config::Pipeline;
use crate::config::classes::{ClassId, Color, NODATA_LABEL};
use crate::config::data::{Data, LabelKind};

/// The label of pixels that nothing is asked of.
pub const IGNORED: ClassId = NODATA_LABEL;

/// What a remapped value is where it is no class.
const IGNORE: &str = "ignore";

/// What the values and colours of masks stand for.
#[derive(Clone, Debug)]
pub struct LabelRule {
    /// By value, for every pixel of a mask is looked up.
    values: Vec<Option<ClassId>>,
    colors: BTreeMap<[u8; 3], ClassId>,
}

impl LabelRule {
    /// The rule of a pipeline.
    ///
    /// # Errors
    /// When `data.remap` has a key that is neither a value nor a colour, or names a class that is not there.
    pub fn of(pipeline: &Pipeline) -> Result<Self, String> {
        let Pipeline { classes, data: Data { labels, remap, .. }, .. } = pipeline;
        let value = |id: ClassId, value: u16| if *labels == LabelKind::Id { u16::from(id) } else { value };
        let all = classes.classes().iter().map(|class| (class.id, class.value, class.color));
        let nodata = classes.nodata().map(|nodata| (IGNORED, nodata.value, nodata.color));
        let mut rule = Self { values: vec![None; 1 << 16], colors: BTreeMap::new() };
        for (id, own, Color(color)) in all.chain(nodata) {
            rule.values[usize::from(value(id, own))] = Some(id);
            rule.colors.entry(color).or_insert(id);
        }
        for (key, target) in remap {
            let class = classes.classes().iter().find(|class| class.name == *target).map(|class| class.id);
            let id = class.or_else(|| (target == IGNORE).then_some(IGNORED)).ok_or_else(|| {
                let names: Vec<&str> = classes.classes().iter().map(|class| class.name.as_str()).collect();
                format!(
                    "data.remap: `{key}` becomes `{target}`, which is no class; write `{IGNORE}` or one of: {}",
                    names.join(", ")
                )
            })?;
            match (key.parse::<u16>(), Color::try_from(key.clone())) {
                (Ok(value), _) => rule.values[usize::from(value)] = Some(id),
                (_, Ok(Color(color))) => drop(rule.colors.insert(color, id)),
                _ => {
                    return Err(format!(
                        "data.remap: `{key}` is neither a value (0 to 65535) nor a colour (\"#rrggbb\")"
                    ));
                }
            }
        }
        Ok(rule)
    }

    /// The same, but that these values of masks take no part.
    pub fn ignoring(mut self, values: &[u16]) -> Self {
        values.iter().for_each(|value| self.values[usize::from(*value)] = Some(IGNORED));
        self
    }

    /// The class of a value.
    pub fn of_value(&self, value: u16) -> Option<ClassId> {
        self.values[usize::from(value)]
    }

    /// The class of a colour.
    pub fn of_color(&self, color: [u8; 3]) -> Option<ClassId> {
        self.colors.get(&color).copied()
    }

    /// All values that stand for something.
    pub fn values(&self) -> impl Iterator<Item = u16> {
        (0..=u16::MAX).filter(|value| self.of_value(*value).is_some())
    }
}
