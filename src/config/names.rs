//! Names that archives, and the systems they are unpacked on, can hold.

/// Bytes of a name in a ZIP archive: its length has 16 bits.
const MOST_BYTES: usize = u16::MAX as usize;

/// What is wrong with the name of a file in an archive, with `/` between folders; `None` when nothing is.
pub fn name_fault(name: &str) -> Option<&'static str> {
    let bad = |c: char| c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    if let Some(fault) = name.split('/').find_map(part_fault) {
        return Some(fault);
    }
    match () {
        () if name.contains('\u{fffd}') => Some("the name is not UTF-8"),
        () if name.contains(bad) => Some("the name has a character that archives or other systems cannot hold"),
        () if name.len() > MOST_BYTES => Some("the name is longer than an archive can hold"),
        () => None,
    }
}

fn part_fault(part: &str) -> Option<&'static str> {
    match part {
        "" => Some("a folder or the file has no name"),
        "." | ".." => Some("the name leads out of its folder"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_unpacked_everywhere_are_refused() {
        for name in ["a.png", "a/b.1.png", "场景/ä.png", "a b.png", "..a/b..png"] {
            assert_eq!(name_fault(name), None, "{name:?}");
        }
        let long = "a".repeat(70_000);
        for name in ["", "/a", "a//b", "a/", "../a", "a/./b", "a\\b", "a\nb", "a<b", "a\"b", "c:a", "a\u{fffd}", &long]
        {
            assert!(name_fault(name).is_some(), "{name:?}");
        }
    }
}
