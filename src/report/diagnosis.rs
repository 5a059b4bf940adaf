//! What `swath doctor` shows.

use std::fmt::Write;

/// Facts about this build and this machine, and what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    facts: Vec<(String, String)>,
    problems: Vec<String>,
}

impl Diagnosis {
    /// Adds a fact.
    pub fn fact(&mut self, name: &str, value: &str) {
        self.facts.push((name.to_owned(), value.to_owned()));
    }

    /// Adds a problem.
    pub fn problem(&mut self, text: &str) {
        self.problems.push(text.to_owned());
    }

    /// What is wrong.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// A line for each fact, and behind them what is wrong.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.facts {
            writeln!(text, "{name:<11} {value}").unwrap_or_default();
        }
        for problem in &self.problems {
            writeln!(text, "problem     {problem}").unwrap_or_default();
        }
        if self.problems.is_empty() {
            text.push_str("all is well\n");
        }
        text
    }
}
