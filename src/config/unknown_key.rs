//! "Did you mean": turns serde's complaint about an unknown field into a sentence with the nearest known key.

/// The message to show, better than serde's where it is about an unknown key.
pub(super) fn explain(message: &str) -> String {
    match parse(message) {
        Some((key, known)) => {
            let nearest = known.iter().max_by(|a, b| similarity(key, a).total_cmp(&similarity(key, b)));
            match nearest.filter(|k| similarity(key, k) > 0.6) {
                Some(nearest) => format!("unknown key `{key}`; did you mean `{nearest}`?"),
                None => format!("unknown key `{key}`; known here: {}", known.join(", ")),
            }
        }
        None => message.to_owned(),
    }
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}

/// Takes serde's sentence apart: "unknown field `x`, expected one of `a`, `b`".
fn parse(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest =
        message.trim().strip_prefix("unknown field ").or_else(|| message.trim().strip_prefix("unknown variant "))?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    Some((quoted.next()?, quoted.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_named() {
        let message = "unknown field `dilatoin`, expected one of `strategy`, `whole_max`, `dilation`, `border`";
        assert_eq!(explain(message), "unknown key `dilatoin`; did you mean `dilation`?");
    }

    #[test]
    fn without_a_near_one_all_are_listed() {
        let message = "unknown field `zzz`, expected `id` or `name`";
        assert_eq!(explain(message), "unknown key `zzz`; known here: id, name");
        assert_eq!(explain("missing field `a`"), "missing field `a`");
    }
}
