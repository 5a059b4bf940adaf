//! Convex polygons that are cut in two by lines.

use super::vector::Vector;

/// A convex polygon, its corners in order around it.
#[derive(Clone, Debug)]
pub(super) struct Polygon {
    corners: Vec<Vector>,
}

impl Polygon {
    pub(super) fn rectangle(low: Vector, high: Vector) -> Self {
        Self { corners: vec![low, Vector::new(high.x, low.y), high, Vector::new(low.x, high.y)] }
    }

    fn edges(&self) -> impl Iterator<Item = (Vector, Vector)> {
        let next = self.corners.iter().cycle().skip(1);
        self.corners.iter().copied().zip(next.copied())
    }

    pub(super) fn area(&self) -> f32 {
        0.5 * self.edges().map(|(a, b)| a.x * b.y - b.x * a.y).sum::<f32>().abs()
    }

    /// Mean of the corners.
    pub(super) fn centre(&self) -> Vector {
        let sum = self.corners.iter().fold(Vector::new(0.0, 0.0), |sum, &c| sum + c);
        sum * (1.0 / self.corners.len().max(1) as f32)
    }

    /// Direction of the longest edge.
    pub(super) fn longest(&self) -> Vector {
        let longer =
            |best: Vector, (a, b): (Vector, Vector)| if (b - a).length() > best.length() { b - a } else { best };
        self.edges().fold(Vector::new(0.0, 0.0), longer).unit()
    }

    /// Lowest and highest position of the corners along `axis`.
    pub(super) fn extent(&self, axis: Vector) -> (f32, f32) {
        let positions = self.corners.iter().map(|c| c.dot(axis));
        positions.fold((f32::MAX, f32::MIN), |(low, high), p| (low.min(p), high.max(p)))
    }

    /// The parts where `normal` times the point is below and above `offset`.
    pub(super) fn split(&self, normal: Vector, offset: f32) -> (Self, Self) {
        let (mut below, mut above) = (Vec::new(), Vec::new());
        for (a, b) in self.edges() {
            let (da, db) = (a.dot(normal) - offset, b.dot(normal) - offset);
            if da < 0.0 {
                below.push(a)
            } else {
                above.push(a)
            }
            if (da < 0.0) != (db < 0.0) {
                let crossing = a + (b - a) * (da / (da - db));
                below.push(crossing);
                above.push(crossing);
            }
        }
        (Self { corners: below }, Self { corners: above })
    }
}
