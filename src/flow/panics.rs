//! Panics become errors: caught where a worker ends, told once, with the place.

use std::any::Any;
use std::cell::RefCell;

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Lets panics pass without a word of their own, noting where they happened for [`panic_message`]. `RUST_BACKTRACE` keeps the
/// usual text.
pub fn quiet_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|l| format!("{}:{}", l.file(), l.line()));
        PLACE.with_borrow_mut(|noted| *noted = place);
    }));
}

/// What a caught panic of this thread said, and where.
pub fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("no message");
    match PLACE.with_borrow_mut(Option::take) {
        Some(place) => format!("{text} ({place})"),
        None => text.to_owned(),
    }
}
