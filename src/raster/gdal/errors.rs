//! GDAL's errors, kept per thread: some are raised although the call says that all went well.

use std::cell::RefCell;
use std::sync::Once;

use gdal::errors::CplErrType;

thread_local! {
    static RAISED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A broken file can raise thousands; the first ones tell the cause.
const KEPT: usize = 4;

/// Collects errors instead of printing them. Process-wide, once.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gdal::config::set_error_handler(|class, _number, message| {
            if matches!(class, CplErrType::Failure | CplErrType::Fatal) {
                RAISED.with_borrow_mut(|raised| {
                    if raised.len() < KEPT {
                        raised.push(message.trim().to_owned());
                    }
                });
            }
        });
    });
}

/// Forgets what this thread's earlier calls raised.
pub(super) fn clear() {
    RAISED.with_borrow_mut(Vec::clear);
}

/// What this thread's calls raised since [`clear`].
pub(super) fn take() -> Option<String> {
    let raised = RAISED.with_borrow_mut(std::mem::take);
    if raised.is_empty() { None } else { Some(raised.join("; ")) }
}

/// What GDAL raised if it did, else the crate's own words.
pub(super) fn explain(error: &gdal::errors::GdalError) -> String {
    take().unwrap_or_else(|| error.to_string())
}
