//! The values that a pickle's instructions work on.

use super::super::flaw::Flaw;
use super::heap::Value;

/// Most values at once; a pickler hands over lists by the thousand.
const MAX_VALUES: usize = 1_000_000;
/// Most marks that are open at once, which is how deep tuples and filled containers are nested.
const MAX_NESTING: usize = 1000;

/// A stack with marks, below which nothing is taken until the mark is.
#[derive(Debug, Default)]
pub(super) struct Stack {
    values: Vec<Value>,
    marks: Vec<usize>,
}

impl Stack {
    pub(super) fn push(&mut self, value: Value) -> Result<(), Flaw> {
        if self.values.len() == MAX_VALUES {
            return Err(Flaw::broken(format!("more than {MAX_VALUES} values on its stack")));
        }
        self.values.push(value);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Result<Value, Flaw> {
        let top = self.top()?;
        self.values.pop();
        Ok(top)
    }

    pub(super) fn top(&self) -> Result<Value, Flaw> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let above = self.values.get(floor..).and_then(<[Value]>::last);
        above.copied().ok_or_else(|| Flaw::broken("its pickle needs a value and has nothing on its stack"))
    }

    pub(super) fn mark(&mut self) -> Result<(), Flaw> {
        if self.marks.len() == MAX_NESTING {
            return Err(Flaw::broken(format!("nested more than {MAX_NESTING} deep")));
        }
        self.marks.push(self.values.len());
        Ok(())
    }

    /// Takes the last mark and everything above it.
    pub(super) fn pop_to_mark(&mut self) -> Result<Vec<Value>, Flaw> {
        let height = self.marks.pop().ok_or_else(|| Flaw::broken("the end of a list without its mark"))?;
        Ok(self.values.split_off(height))
    }
}
