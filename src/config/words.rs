//! Numbers of things as people write them.

/// A number with its noun: "1 scene", "2 scenes".
pub fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A list of which only the first are shown: "a, b and 3 more".
pub fn listed(items: &[impl AsRef<str>], most: usize) -> String {
    let shown = items.iter().take(most).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if items.len() > most { format!("{shown} and {} more", items.len() - most) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_lists_are_cut() {
        assert_eq!([count(0, "scene"), count(1, "scene"), count(2, "scene")], ["0 scenes", "1 scene", "2 scenes"]);
        let items = ["a", "b", "c"];
        assert_eq!([listed(&items, 3), listed(&items, 2)], ["a, b, c", "a, b and 1 more"]);
    }
}
