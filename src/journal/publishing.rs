//! What of a journal is published, in the words of the whole plan where its own is a part of it.

use super::ledger::{AttemptCounts, LedgerError, Publisher};
use super::record::{Conceded, ConcessionRecord, FailureRecord, Record};

/// Publishes records of a part of a plan.
pub struct Publishing {
    publisher: Publisher,
    /// SHA-256 of the whole plan.
    plan: String,
    /// Where in it the part begins.
    first_unit: u32,
}

impl Publishing {
    /// Of a part that begins at this unit of the whole plan.
    pub fn new(publisher: Publisher, plan: String, first_unit: u32) -> Self {
        Self { publisher, plan, first_unit }
    }

    /// Publishes what is of use to others.
    pub(super) fn tell(&self, records: &[Record]) -> Result<(), LedgerError> {
        let told: Vec<Record> = records.iter().filter_map(|record| self.as_told(record)).collect();
        if told.is_empty() { Ok(()) } else { self.publisher.append(&told) }
    }

    fn as_told(&self, record: &Record) -> Option<Record> {
        match record {
            Record::Scene(_) | Record::Artefact(_) => Some(record.clone()),
            Record::Failure(failure) => {
                let unit = failure.unit.map(|unit| unit + self.first_unit);
                Some(Record::Failure(FailureRecord { unit, ..failure.clone() }))
            }
            Record::Concession(conceded) => {
                let what = conceded.what.moved_up(self.first_unit);
                Some(Record::Concession(ConcessionRecord { plan: self.plan.clone(), what }))
            }
            Record::Archive(_) | Record::Run(_) | Record::DeviceFault(_) => None,
        }
    }

    /// Says that this was all.
    pub(super) fn close(self, counts: AttemptCounts) -> Result<(), LedgerError> {
        self.publisher.close(counts)
    }
}

impl Conceded {
    /// The unit, where it is about one.
    pub fn unit(&self) -> Option<u32> {
        match self {
            Self::SingleTiles { unit } => Some(*unit),
            Self::FewerPasses { .. } => None,
        }
    }

    /// The units that it is about.
    pub fn units(&self) -> Vec<u32> {
        match self {
            Self::SingleTiles { unit } => vec![*unit],
            Self::FewerPasses { units, .. } => units.iter().flat_map(|[first, end]| *first..*end).collect(),
        }
    }

    /// The same where the units have higher numbers.
    fn moved_up(&self, by: u32) -> Self {
        match self {
            Self::SingleTiles { unit } => Self::SingleTiles { unit: unit + by },
            Self::FewerPasses { units, passes, seconds } => {
                let units = units.iter().map(|[first, end]| [first + by, end + by]).collect();
                Self::FewerPasses { units, passes: passes.clone(), seconds: *seconds }
            }
        }
    }

    /// The same by the numbers that units have in a part of the plan; `None` where it is about others as well.
    pub fn within(&self, part: &std::ops::Range<u32>) -> Option<Self> {
        let own = |unit: u32| part.contains(&unit).then(|| unit - part.start);
        match self {
            Self::SingleTiles { unit } => own(*unit).map(|unit| Self::SingleTiles { unit }),
            Self::FewerPasses { units, passes, seconds } => {
                let moved = |[first, end]: &[u32; 2]| {
                    let is_own = *first >= part.start && *end <= part.end;
                    is_own.then(|| [first - part.start, end - part.start])
                };
                let units = units.iter().map(moved).collect::<Option<_>>()?;
                Some(Self::FewerPasses { units, passes: passes.clone(), seconds: *seconds })
            }
        }
    }
}

impl std::fmt::Debug for Publishing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publishing").field("plan", &self.plan).finish_non_exhaustive()
    }
}
