//! The components that reach one row, as a union-find.

/// The component of all that is decided to stay. It has number 0 in every table.
pub(super) const BIG: u32 = 0;

/// No number of a component.
pub(super) const NONE: u32 = u32::MAX;

/// Union-find over the undecided components of a row. Those that reach `limit` pixels become [`BIG`], all of them one.
pub(super) struct Components {
    table: Vec<Component>,
    limit: u32,
}

/// What is known of a component of fewer than `limit` pixels.
#[derive(Clone, Copy)]
pub(super) struct Component {
    /// One of its pixels, in its first row.
    pub(super) x: u32,
    pub(super) top: u32,
    /// How many pixels it has so far.
    pub(super) pixels: u32,
    /// The component that it is part of; itself, if that is all.
    parent: u32,
    /// Its number in the table of the next row, or [`NONE`] if it does not reach that.
    heir: u32,
}

impl Components {
    /// A table that holds [`BIG`] alone and has room for `n` more.
    pub(super) fn new(limit: u32, n: usize) -> Self {
        let mut table = Vec::with_capacity(n + 1);
        table.push(Component { x: 0, top: 0, pixels: limit, parent: BIG, heir: BIG });
        Self { table, limit }
    }

    /// Forgets all but [`BIG`].
    pub(super) fn clear(&mut self) {
        self.table.truncate(1);
    }

    /// Adds a component that joins no other so far and gives its number.
    pub(super) fn add(&mut self, x: u32, top: u32, pixels: u32) -> u32 {
        if pixels >= self.limit {
            return BIG;
        }
        let number = u32::try_from(self.table.len()).unwrap_or(NONE);
        self.table.push(Component { x, top, pixels, parent: number, heir: NONE });
        number
    }

    /// The number of the whole that `number` is part of.
    pub(super) fn root(&mut self, mut number: u32) -> u32 {
        loop {
            let parent = self.table[number as usize].parent;
            if parent == number {
                return number;
            }
            let grandparent = self.table[parent as usize].parent;
            self.table[number as usize].parent = grandparent;
            number = grandparent;
        }
    }

    /// Joins two wholes; gives the number of what they are together.
    pub(super) fn join(&mut self, a: u32, b: u32) -> u32 {
        if a == b {
            return a;
        }
        let [one, other] = [self.table[a as usize], self.table[b as usize]];
        let pixels = one.pixels.saturating_add(other.pixels);
        let whole = if pixels >= self.limit {
            BIG
        } else {
            let whole = if one.pixels >= other.pixels { a } else { b };
            let (top, x) = (one.top, one.x).min((other.top, other.x));
            self.table[whole as usize] = Component { x, top, pixels, parent: whole, heir: NONE };
            whole
        };
        self.table[a as usize].parent = whole;
        self.table[b as usize].parent = whole;
        whole
    }

    /// Adds pixels to a whole.
    pub(super) fn grow(&mut self, number: u32, pixels: u32) {
        let limit = self.limit;
        let whole = &mut self.table[number as usize];
        whole.pixels = whole.pixels.saturating_add(pixels);
        if whole.pixels >= limit {
            whole.parent = BIG;
        }
    }

    /// The number in the table `next` of the whole `number`, which goes there if it is not there yet.
    pub(super) fn inherit(&mut self, number: u32, next: &mut Self) -> u32 {
        let whole = &mut self.table[number as usize];
        if whole.heir == NONE {
            whole.heir = next.add(whole.x, whole.top, whole.pixels);
        }
        whole.heir
    }

    /// The first row that an undecided component is in. All components must be wholes.
    pub(super) fn top(&self) -> Option<u32> {
        self.table[1..].iter().map(|c| c.top).min()
    }

    /// The wholes that have no heir: they end with the row of this table.
    pub(super) fn ended(&self) -> impl Iterator<Item = Component> {
        let undecided = (1u32..).zip(&self.table[1..]);
        undecided.filter(|(number, c)| c.parent == *number && c.heir == NONE).map(|(_, c)| *c)
    }

    /// What it has allocated.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.table.capacity() * size_of::<Component>()
    }
}
