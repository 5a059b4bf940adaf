//! Numbers, sizes, times, lists, paths and errors as people say them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A number with the form of a noun that goes with it.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// An error with its causes, in one line.
pub fn explain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |e| (**e).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A number with its noun: "1 scene", "2 scenes".
pub fn count(n: u64, noun: &str) -> String {
    plural(n, noun, &format!("{noun}s"))
}

/// A path that leads there from anywhere.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A list of which only the first are shown: "a, b and 3 more".
pub fn listed(items: &[impl AsRef<str>], most: usize) -> String {
    let shown = items.iter().take(most).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if items.len() > most { format!("{shown} and {} more", items.len() - most) } else { shown }
}

/// "4.2 s", "1m 05s", "34h 19m".
pub fn time(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    format_duration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// A span of time to the second, to the minute where it is hours.
pub fn format_duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, _) => format!("{h}h {m:02}m"),
    }
}

/// A share in percent; what is not all is never told as 100 %.
pub fn percent(share: f64) -> String {
    let percent = if share < 1.0 { (share * 1000.0).floor() / 10.0 } else { 100.0 };
    format!("{percent:.1} %")
}

/// Bytes in the largest unit that leaves at least one digit, e.g. "1.5 GiB".
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut value = bytes as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 100.0 { 0 } else { 1 };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A word as a POSIX shell reads it.
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([plural(1, "entry", "entries"), plural(2, "entry", "entries")], ["1 entry", "2 entries"]);
        assert_eq!([count(0, "scene"), count(1, "scene"), count(2, "scene")], ["0 scenes", "1 scene", "2 scenes"]);
        assert_eq!([time(4.24), time(65.0), time(123_554.0)], ["4.2 s", "1m 05s", "34h 19m"]);
        assert_eq!([percent(0.99999), percent(1.0), percent(0.0)], ["99.9 %", "100.0 %", "0.0 %"]);
        let items = ["a", "b", "c"];
        assert_eq!([listed(&items, 3), listed(&items, 2)], ["a, b, c", "a, b and 1 more"]);
    }

    #[test]
    fn spans_and_sizes_print_short() {
        let print = |seconds| format_duration(Duration::from_secs(seconds));
        assert_eq!([print(5), print(65), print(43_265)], ["5s", "1m 05s", "12h 01m"]);
        let sizes = [1536 << 20, 17, 256 << 20].map(format_bytes);
        assert_eq!(sizes, ["1.5 GiB", "17 B", "256 MiB"]);
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_change_them() {
        assert_eq!(shell_word("/a/b-1.jsonl"), "/a/b-1.jsonl");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("~"), "'~'");
    }
}
