//! Numbers as people say them.

use std::time::Duration;

use crate::config::format_duration;

/// A number with the form of a noun that goes with it.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// "4.2 s", "1m 05s", "34h 19m".
pub fn time(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    format_duration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// A share in percent; what is not all is never told as 100 %.
pub fn percent(share: f64) -> String {
    let percent = if share < 1.0 { (share * 1000.0).floor() / 10.0 } else { 100.0 };
    format!("{percent:.1} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([plural(1, "entry", "entries"), plural(2, "entry", "entries")], ["1 entry", "2 entries"]);
        assert_eq!([time(4.24), time(65.0), time(123_554.0)], ["4.2 s", "1m 05s", "34h 19m"]);
        assert_eq!([percent(0.99999), percent(1.0), percent(0.0)], ["99.9 %", "100.0 %", "0.0 %"]);
    }
}
