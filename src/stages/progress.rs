//! How far a run is.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters for whoever watches, all passes together.
#[derive(Debug, Default)]
pub struct Progress {
    tiles: AtomicU64,
    network_pixels: AtomicU64,
    /// Of scenes that ended in an earlier pass.
    settled_tiles: AtomicU64,
    recalled_pixels: AtomicU64,
    seen_pixels: AtomicU64,
    forwards: AtomicU64,
    decoded: AtomicU64,
    records: AtomicU64,
}

impl Progress {
    /// Begins a further pass, now that so many tiles and pixels of scenes have come to their end in the last one. The others are seen once
    /// more, unless what the networks made of them is kept.
    pub(super) fn begin_pass(&self, settled_tiles: u64, settled_pixels: u64, is_kept: bool) {
        self.settled_tiles.fetch_add(settled_tiles, Ordering::Relaxed);
        self.tiles.store(0, Ordering::Relaxed);
        let of_pass = self.network_pixels.swap(0, Ordering::Relaxed);
        if !is_kept {
            let again = of_pass.saturating_sub(settled_pixels);
            self.seen_pixels.store(self.seen_pixels().saturating_sub(again), Ordering::Relaxed);
        }
    }

    /// Counts tiles that the networks have seen, and their pixels.
    pub(super) fn count_seen(&self, tiles: u64, pixels: u64) {
        self.count_tiles(tiles, pixels);
        self.seen_pixels.fetch_add(pixels, Ordering::Relaxed);
    }

    /// Counts tiles whose labels, or all of whose logits, were stored: they are as good as classified, and no network sees them.
    pub(super) fn count_recalled(&self, tiles: u64, pixels: u64) {
        self.count_tiles(tiles, pixels);
        self.recalled_pixels.fetch_add(pixels, Ordering::Relaxed);
    }

    fn count_tiles(&self, tiles: u64, pixels: u64) {
        self.tiles.fetch_add(tiles, Ordering::Relaxed);
        self.network_pixels.fetch_add(pixels, Ordering::Relaxed);
    }

    /// Takes back tiles that were counted as seen, and others as recalled, and that count for nothing after all.
    pub(super) fn uncount(&self, tiles: u64, seen: u64, recalled: u64) {
        self.tiles.fetch_sub(tiles, Ordering::Relaxed);
        self.network_pixels.fetch_sub(seen + recalled, Ordering::Relaxed);
        self.seen_pixels.fetch_sub(seen, Ordering::Relaxed);
        self.recalled_pixels.fetch_sub(recalled, Ordering::Relaxed);
    }

    /// Counts a forward pass.
    pub(super) fn count_forward(&self) {
        self.forwards.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a part of a unit that was decoded.
    pub(super) fn count_decoded(&self) {
        self.decoded.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what the journal knows now.
    pub(super) fn count_records(&self, records: usize) {
        self.records.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// Records that were written: ends of scenes, results of stages.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Tiles classified, those whose labels were stored included.
    pub fn tiles(&self) -> u64 {
        self.settled_tiles.load(Ordering::Relaxed) + self.tiles.load(Ordering::Relaxed)
    }

    /// Pixels that the networks have seen in this run and need not see again.
    pub fn seen_pixels(&self) -> u64 {
        self.seen_pixels.load(Ordering::Relaxed)
    }

    /// Pixels of the tiles whose labels or logits were stored.
    pub fn recalled_pixels(&self) -> u64 {
        self.recalled_pixels.load(Ordering::Relaxed)
    }

    /// Forward passes that ran: one per batch, member and view.
    pub fn forwards(&self) -> u64 {
        self.forwards.load(Ordering::Relaxed)
    }

    /// Parts of units that were decoded.
    pub fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }
}
