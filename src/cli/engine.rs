//! Which shard this process does: what batch engines call a job's index, and which of the missing shards that stands for.

use std::str::FromStr;

use super::values::ShardArg;
use crate::app::Error;
use crate::plan::MOST_SHARDS;

/// A batch engine's variable for the index of a job in its array. How many there are no engine is asked: after a resubmission that is
/// how many were resubmitted.
struct Engine {
    name: &'static str,
    variable: &'static str,
    /// What the first job of an array has.
    first: u32,
    /// What stands in the variable of a job that is in no array.
    none: Option<&'static str>,
}

const ENGINES: [Engine; 7] = [
    Engine { name: "Slurm", variable: "SLURM_ARRAY_TASK_ID", first: 0, none: None },
    Engine { name: "Kubernetes", variable: "JOB_COMPLETION_INDEX", first: 0, none: None },
    Engine { name: "AWS Batch", variable: "AWS_BATCH_JOB_ARRAY_INDEX", first: 0, none: None },
    Engine { name: "HyperQueue", variable: "HQ_TASK_ID", first: 0, none: None },
    Engine { name: "PBS", variable: "PBS_ARRAY_INDEX", first: 0, none: None },
    Engine { name: "SGE", variable: "SGE_TASK_ID", first: 1, none: Some("undefined") },
    Engine { name: "LSF", variable: "LSB_JOBINDEX", first: 1, none: Some("0") },
];

/// The index that the engine which started this process has for it, counted from 0.
///
/// # Errors
/// When there is none, more than one, or it is no index.
pub(super) fn shard_of_engine(env: impl Fn(&str) -> Option<String>) -> Result<u32, Error> {
    let value = |engine: &'static Engine| {
        let value = env(engine.variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())?;
        (Some(value.as_str()) != engine.none).then_some((engine, value))
    };
    let set: Vec<(&Engine, String)> = ENGINES.iter().filter_map(value).collect();
    match set.as_slice() {
        [] => {
            let known: Vec<String> = ENGINES.iter().map(|e| format!("{} ({})", e.variable, e.name)).collect();
            let known = known.join(", ");
            Err(Error::Usage(format!(
                "--shard auto: no batch engine has set an index: none of {known}; write --shard I"
            )))
        }
        [(engine, value)] => {
            let index = value.parse().ok().and_then(|index: u32| index.checked_sub(engine.first));
            index.ok_or_else(|| {
                let Engine { name, variable, first, .. } = engine;
                Error::Usage(format!(
                    "--shard auto: {variable}={value}, and {name} has indices from {first} on; write --shard I"
                ))
            })
        }
        several => {
            let set: Vec<String> = several.iter().map(|(e, value)| format!("{}={value}", e.variable)).collect();
            let set = set.join(" and ");
            Err(Error::Usage(format!("--shard auto: {set} are set, and nobody knows which is meant; write --shard I")))
        }
    }
}

/// The shard that is meant, where a list maps what an engine counts from 0 onto those that are missing.
///
/// # Errors
/// As [`shard_of_engine`], and when the list is shorter.
pub(super) fn shard(asked: ShardArg, list: Option<&ShardList>) -> Result<u32, Error> {
    let index = match asked {
        ShardArg::Index(index) => index,
        ShardArg::Auto => shard_of_engine(|variable| std::env::var(variable).ok())?,
    };
    list.map_or(Ok(index), |list| list.at(index))
}

/// Some shards, as `3,17-19`: those that an array of jobs from 0 on is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShardList(Vec<u32>);

impl ShardList {
    /// All of them.
    pub(super) fn into_numbers(self) -> Vec<u32> {
        self.0
    }

    /// The shard that the job of this index is for.
    fn at(&self, index: u32) -> Result<u32, Error> {
        let found = usize::try_from(index).ok().and_then(|at| self.0.get(at)).copied();
        let n = self.0.len();
        let text = || format!("--shard-list names {n} shards, counted from 0 to {}: there is no index {index}", n - 1);
        found.ok_or_else(|| Error::Usage(text()))
    }
}

impl FromStr for ShardList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse().ok().filter(|n: &u32| *n < MOST_SHARDS);
        let range = |part: &str| match part.split_once('-') {
            Some((first, last)) => Some((number(first)?, number(last)?)),
            None => number(part).map(|only| (only, only)),
        };
        let (mut all, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
        for part in text.split(',') {
            let Some((first, last)) = range(part).filter(|(first, last)| first <= last) else {
                return Err(format!("`{part}` is neither a shard nor a range of them; write e.g. 3,17-19"));
            };
            all.extend(first..=last);
            if let Some(twice) = (first..=last).find(|index| !seen.insert(*index)) {
                return Err(format!("shard {twice} is named twice"));
            }
        }
        Ok(Self(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &[(&str, &str)]) -> Result<u32, String> {
        let env = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        shard_of_engine(env).map_err(|error| error.to_string())
    }

    #[test]
    fn each_engine_has_its_variable_and_counts_from_its_first() {
        for (variable, value, index) in [
            ("SLURM_ARRAY_TASK_ID", "7", 7),
            ("JOB_COMPLETION_INDEX", "0", 0),
            ("AWS_BATCH_JOB_ARRAY_INDEX", "9999", 9999),
            ("HQ_TASK_ID", "3", 3),
            ("PBS_ARRAY_INDEX", "12", 12),
            ("SGE_TASK_ID", "1", 0),
            ("LSB_JOBINDEX", "5", 4),
        ] {
            assert_eq!(of(&[(variable, value)]), Ok(index), "{variable}");
        }
        // Outside of an array SGE and LSF say so.
        let slurm = ("SLURM_ARRAY_TASK_ID", "2");
        assert_eq!(of(&[("SGE_TASK_ID", "undefined"), ("LSB_JOBINDEX", "0"), ("HQ_TASK_ID", ""), slurm]), Ok(2));
    }

    #[test]
    fn none_two_and_what_is_no_index_are_told() {
        let none = of(&[("SGE_TASK_ID", "undefined")]).unwrap_err();
        assert!(ENGINES.iter().all(|engine| none.contains(engine.variable)) && none.contains("--shard I"), "{none}");
        let two = of(&[("HQ_TASK_ID", "1"), ("SLURM_ARRAY_TASK_ID", "4")]).unwrap_err();
        assert!(two.contains("SLURM_ARRAY_TASK_ID=4 and HQ_TASK_ID=1"), "{two}");
        for (variable, value) in [("SGE_TASK_ID", "0"), ("SLURM_ARRAY_TASK_ID", "-1"), ("HQ_TASK_ID", "x")] {
            let error = of(&[(variable, value)]).unwrap_err();
            assert!(error.contains(&format!("{variable}={value}")), "{error}");
        }
    }

    #[test]
    fn a_list_maps_indices_onto_missing_shards() {
        let list: ShardList = "3,17-19, 40".parse().unwrap();
        assert_eq!(list, ShardList(vec![3, 17, 18, 19, 40]));
        assert_eq!((list.at(0).unwrap(), list.at(4).unwrap()), (3, 40));
        let error = list.at(5).unwrap_err().to_string();
        assert!(error.contains("5 shards, counted from 0 to 4"), "{error}");
        assert_eq!(shard(ShardArg::Index(2), Some(&list)).unwrap(), 18);
        for (wrong, says) in
            [("", "``"), ("3,", "``"), ("9-3", "9-3"), ("a", "`a`"), ("1-", "1-"), ("3,1-4", "3 is named twice")]
        {
            let error = wrong.parse::<ShardList>().unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
        }
        assert!("0-4000000000".parse::<ShardList>().is_err());
    }
}
