//! The land plan: a region cut again and again by straight lines, the first of which are roads, then tracks, then
//! fences.
//!
//! A later line ends at the earlier ones it meets, so the roads join into a network. What remains between the lines are
//! the parcels. Looking up a point walks down the tree of cuts and measures the distance to every line passed on the
//! way.

use super::{
    cover::Cover,
    polygon::Polygon,
    rng::{Deck, Rng},
    vector::Vector,
};

/// A region below this area, in pixels, is one block with one setting.
const BLOCK_AREA: f32 = 260_000.0;

/// What a block is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    /// Larger than a block.
    Open,
    Farm,
    Wood,
    Village,
}

/// What runs along a cut.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    /// Half its width.
    Road(f32),
    Track(f32),
    Hedge(f32),
    Fence,
}

enum Node {
    Cut { normal: Vector, offset: f32, line: Line, softness: f32, below: usize, above: usize },
    Parcel(usize),
}

/// A piece of land with one use.
pub(super) struct Parcel {
    pub(super) ground: Cover,
    /// Whether houses stand on it.
    pub(super) built: bool,
    /// Direction of rows.
    pub(super) along: Vector,
    /// Its outline in plan coordinates.
    pub(super) outline: Polygon,
    /// Where its own random choices start.
    pub(super) seed: u64,
}

/// What the plan says about a point. Distances are from the line's edge, negative on it.
pub(super) struct Spot {
    pub(super) parcel: usize,
    pub(super) road: f32,
    /// Half the width of the nearest road.
    pub(super) road_half: f32,
    /// Position along the nearest road.
    pub(super) road_along: f32,
    pub(super) track: f32,
    /// Half the width of the nearest track.
    pub(super) track_half: f32,
    pub(super) hedge: f32,
}

/// The cuts of a region and the parcels between them.
pub(super) struct Plan {
    nodes: Vec<Node>,
    parcels: Vec<Parcel>,
    root: usize,
}

impl Plan {
    /// Plans the rectangle between `low` and `high`.
    pub(super) fn new(seed: u64, low: Vector, high: Vector) -> Self {
        let mut grower = Grower {
            rng: Rng::new(seed),
            settings: Deck::new(&[Setting::Farm, Setting::Farm, Setting::Wood, Setting::Village]),
            fields: Deck::new(&FIELDS),
            stands: Deck::new(&STANDS),
            gardens: Deck::new(&GARDENS),
            nodes: Vec::new(),
            parcels: Vec::new(),
        };
        let root = grower.grow(&Polygon::rectangle(low, high), Setting::Open, 0);
        Self { nodes: grower.nodes, parcels: grower.parcels, root }
    }

    pub(super) fn parcels(&self) -> &[Parcel] {
        &self.parcels
    }

    /// Looks up `p`; soft lines, those between stands of trees, are shifted by a few pixels times `wobble`, which is
    /// asked for only beside such a line.
    pub(super) fn locate(&self, p: Vector, wobble: impl Fn() -> f32) -> Spot {
        const FAR: f32 = 1e6;
        let mut spot =
            Spot { parcel: 0, road: FAR, road_half: 0.0, road_along: 0.0, track: FAR, track_half: 0.0, hedge: FAR };
        let mut shift = None;
        let mut node = self.root;
        loop {
            match &self.nodes[node] {
                Node::Parcel(parcel) => {
                    spot.parcel = *parcel;
                    return spot;
                }
                Node::Cut { normal, offset, line, softness, below, above } => {
                    let mut side = p.dot(*normal) - offset;
                    if *softness > 0.0 {
                        side += softness * *shift.get_or_insert_with(&wobble);
                    }
                    match *line {
                        Line::Road(half) if side.abs() - half < spot.road => {
                            spot.road = side.abs() - half;
                            spot.road_half = half;
                            spot.road_along = p.dot(normal.turned());
                        }
                        Line::Track(half) if side.abs() - half < spot.track => {
                            spot.track = side.abs() - half;
                            spot.track_half = half;
                        }
                        Line::Hedge(half) => spot.hedge = spot.hedge.min(side.abs() - half),
                        Line::Road(_) | Line::Track(_) | Line::Fence => {}
                    }
                    node = if side < 0.0 { *below } else { *above };
                }
            }
        }
    }
}

const FIELDS: [Cover; 11] = [
    Cover::Crop,
    Cover::Crop,
    Cover::Crop,
    Cover::Stubble,
    Cover::Stubble,
    Cover::Meadow,
    Cover::Meadow,
    Cover::Orchard,
    Cover::Orchard,
    Cover::BareSoil,
    Cover::BareSoil,
];
const STANDS: [Cover; 6] =
    [Cover::Broadleaf, Cover::Conifer, Cover::Broadleaf, Cover::Conifer, Cover::Scrub, Cover::Scrub];
const GARDENS: [Cover; 5] = [Cover::Meadow, Cover::Meadow, Cover::Meadow, Cover::Orchard, Cover::Scrub];

struct Grower {
    rng: Rng,
    settings: Deck<Setting>,
    fields: Deck<Cover>,
    stands: Deck<Cover>,
    gardens: Deck<Cover>,
    nodes: Vec<Node>,
    parcels: Vec<Parcel>,
}

impl Grower {
    /// Cuts `region` down to parcels; returns its node.
    fn grow(&mut self, region: &Polygon, setting: Setting, depth: u32) -> usize {
        let area = region.area();
        let setting = match setting {
            Setting::Open if depth > 0 && area < BLOCK_AREA => self.settings.draw(&mut self.rng),
            Setting::Open | Setting::Farm | Setting::Wood | Setting::Village => setting,
        };
        if area < self.parcel_area(setting) || depth > 24 {
            return self.parcel(region, setting);
        }
        let line = self.line(setting, area);
        let (normal, offset) = self.cut(region, depth);
        let (low, high) = region.split(normal, offset);
        let below = self.grow(&low, setting, depth + 1);
        let above = self.grow(&high, setting, depth + 1);
        let softness = match (setting, line) {
            (Setting::Wood, Line::Fence) => 8.0,
            (Setting::Open | Setting::Farm | Setting::Wood | Setting::Village, _) => 0.0,
        };
        self.push(Node::Cut { normal, offset, line, softness, below, above })
    }

    fn push(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The area below which a region is not cut any more.
    fn parcel_area(&mut self, setting: Setting) -> f32 {
        let area = match setting {
            Setting::Open => return 0.0,
            Setting::Farm => 30_000.0,
            Setting::Wood => 34_000.0,
            Setting::Village => 7_000.0,
        };
        area * self.rng.range(0.6, 1.5)
    }

    fn line(&mut self, setting: Setting, area: f32) -> Line {
        match setting {
            Setting::Open if area > 4.0 * BLOCK_AREA => Line::Road(8.0),
            Setting::Open => Line::Road(6.0),
            Setting::Village if area > 55_000.0 => Line::Road(5.0),
            Setting::Village if area > 22_000.0 => Line::Track(3.0),
            Setting::Farm | Setting::Wood if area > 75_000.0 => Line::Track(3.0),
            Setting::Farm if self.rng.chance(0.2) => Line::Hedge(self.rng.range(2.5, 5.0)),
            Setting::Farm | Setting::Wood | Setting::Village => Line::Fence,
        }
    }

    /// A line across `region` near its middle, about at right angles to its longest edge.
    fn cut(&mut self, region: &Polygon, depth: u32) -> (Vector, f32) {
        let normal = if depth == 0 {
            self.rng.direction()
        } else {
            let along = region.longest();
            let tilt = if self.rng.chance(0.35) { 0.35 } else { 0.04 };
            (along + along.turned() * self.rng.range(-tilt, tilt)).unit()
        };
        let (low, high) = region.extent(normal);
        let shift = self.rng.range(-0.16, 0.16) * (high - low);
        (normal, region.centre().dot(normal) + shift)
    }

    fn parcel(&mut self, region: &Polygon, setting: Setting) -> usize {
        let ground = match setting {
            Setting::Open | Setting::Farm => self.fields.draw(&mut self.rng),
            Setting::Wood => self.stands.draw(&mut self.rng),
            Setting::Village => self.gardens.draw(&mut self.rng),
        };
        let longest = region.longest();
        let along = if self.rng.chance(0.25) { longest.turned() } else { longest };
        let built = setting == Setting::Village;
        self.parcels.push(Parcel { ground, built, along, outline: region.clone(), seed: self.rng.next() });
        self.push(Node::Parcel(self.parcels.len() - 1))
    }
}
