//! What a person sees while inputs are hashed.

use std::sync::{Mutex, PoisonError};

use super::Event;
use super::display::Display;
use super::show::Show;
use crate::words::format_bytes;

/// Shows on standard error how far the hashing of inputs is. Where nothing is to be hashed it shows nothing.
#[derive(Debug)]
pub struct HashWatch {
    show: Show,
    /// Since the first bytes: the bytes in all, too.
    begun: Mutex<Option<(Display, u64)>>,
}

impl HashWatch {
    /// Of a command that shows its work so.
    pub fn new(show: Show) -> Self {
        Self { show, begun: Mutex::new(None) }
    }

    /// Shows that so many bytes of so many are hashed, if it is time to. Any thread may say so.
    pub fn show(&self, bytes: u64, of_bytes: u64) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let (display, _) = begun.get_or_insert_with(|| (Display::new(of_bytes, 0, self.show), of_bytes));
        let words = || format!("hashing inputs: {} of {}", format_bytes(bytes), format_bytes(of_bytes));
        display.show(bytes, words, |eta_seconds| Event::Hashing { bytes, of_bytes, eta_seconds });
    }

    /// Takes the bar away; programs are told that all is hashed.
    pub fn finish(self) {
        if let Some((display, of_bytes)) = self.begun.into_inner().unwrap_or_else(PoisonError::into_inner) {
            display.tell(&Event::Hashing { bytes: of_bytes, of_bytes, eta_seconds: Some(0.0) });
            display.finish();
        }
    }
}
