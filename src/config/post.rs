//! What is done to a label map before it is written: as it is written down, and as it is meant.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::classes::{ClassId, ClassTable};
use super::fault::Fault;
use super::number::NumberOr;
use crate::words::count;
use crate::zoo::spec::alike;

/// Holes up to here: every class holds that many rows back.
const MAX_HOLE: u32 = 4096;

/// Islands up to here: likewise, and never more rows than there are.
const MAX_ISLAND: u32 = 1 << 16;

/// Windows up to here.
const WIDEST: u32 = 255;

/// How large something is on a map: `25`, or `"25 m2"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// So many pixels.
    Pixels(u32),
    /// On the ground.
    SquareMetres(f64),
}

/// `[post]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Post {
    /// Class by class, every component of other labels with fewer pixels takes the class; 0 or 1 leaves all as it is.
    pub fill_holes: u32,
    /// Classes that are given up, each with the one that takes its place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub remap: BTreeMap<ClassId, ClassId>,
    /// Pixels take the class that most have in a window of this side around them, an odd number; 0 or 1 leaves all as it is.
    #[serde(skip_serializing_if = "is_none")]
    pub majority: u32,
    /// By class: smaller components take the class that most of their border touches. Empty where no class has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop_islands: Vec<Area>,
}

/// `[post]` as written: classes have their names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PostTable {
    pub(super) fill_holes: u32,
    pub(super) remap: BTreeMap<String, String>,
    pub(super) majority: u32,
    pub(super) drop_islands: Islands,
}

/// What an island is smaller than.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "pixels, an area (\"25 m2\"), or a table of these by class")]
pub(super) enum Islands {
    /// One of any class.
    All(Area),
    /// One of a class; other classes have none.
    ByClass(BTreeMap<String, Area>),
}

impl Default for Islands {
    fn default() -> Self {
        Self::All(Area::Pixels(0))
    }
}

fn is_none(side: &u32) -> bool {
    *side <= 1
}

impl Area {
    const UNIT: &str = "m2";

    /// The pixels of the least component that is not smaller, where one pixel is so many square metres.
    fn in_pixels(self, of_pixel: f64) -> f64 {
        match self {
            Self::Pixels(pixels) => pixels.into(),
            // A pixel of 0.7 m x 0.7 m has 0.48999999999999994 m2, and 100 of them are no less than 49 m2.
            Self::SquareMetres(area) => (area / of_pixel * (1.0 - 1e-9)).ceil(),
        }
    }

    const fn is_nothing(&self) -> bool {
        matches!(self, Self::Pixels(0 | 1))
    }
}

impl std::fmt::Display for Area {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pixels(pixels) => f.write_str(&count((*pixels).into(), "pixel")),
            Self::SquareMetres(area) => write!(f, "{area} {}", Self::UNIT),
        }
    }
}

impl Serialize for Area {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Pixels(pixels) => serializer.serialize_u32(*pixels),
            Self::SquareMetres(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Area {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOr {
            expecting: "a number of pixels, or an area in square metres, e.g. \"25 m2\"",
            number: |pixels| Some(Self::Pixels(pixels)),
            word: |word| {
                let area: f64 = word.strip_suffix(Self::UNIT)?.trim_end().parse().ok()?;
                (area.is_finite() && area > 0.0).then_some(Self::SquareMetres(area))
            },
        })
    }
}

impl Post {
    /// Whether it changes no map.
    pub fn is_nothing(&self) -> bool {
        self.fill_holes <= 1 && is_none(&self.majority) && self.remap.is_empty() && self.drop_islands.is_empty()
    }

    /// Whether it has to be known how large a pixel is on the ground.
    pub fn is_on_ground(&self) -> bool {
        self.drop_islands.iter().any(|area| matches!(area, Area::SquareMetres(_)))
    }

    /// By class: components of fewer pixels are islands, where a pixel is so many square metres.
    ///
    /// # Errors
    /// When an area needs the size of a pixel and nobody knows it, or has more pixels than an island may.
    pub fn islands(&self, of_pixel: Option<f64>) -> Result<Vec<u32>, String> {
        let pixels = |area: &Area| match (area, of_pixel) {
            (Area::Pixels(pixels), _) => Ok(*pixels),
            (Area::SquareMetres(_), None) => Err(format!(
                "post.drop_islands is {area}, and the file does not say how large its pixels are on the ground (it needs a transform and a \
                 projected or geographic reference system); give it in pixels, e.g. post.drop_islands = 25"
            )),
            (Area::SquareMetres(_), Some(of_pixel)) => {
                let pixels = area.in_pixels(of_pixel);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number in range")]
                let fits = (pixels <= MAX_ISLAND.into()).then_some(pixels as u32);
                fits.ok_or_else(|| {
                    format!(
                        "post.drop_islands is {area}, and with pixels of {of_pixel} m2 these are {pixels} of them, more than {MAX_ISLAND}: \
                         choose a smaller area"
                    )
                })
            }
        };
        self.drop_islands.iter().map(pixels).collect()
    }

    /// What it does, in the order in which it does it.
    pub fn words(&self, classes: &ClassTable) -> Vec<String> {
        let name = |class: usize| classes.classes().get(class).map_or("", |class| class.name.as_str());
        let renamed = self.remap.iter().map(|(from, to)| (name((*from).into()), name((*to).into())));
        let mut words: Vec<String> = renamed.map(|(from, to)| format!("{from} becomes {to}")).collect();
        if !is_none(&self.majority) {
            words.push(format!("majority of {0} x {0} pixels", self.majority));
        }
        if self.fill_holes > 1 {
            words.push(format!("holes of fewer than {} filled", count(self.fill_holes.into(), "pixel")));
        }
        let of_all = self.drop_islands.first().filter(|first| self.drop_islands.iter().all(|area| area == *first));
        let of_class = |(class, area): (usize, &Area)| format!("{} of less than {area}", name(class));
        let of_classes = || self.drop_islands.iter().enumerate().filter(|(_, area)| !area.is_nothing()).map(of_class);
        match of_all {
            Some(area) => words.push(format!("islands of less than {area} dropped")),
            None if self.drop_islands.is_empty() => {}
            None => words.push(format!("islands dropped: {}", of_classes().collect::<Vec<_>>().join(", "))),
        }
        words
    }
}

impl PostTable {
    /// What it means for these classes.
    pub(super) fn checked(self, classes: &ClassTable) -> Result<Post, Fault> {
        let Self { fill_holes, remap, majority, drop_islands } = self;
        if fill_holes > MAX_HOLE {
            return Err(Fault::value("post.fill_holes", fill_holes, format!("0 to {MAX_HOLE} pixels")));
        }
        if majority > WIDEST || (majority > 0 && majority % 2 == 0) {
            return Err(Fault::value("post.majority", majority, format!("an odd number of pixels to {WIDEST}, or 0")));
        }
        let renamed = |(from, to): &(String, String)| {
            let key = format!("post.remap.{from}");
            Ok((class(&key, from, classes)?, class(&key, to, classes)?))
        };
        let pairs: Vec<_> = remap.into_iter().collect();
        let remap: BTreeMap<ClassId, ClassId> = pairs.iter().map(renamed).collect::<Result<_, Fault>>()?;
        if let Some((from, to)) = pairs.iter().find(|(_, to)| pairs.iter().any(|(from, _)| from == to)) {
            let text = format!("`{to}` is given up itself; name the class that takes the place of both");
            return Err(Fault::about(format!("post.remap.{from}"), text));
        }
        Ok(Post { fill_holes, remap, majority, drop_islands: drop_islands.by_class(classes)? })
    }
}

impl Islands {
    fn by_class(self, classes: &ClassTable) -> Result<Vec<Area>, Fault> {
        let key = "post.drop_islands";
        let checked = |key: &str, area: Area| match area {
            Area::Pixels(pixels) if pixels > MAX_ISLAND => {
                Err(Fault::value(key, pixels, format!("0 to {MAX_ISLAND} pixels")))
            }
            Area::Pixels(_) | Area::SquareMetres(_) => Ok(area),
        };
        let mut areas = match self {
            Self::All(area) => vec![checked(key, area)?; classes.classes().len()],
            Self::ByClass(table) => {
                let mut areas = vec![Area::Pixels(0); classes.classes().len()];
                for (name, area) in table {
                    let key = format!("{key}.{name}");
                    areas[usize::from(class(&key, &name, classes)?)] = checked(&key, area)?;
                }
                areas
            }
        };
        if areas.iter().all(Area::is_nothing) {
            areas.clear();
        }
        Ok(areas)
    }
}

/// The class of a name.
fn class(key: &str, name: &str, classes: &ClassTable) -> Result<ClassId, Fault> {
    let mut named = classes.classes().iter().filter(|class| class.name == name);
    match (named.next(), named.next()) {
        (Some(class), None) => Ok(class.id),
        (Some(_), Some(_)) => Err(Fault::about(key, format!("two classes are called `{name}`; rename one of them"))),
        (None, _) => {
            let names: Vec<String> = classes.classes().iter().map(|class| class.name.clone()).collect();
            let hint = match alike(name, &names, 0.6).first() {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", names.join(", ")),
            };
            Err(Fault::about(key, format!("no class is called `{name}`; {hint}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_a_number_or_a_text_and_comes_back() {
        let parsed = |text: &str| serde_json::from_str::<Area>(text);
        for area in [Area::Pixels(0), Area::Pixels(64), Area::SquareMetres(25.0), Area::SquareMetres(0.1)] {
            assert_eq!(parsed(&serde_json::to_string(&area).unwrap()).unwrap(), area);
        }
        assert_eq!(parsed("\"25m2\"").unwrap(), Area::SquareMetres(25.0));
        for bad in ["-1", "1.5", "\"25\"", "\"0 m2\"", "\"-3 m2\"", "\"inf m2\"", "\"25 km2\"", "[1]"] {
            let error = parsed(bad).unwrap_err().to_string();
            assert!(error.contains("a number of pixels, or an area in square metres"), "{bad}: {error}");
        }
    }

    #[test]
    fn an_area_on_the_ground_is_so_many_pixels() {
        let islands = |area: f64, side: f64| {
            let post = Post { drop_islands: vec![Area::SquareMetres(area)], ..Post::default() };
            post.islands(Some(side * side)).map(|pixels| pixels[0])
        };
        assert_eq!(islands(25.0, 0.5), Ok(100));
        assert_eq!(islands(25.0, 0.3), Ok(278));
        assert_eq!((islands(49.0, 0.7), islands(1.0, 0.1)), (Ok(100), Ok(100)), "for all that is lost in between");
        assert_eq!(islands(1.0, 30.0), Ok(1));
        let error = islands(1e6, 0.1).unwrap_err();
        assert!(error.contains("1000000 m2") && error.contains("more than 65536"), "{error}");
        let post = Post { drop_islands: vec![Area::Pixels(3), Area::SquareMetres(1.0)], ..Post::default() };
        assert!(post.islands(None).unwrap_err().contains("give it in pixels"));
    }
}
