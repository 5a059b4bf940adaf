//! The filters of one class.

use super::RowFilter;
use super::band::Band;
use super::components::{BIG, Component, Components, NONE};
use crate::config::classes::ClassId;

/// What becomes of small components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Those of pixels that are not of the class take it.
    Fill,
    /// Those of the class take the one that most of their border touches.
    Dissolve,
}

/// Looks for the small components of one class: rows go in, and come out as soon as all in them is decided.
pub(super) struct ClassFilter {
    class: ClassId,
    rule: Rule,
    band: Band,
    /// Runs of the rule's pixels in the last row.
    above: Vec<Run>,
    /// Runs of the rule's pixels in the row that comes.
    here: Vec<Run>,
    /// What the runs of the last row are part of.
    components: Components,
    /// What the runs of the row that comes are part of.
    next: Components,
    /// All that lies above this row is decided.
    settled: u32,
}

/// Pixels side by side that the rule is about, as many as there are.
#[derive(Clone, Copy)]
struct Run {
    start: u32,
    end: u32,
    /// The number of its component; [`NONE`] while it is not known to belong to an older one.
    component: u32,
}

impl Rule {
    /// Rows that are kept above the first row of a component that is not decided: whoever asks what lies beside it needs them.
    const fn margin(self) -> u32 {
        match self {
            Self::Fill => 0,
            Self::Dissolve => 1,
        }
    }

    /// The most rows that a filter keeps after it was asked for those that are decided, of components of fewer than `limit` pixels.
    pub(super) const fn max_rows(self, limit: u32) -> u32 {
        (limit + self.margin()).saturating_sub(1)
    }
}

impl RowFilter for ClassFilter {
    fn push(&mut self, row: Vec<ClassId>) {
        find_runs(&row, self.class, self.rule, &mut self.here);
        let y = self.band.end();
        self.band.push(row);
        self.advance(y);
    }

    fn end(&mut self) {
        self.here.clear();
        self.advance(self.band.end());
        self.settled = self.band.end();
    }

    fn pop(&mut self) -> Option<Vec<ClassId>> {
        self.band.pop_above(self.settled)
    }

    #[cfg(test)]
    fn rows_held(&self) -> usize {
        self.band.n_rows()
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        let runs = (self.above.capacity() + self.here.capacity()) * size_of::<Run>();
        size_of::<Self>() + self.band.bytes() + runs + self.components.bytes() + self.next.bytes()
    }
}

impl ClassFilter {
    /// A filter by `rule` of components of fewer than `limit` pixels, in rows of `width`.
    pub(super) fn new(class: ClassId, rule: Rule, width: u32, limit: u32) -> Self {
        let n = max_runs(width);
        let components = || Components::new(limit, n);
        Self {
            class,
            rule,
            band: Band::default(),
            above: Vec::with_capacity(n),
            here: Vec::with_capacity(n),
            components: components(),
            next: components(),
            settled: 0,
        }
    }

    /// Goes from the last row to row `y`, whose runs are in `here`.
    fn advance(&mut self, y: u32) {
        self.touch();
        self.next.clear();
        for run in &mut self.here {
            run.component = if run.component == NONE {
                self.next.add(run.start, y, run.end - run.start)
            } else {
                let whole = self.components.root(run.component);
                self.components.inherit(whole, &mut self.next)
            };
        }
        for Component { x, top, .. } in self.components.ended() {
            match self.rule {
                Rule::Fill => self.band.fill(self.class, x, top),
                Rule::Dissolve => self.band.dissolve(self.class, x, top),
            }
        }
        self.settled = self.next.top().unwrap_or(y + 1).saturating_sub(self.rule.margin());
        std::mem::swap(&mut self.components, &mut self.next);
        std::mem::swap(&mut self.above, &mut self.here);
    }

    /// Joins the runs of the new row to those that they touch.
    fn touch(&mut self) {
        let mut idx = 0;
        for run in &mut self.here {
            while self.above.get(idx).is_some_and(|a| a.end <= run.start) {
                idx += 1;
            }
            // The last run that touches this one may touch the next one too.
            let mut touching = idx;
            while let Some(above) = self.above.get(touching).filter(|a| a.start < run.end) {
                let whole = self.components.root(above.component);
                run.component = if run.component == NONE { whole } else { self.components.join(run.component, whole) };
                idx = touching;
                touching += 1;
            }
            if run.component != NONE && run.component != BIG {
                self.components.grow(run.component, run.end - run.start);
            }
        }
    }

    /// The most bytes that a filter takes besides its rows, in a map of `height` rows of `width`.
    pub(super) fn overhead(rule: Rule, width: u32, height: u32, limit: u32) -> u64 {
        let n = max_runs(width) as u64;
        let tables = 2 * (n * size_of::<Run>() as u64 + (n + 1) * size_of::<Component>() as u64);
        let n_rows = (rule.max_rows(limit) + 1).min(height);
        size_of::<Self>() as u64 + tables + Band::overhead(n_rows.into(), limit.into())
    }
}

/// How many runs a row of `width` may have: between two of them is a pixel of another kind.
fn max_runs(width: u32) -> usize {
    width.div_ceil(2) as usize
}

/// Pixels that are looked at together. Most classes are absent from most of a row, and comparing so many at once takes a few
/// vector instructions.
const CHUNK: usize = 64;

/// Finds the runs of pixels that are of `class`, or not, as the rule has it.
fn find_runs(row: &[ClassId], class: ClassId, rule: Rule, runs: &mut Vec<Run>) {
    runs.clear();
    let wants_class = rule == Rule::Dissolve;
    let column = |x: usize| u32::try_from(x).unwrap_or(u32::MAX);
    let mut start = None;
    let mut step = |x: usize, wanted: bool| match start {
        None if wanted => start = Some(x),
        Some(first) if !wanted => {
            runs.push(Run { start: column(first), end: column(x), component: NONE });
            start = None;
        }
        _ => {}
    };
    for (chunk_idx, chunk) in row.chunks(CHUNK).enumerate() {
        let x = chunk_idx * CHUNK;
        let n_class: u8 = chunk.iter().map(|&l| u8::from(l == class)).sum();
        if n_class == 0 || usize::from(n_class) == chunk.len() {
            step(x, (n_class == 0) != wants_class);
        } else {
            chunk.iter().enumerate().for_each(|(i, &l)| step(x + i, (l == class) == wants_class));
        }
    }
    step(row.len(), false);
}
