//! What `swath launch` is asked of shards, jobs and volumes, and the command lines that follow.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::app::Error;
use crate::config::{ByteSize, Span};
use crate::plan::PlanFile;
use crate::report::in_ranges;
use crate::words::percent;

/// Above this share, start-up is told of.
const MUCH_STARTUP: f64 = 0.1;

/// The shards of a plan, and what merges them.
#[derive(Clone, Debug)]
pub struct Shards {
    /// The plan.
    pub plan: PathBuf,
    /// The run directory that all hosts share.
    pub out: PathBuf,
    /// How many shards the plan is cut into.
    pub count: u32,
    /// How many run at a time.
    pub slots: Option<u32>,
    /// Those that run; none for all.
    pub list: Option<Vec<u32>>,
    /// A folder on each host's own disk.
    pub scratch: Option<PathBuf>,
    /// What the scenes' paths are relative to.
    pub input_root: Option<PathBuf>,
    /// How the hosts call swath.
    pub program: String,
    /// More arguments of each run.
    pub run_args: Vec<String>,
    /// More arguments of the merge.
    pub merge_args: Vec<String>,
}

/// What each job gets.
#[derive(Clone, Debug)]
pub struct EachJob {
    /// What the jobs are called.
    pub name: String,
    /// GPUs of a shard; a merge has none.
    pub gpus: u32,
    /// Cores.
    pub cpus: u32,
    /// Memory.
    pub memory: ByteSize,
    /// How long a job may take.
    pub time: Option<Span>,
    /// How often a shard is tried again.
    pub retries: u32,
}

/// What somebody knows of the time it takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Start-up of one shard.
    pub startup: Option<Duration>,
    /// All work of these shards, as if one slot did it.
    pub work: Option<Duration>,
}

/// A folder of the host, a claim or a file system, where containers see it: `SOURCE:/PATH`, or `SOURCE:/PATH:ro`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub(super) source: String,
    pub(super) mount: String,
    pub(super) access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, access) = match text.strip_suffix(":ro") {
            Some(rest) => (rest, Access::ReadOnly),
            None => (text, Access::ReadWrite),
        };
        let parts = rest.split_once(':').filter(|(source, mount)| {
            !source.is_empty() && mount.starts_with('/') && !mount.contains(':') && mount.len() > 1
        });
        let (source, mount) = parts
            .ok_or_else(|| format!("`{text}` is no volume; write SOURCE:/PATH, or SOURCE:/PATH:ro to read alone"))?;
        Ok(Self { source: source.to_owned(), mount: mount.trim_end_matches('/').to_owned(), access })
    }
}

/// What is to be said of so many shards, if start-up is much of their time.
pub(super) fn much_startup(startup: Duration, work: Duration, n_shards: usize) -> Option<String> {
    let (startup, work) = (startup.as_secs_f64(), work.as_secs_f64());
    let all = startup * n_shards as f64;
    let share = all / (all + work);
    if share.is_nan() || share <= MUCH_STARTUP {
        return None;
    }
    let few = (work * MUCH_STARTUP / (1.0 - MUCH_STARTUP) / startup).floor().max(1.0);
    Some(format!(
        "{} of the time of {n_shards} shards is start-up; of {few} shards it would be a tenth, on fewer slots",
        percent(share)
    ))
}

/// Which shard a process does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Index {
    /// What the engine tells it.
    Auto,
    /// This one.
    Number(u32),
}

impl Shards {
    /// How many run.
    pub(super) fn len(&self) -> usize {
        self.list.as_ref().map_or(self.count as usize, Vec::len)
    }

    /// Those that run, by number.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.list.clone().unwrap_or_else(|| (0..self.count).collect())
    }

    /// Refuses what no engine can do.
    ///
    /// # Errors
    /// When a shard is named that there is not, or a name cannot be written into a job file.
    pub(super) fn check(&self) -> Result<(), Error> {
        if let Some(number) = self.list.iter().flatten().find(|number| **number >= self.count) {
            let (count, last) = (self.count, self.count - 1);
            return Err(Error::Usage(format!(
                "--shard-list names shard {number}, and the shards of {count} are 0 to {last}: give the --shards that they were cut with"
            )));
        }
        let words = [self.run(Index::Auto)?, self.merge()?].concat();
        match words.iter().find(|word| word.contains(char::is_control)) {
            Some(word) => Err(Error::Usage(format!(
                "{word:?} cannot be written into job files: choose a name without control characters"
            ))),
            None => Ok(()),
        }
    }

    /// The same where hosts see the folders of this machine: paths from the root on.
    ///
    /// # Errors
    /// When the plan cannot be read.
    pub(super) fn on_hosts(&self) -> Result<Self, Error> {
        PlanFile::open(&self.plan)?;
        let absolute = |path: &PathBuf| {
            let wrong = |e| Error::Usage(format!("`{}` cannot be written as an absolute path: {e}", path.display()));
            std::path::absolute(path).map_err(wrong)
        };
        Ok(Self {
            plan: absolute(&self.plan)?,
            out: absolute(&self.out)?,
            scratch: self.scratch.as_ref().map(absolute).transpose()?,
            input_root: self.input_root.as_ref().map(absolute).transpose()?,
            ..self.clone()
        })
    }

    /// Refuses paths that containers do not see, and says what the image must hold.
    ///
    /// # Errors
    /// When a path is relative, or the run directory would be lost with the container.
    pub(super) fn in_containers(&self, volumes: &[Volume]) -> Result<Vec<String>, Error> {
        let named = [("the plan", Some(&self.plan)), ("-o", Some(&self.out))];
        let more = [("--scratch", self.scratch.as_ref()), ("--input-root", self.input_root.as_ref())];
        for (what, path) in named.into_iter().chain(more).filter_map(|(what, path)| Some((what, path?))) {
            if !path.is_absolute() {
                return Err(Error::Usage(format!(
                    "{what} `{}` is relative: give it from the root on, as containers see it",
                    path.display()
                )));
            }
        }
        let covering = |path: &Path| volumes.iter().find(|volume| path.starts_with(&volume.mount));
        match covering(&self.out) {
            Some(Volume { access: Access::ReadWrite, .. }) => {}
            found => {
                let how = if found.is_some() { "in a volume that is read alone" } else { "in no volume" };
                return Err(Error::Usage(format!(
                    "-o `{}` lies {how}: what is written there would be lost; give --volume SOURCE:/PATH with a PATH above it",
                    self.out.display()
                )));
            }
        }
        let outside =
            [Some(&self.plan), self.input_root.as_ref()].into_iter().flatten().filter(|path| covering(path).is_none());
        let told = |path: &PathBuf| format!("`{}` lies in no volume: the image must hold it", path.display());
        Ok(outside.map(told).collect())
    }

    /// The command of a shard, word for word.
    ///
    /// # Errors
    /// When a path is no Unicode.
    pub(super) fn run(&self, index: Index) -> Result<Vec<String>, Error> {
        let number = match index {
            Index::Auto => "auto".to_owned(),
            Index::Number(number) => number.to_string(),
        };
        let mut words = vec![self.program.clone(), "run".to_owned(), "--plan".to_owned(), text_of(&self.plan)?];
        words.extend(["-o".to_owned(), text_of(&self.out)?, "--shard".to_owned(), number]);
        words.extend(["--shards".to_owned(), self.count.to_string()]);
        if let Some(slots) = self.slots {
            words.extend(["--slots".to_owned(), slots.to_string()]);
        }
        if let (Index::Auto, Some(list)) = (index, &self.list) {
            words.extend(["--shard-list".to_owned(), in_ranges(list)]);
        }
        words.extend(self.places()?);
        words.extend(self.run_args.iter().cloned());
        Ok(words)
    }

    /// What hosts have where, for both commands.
    fn places(&self) -> Result<Vec<String>, Error> {
        let mut words = Vec::new();
        for (option, path) in [("--scratch", &self.scratch), ("--input-root", &self.input_root)] {
            if let Some(path) = path {
                words.extend([option.to_owned(), text_of(path)?]);
            }
        }
        Ok(words)
    }

    /// The command that merges them.
    ///
    /// # Errors
    /// When a path is no Unicode.
    pub(super) fn merge(&self) -> Result<Vec<String>, Error> {
        let mut words = vec![self.program.clone(), "merge".to_owned(), text_of(&self.out)?];
        words.extend(self.places()?);
        words.extend(self.merge_args.iter().cloned());
        Ok(words)
    }
}

/// A path as job files have it.
///
/// # Errors
/// When it is no Unicode.
pub(super) fn text_of(path: &Path) -> Result<String, Error> {
    let wrong = || Error::Usage(format!("`{}` is no Unicode, as job files are: choose another name", path.display()));
    path.to_str().map(str::to_owned).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_have_a_source_and_a_path_from_the_root_on() {
        let volume: Volume = "scenes:/data/in/:ro".parse().unwrap();
        assert_eq!(
            (volume.source.as_str(), volume.mount.as_str(), volume.access),
            ("scenes", "/data/in", Access::ReadOnly)
        );
        assert_eq!("/mnt/fsx:/data".parse::<Volume>().unwrap().access, Access::ReadWrite);
        for wrong in ["", "scenes", "scenes:data", ":/data", "scenes:/", "a:/b:/c"] {
            assert!(wrong.parse::<Volume>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn start_up_is_told_of_above_a_tenth() {
        let told = |work, n| much_startup(Duration::from_secs(40), Duration::from_secs(work), n);
        assert_eq!(told(90 * 400, 100), None);
        let text = told(90 * 200, 100).unwrap();
        assert!(text.contains("18.1 %") && text.contains("of 50 shards"), "{text}");
        assert!(told(1, 1).unwrap().contains("of 1 shards"));
        assert_eq!(much_startup(Duration::ZERO, Duration::ZERO, 3), None);
    }
}
