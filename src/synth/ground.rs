//! The land of a scene: decides what covers each pixel and has it painted.

use super::{
    canvas::Canvas,
    cover::Cover,
    field::{Fields, Look},
    noise::Noise,
    paint::Paint,
    plan::{Parcel, Plan, Spot},
    plants::Plants,
    rng::Rng,
    surface::Surfaces,
    vector::Vector,
    water::Water,
};
use crate::geom::Size;

/// How far the plan reaches beyond the scene, so that small scenes are not always the same few parcels.
const MARGIN: f32 = 150.0;

/// Everything that can be known about the land before it is drawn.
pub(super) struct Ground {
    plan: Plan,
    looks: Vec<Look>,
    water: Water,
    bend: [Noise; 2],
    wobble: Noise,
    fields: Fields,
    pub(super) plants: Plants,
    pub(super) surfaces: Surfaces,
}

/// A pixel that is about to be painted.
struct Site<'a> {
    /// In the picture.
    p: Vector,
    /// In the plan.
    q: Vector,
    spot: Spot,
    shore: f32,
    look: &'a Look,
}

impl Ground {
    pub(super) fn new(seed: u64, size: Size) -> Self {
        let mut rng = Rng::new(seed);
        let low = Vector::new(-MARGIN, -MARGIN);
        let high = Vector::new(size.width as f32 + MARGIN, size.height as f32 + MARGIN);
        let plan = Plan::new(rng.next(), low, high);
        let looks = plan.parcels().iter().map(Look::new).collect();
        Self {
            plan,
            looks,
            water: Water::new(rng.next(), size),
            bend: [Noise::new(rng.next(), 420.0), Noise::new(rng.next(), 420.0)],
            wobble: Noise::new(rng.next(), 34.0),
            fields: Fields::new(rng.next()),
            plants: Plants::new(rng.next()),
            surfaces: Surfaces::new(rng.next()),
        }
    }

    pub(super) fn parcels(&self) -> &[Parcel] {
        self.plan.parcels()
    }

    /// How far the plan is shifted at `p`: slowly changing, so that its straight lines bend and keep their width.
    fn shift(&self, p: Vector) -> Vector {
        Vector::new(self.bend[0].at(p), self.bend[1].at(p)) * 26.0
    }

    /// The picture point whose plan point is about `q`.
    pub(super) fn unbend(&self, q: Vector) -> Vector {
        let p = q - self.shift(q);
        q - self.shift(p)
    }

    pub(super) fn paint(&self, canvas: &mut Canvas) {
        let mut index = 0;
        for y in 0..canvas.size.height {
            for x in 0..canvas.size.width {
                let site = self.site(Vector::new(x as f32, y as f32));
                let cover = self.cover(&site);
                canvas.put(index, cover, self.paint_site(cover, &site));
                index += 1;
            }
        }
    }

    fn site(&self, p: Vector) -> Site<'_> {
        let q = p + self.shift(p);
        let spot = self.plan.locate(q, || self.wobble.rough(p));
        Site { p, q, shore: self.water.shore(p), look: &self.looks[spot.parcel], spot }
    }

    fn cover(&self, site: &Site<'_>) -> Cover {
        /// Width of the grass beside a road.
        const VERGE: f32 = 3.0;
        let Site { p, ref spot, shore, .. } = *site;
        if spot.road < 0.0 {
            return Cover::Road;
        }
        if shore < 0.0 {
            return Cover::Water;
        }
        if spot.track < 0.0 {
            return Cover::Track;
        }
        if shore < 110.0 {
            if shore < self.water.bank_width(p) {
                return Cover::Bank;
            }
            if shore < self.water.wetland_reach(p) && spot.road > VERGE {
                return Cover::Wetland;
            }
        }
        if spot.road < VERGE {
            return Cover::Meadow;
        }
        if spot.hedge < 0.0 { Cover::Scrub } else { self.plan.parcels()[spot.parcel].ground }
    }

    fn paint_site(&self, cover: Cover, site: &Site<'_>) -> Paint {
        let Site { p, q, ref spot, shore, look } = *site;
        match cover {
            Cover::Water => self.surfaces.water(p, shore),
            Cover::Bank => self.surfaces.bank(p, shore),
            Cover::Wetland => self.plants.wetland(p, look),
            // A bridge stands above the water and casts a shadow on it.
            Cover::Road if shore < 2.0 => Paint { height: 5.0, ..self.surfaces.road(p, spot) },
            Cover::Road => self.surfaces.road(p, spot),
            Cover::Track => self.surfaces.track(p, spot),
            Cover::Building | Cover::Courtyard => self.surfaces.courtyard(p, look.tone),
            Cover::Crop => self.fields.crop(p, look.place(q), look),
            Cover::Stubble => self.fields.stubble(p, look.place(q), look),
            Cover::Orchard => self.plants.orchard(p, look.place(q), look),
            Cover::Meadow => self.fields.meadow(p, look.place(q), look),
            Cover::Broadleaf => self.plants.broadleaf(p, look),
            Cover::Conifer => self.plants.conifer(p, look),
            Cover::Scrub if spot.hedge < 0.0 => self.plants.hedge(p),
            Cover::Scrub => self.plants.scrub(p, look),
            Cover::BareSoil => self.fields.bare(p, look.place(q), look),
        }
    }
}
