//! How far a run is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Counters for whoever watches, all passes together.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Counts>);

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Tiles classified, those whose labels were stored included.
    pub tiles: u64,
    /// Pixels that the networks have seen in this run and need not see again.
    pub seen_pixels: u64,
    /// Pixels of the tiles whose labels or logits were stored: no network sees them.
    pub recalled_pixels: u64,
    /// Forward passes that ran: one per batch, member and view.
    pub forwards: u64,
    /// Tiles without data, which no network sees.
    pub void: u64,
    /// Tiles of which the file stores nothing, and whose result is that of another such tile.
    pub repeated: u64,
    /// Parts of units that were decoded.
    pub decoded: u64,
    /// Records that were written: ends of scenes, results of stages.
    pub records: u64,
    /// When the first tiles were.
    pub first_tiles: Option<Instant>,
    /// Tiles and pixels that were counted in this pass.
    of_pass: [u64; 2],
}

impl Progress {
    /// What was counted so far.
    pub fn read(&self) -> Counts {
        *self.counts()
    }

    /// The counters. Whoever holds them keeps all stages from counting: add and let go.
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Counts tiles as good as classified: the networks have seen so many of their pixels, and the others were stored.
    pub(super) fn add_tiles(&mut self, tiles: u64, seen_pixels: u64, recalled_pixels: u64) {
        self.first_tiles.get_or_insert_with(Instant::now);
        self.tiles += tiles;
        self.seen_pixels += seen_pixels;
        self.recalled_pixels += recalled_pixels;
        self.of_pass = [self.of_pass[0] + tiles, self.of_pass[1] + seen_pixels + recalled_pixels];
    }

    /// Takes back tiles that count for nothing after all.
    pub(super) fn take_tiles(&mut self, tiles: u64, seen_pixels: u64, recalled_pixels: u64) {
        self.tiles -= tiles;
        self.seen_pixels -= seen_pixels;
        self.recalled_pixels -= recalled_pixels;
        self.of_pass = [self.of_pass[0] - tiles, self.of_pass[1] - seen_pixels - recalled_pixels];
    }

    /// Begins a further pass, now that so many tiles and pixels of scenes have come to their end in the last one. The others are seen once
    /// more, unless what the networks made of them is kept.
    pub(super) fn begin_pass(&mut self, settled_tiles: u64, settled_pixels: u64, is_kept: bool) {
        let [tiles, pixels] = std::mem::take(&mut self.of_pass);
        self.tiles = self.tiles - tiles + settled_tiles;
        if !is_kept {
            self.seen_pixels = self.seen_pixels.saturating_sub(pixels.saturating_sub(settled_pixels));
        }
    }
}
