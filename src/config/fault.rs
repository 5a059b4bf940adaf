//! What is wrong at one place of a pipeline, in words: which key, what it is, what it may be.

use toml::Value;

use crate::zoo::spec::alike;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The key, from the top: `members.0.backbone`. Empty where the file as a whole is meant.
    pub(super) key: String,
    /// The whole sentence; it names the key.
    pub(super) detail: String,
    /// Whether the pipeline may be right and the weights are to blame.
    pub(super) of_weights: bool,
}

impl Fault {
    /// A key with something to say about it.
    pub(super) fn about(key: impl Into<String>, text: impl std::fmt::Display) -> Self {
        let key = key.into();
        Self { detail: format!("`{key}`: {text}"), key, of_weights: false }
    }

    /// The same, where the pipeline may be right and the weights are to blame.
    pub(super) fn of_weights(self) -> Self {
        Self { of_weights: true, ..self }
    }

    /// A key whose value is another one than it may be.
    pub(super) fn value(key: impl Into<String>, found: impl std::fmt::Display, wanted: impl std::fmt::Display) -> Self {
        let key = key.into();
        Self { detail: format!("`{key}` is {found}; it must be {wanted}"), key, of_weights: false }
    }

    /// What serde says of the place `key` of a file.
    pub(super) fn explain(root: &Value, key: &str, message: &str, variants: impl FnOnce() -> Vec<String>) -> Self {
        let found = find(root, key);
        if let Some((name, known)) = named(message, "unknown field ") {
            return Self::unknown_key(&beside(key, &name), &name, &known);
        }
        if let Some((name, known)) = named(message, "unknown variant ") {
            // The one table whose keys are an enumeration.
            return match key.rsplit('.').find(|part| *part != name) {
                Some("divide") => Self::unknown_key(&beside(key, &name), &name, &known),
                _ => Self::unknown_value(key, &name, &known),
            };
        }
        if let Some((name, _)) = named(message, "missing field ") {
            return Self::missing(key, &name);
        }
        if let Some((dtype, value)) = no_divisor(key, found) {
            return Self::value(format!("{key}.{dtype}"), show(value), "a number");
        }
        let shown = found.map_or_else(|| "missing".to_owned(), show);
        let variants = variants();
        if !variants.is_empty() {
            return Self::value(key, shown, format!("one of {}", quoted(&variants)));
        }
        match message.split_once(", expected ") {
            Some((_, expected)) => Self::value(key, shown, accepted(key).unwrap_or_else(|| words(expected))),
            // A message of our own says what is there.
            None => Self::about(key, message),
        }
    }

    /// A table in place of a list of tables or the other way round.
    pub(super) fn shape(key: &str, wants_list: bool) -> Self {
        let text = if wants_list {
            format!("it is a list of tables: write [[{key}]] with two brackets, once for each of them")
        } else {
            format!("it is one table: write [{key}] with one bracket")
        };
        Self::about(key, text)
    }

    fn unknown_key(key: &str, name: &str, known: &[String]) -> Self {
        let hint = match nearest(name, known) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        Self { key: key.to_owned(), detail: format!("unknown key `{key}`; {hint}"), of_weights: false }
    }

    fn unknown_value(key: &str, name: &str, known: &[String]) -> Self {
        let hint = nearest(name, known).map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
        let detail =
            format!("`{key}` is {}{hint} (accepted: {})", show(&Value::String(name.to_owned())), quoted(known));
        Self { key: key.to_owned(), detail, of_weights: false }
    }

    /// A key that must be there.
    pub(super) fn missing(key: &str, name: &str) -> Self {
        let detail = match (key, is_list(name)) {
            ("", true) => format!("there is no [[{name}]]"),
            ("", false) => format!("there is no [{name}]"),
            _ => format!("`{key}` lacks the key `{name}`"),
        };
        Self { key: key.to_owned(), detail, of_weights: false }
    }
}

/// The entry of a table of divisors that is none: its keys are an enumeration, and serde's path ends above those.
fn no_divisor<'a>(key: &str, found: Option<&'a Value>) -> Option<(&'a String, &'a Value)> {
    let table = found.filter(|_| key.rsplit('.').next() == Some("divide"))?.as_table()?;
    table.iter().find(|(_, value)| !value.is_integer() && !value.is_float())
}

/// Whether a key at the top is a list of tables.
pub(super) fn is_list(key: &str) -> bool {
    ["members", "classes"].contains(&key)
}

/// The value at a key.
pub(super) fn find<'a>(root: &'a Value, key: &str) -> Option<&'a Value> {
    let step = |place: &'a Value, part: &str| match place {
        Value::Table(table) => table.get(part),
        Value::Array(items) => part.parse::<usize>().ok().and_then(|idx| items.get(idx)),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => None,
    };
    key.split('.').filter(|part| !part.is_empty()).try_fold(root, step)
}

/// The unknown key itself, where the place may be the table that it is in.
fn beside(key: &str, name: &str) -> String {
    match key.rsplit('.').next() {
        Some(last) if last == name => key.to_owned(),
        _ if key.is_empty() => name.to_owned(),
        _ => format!("{key}.{name}"),
    }
}

/// Takes serde's sentence apart: "unknown field `x`, expected one of `a`, `b`".
fn named(message: &str, opening: &str) -> Option<(String, Vec<String>)> {
    let mut quoted = message.trim().strip_prefix(opening)?.split('`').skip(1).step_by(2).map(str::to_owned);
    Some((quoted.next()?, quoted.collect()))
}

/// The values that a message about an unknown one lists.
pub(super) fn variants(message: &str) -> Vec<String> {
    named(message, "unknown variant ").map(|(_, known)| known).unwrap_or_default()
}

fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a String> {
    alike(name, known, 0.6).into_iter().next()
}

fn quoted(known: &[String]) -> String {
    known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
}

/// Characters of a value that a message shows.
const SHOWN: usize = 60;

/// A value as it is written, cut where it is long.
fn show(value: &Value) -> String {
    let text = value.to_string().trim_matches('\n').replace('\n', " ");
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

/// What some keys take, better than their type says it.
fn accepted(key: &str) -> Option<String> {
    let last = key.split('.').rfind(|part| part.parse::<usize>().is_err())?;
    let in_list = key.rsplit('.').next() != Some(last);
    let text = match (last, in_list) {
        ("mask_bits", _) => "8 or 16",
        ("unit_max", _) => "a size in quotes, e.g. \"256MiB\"",
        ("color", _) if key != "outputs.color" => "a colour in quotes, e.g. \"#2a6fb0\"",
        ("bands", false) => "a list of bands counted from 1, e.g. [1, 2, 3], or of their names",
        ("mean" | "std", false) => "a list of numbers, one for each band",
        ("divide", false) => "a table of pixel types, e.g. { u8 = 255 }",
        ("centres", false) => "a list of sizes in pixels, e.g. [1024, 768, 512]",
        ("rates", false) => "a list of three whole numbers, e.g. [12, 24, 36]",
        ("decoder_channels", _) => "a whole number or a list of them",
        _ => return None,
    };
    Some(text.to_owned())
}

/// A type as serde calls it, in words.
fn words(expected: &str) -> String {
    let whole = |most: u64| format!("a whole number from 0 to {most}");
    match expected.trim() {
        "u8" => whole(u8::MAX.into()),
        "u16" => whole(u16::MAX.into()),
        "u32" => whole(u32::MAX.into()),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "text in quotes".to_owned(),
        "path string" => "a path in quotes".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(file: &str, key: &str, message: &str) -> String {
        let root = Value::Table(file.parse().unwrap());
        Fault::explain(&root, key, message, Vec::new).detail
    }

    #[test]
    fn the_nearest_key_is_named_or_all_are() {
        let message = "unknown field `dilatoin`, expected one of `strategy`, `whole_max`, `dilation`, `border`";
        let text = explain("[tiler]\ndilatoin = 1", "tiler.dilatoin", message);
        assert_eq!(text, "unknown key `tiler.dilatoin`; did you mean `dilation`?");
        let text = explain("zzz = 1", "", "unknown field `zzz`, expected `id` or `name`");
        assert_eq!(text, "unknown key `zzz`; known here: id, name");
    }

    #[test]
    fn a_wrong_value_is_shown_with_what_it_may_be() {
        let message = "unknown variant `fixde`, expected one of `whole`, `adaptive`, `fixed`";
        let text = explain("[tiler]\nstrategy = \"fixde\"", "tiler.strategy", message);
        assert_eq!(
            text,
            "`tiler.strategy` is \"fixde\"; did you mean `fixed`? (accepted: `whole`, `adaptive`, `fixed`)"
        );
        let text = explain("a = [1, \"x\"]", "a.1", "invalid type: string \"x\", expected u8");
        assert_eq!(text, "`a.1` is \"x\"; it must be a whole number from 0 to 255");
        assert_eq!(explain("a = 1", "a", "masks have 8 bits"), "`a`: masks have 8 bits");
    }

    #[test]
    fn a_key_of_an_enumeration_is_a_key() {
        let message = "unknown variant `u9`, expected one of `u8`, `u16`";
        let text = explain("[input]\ndivide = { u9 = 1 }", "input.divide", message);
        assert_eq!(text, "unknown key `input.divide.u9`; did you mean `u8`?");
    }
}
