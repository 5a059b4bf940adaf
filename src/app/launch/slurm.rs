//! Slurm: an array, and a job that merges after it, whatever became of its tasks.
//!
//! Slurm runs a job again when its host is lost, and never for its exit code: the script asks for that itself, as often as it may. It does
//! not when a person has cancelled the job. The state tells: only a job that nobody has ended is RUNNING.

use super::request::{EachJob, Index, Shards, text_of};
use super::{FINAL, How, JobFiles, shell};
use crate::app::Error;
use crate::words::{absolute, shell_word};

/// What Slurm alone has.
#[derive(Clone, Debug)]
pub struct Slurm {
    /// The kind of GPU, as the site calls it.
    pub gpu_kind: Option<String>,
    /// The most tasks that an array may have.
    pub max_array: u32,
    /// More options of `sbatch`, a line each.
    pub options: Vec<String>,
    /// Lines of shell before swath starts.
    pub set_up: Vec<String>,
    /// A folder for logs.
    pub logs: Option<std::path::PathBuf>,
}

/// How long before the end of its time a job is told, in seconds: more than a run needs to finish what is under way.
const EARLY: u32 = 60;

impl Slurm {
    /// The most tasks of an array where nobody has changed it.
    pub const MAX_ARRAY: u32 = 1001;

    /// The two scripts.
    ///
    /// # Errors
    /// When the array would be too large, the plan cannot be read, or a name cannot be written into a script.
    pub(super) fn files(&self, shards: &Shards, job: &EachJob) -> Result<JobFiles, Error> {
        let shards = &shards.on_hosts()?;
        self.check(shards.len())?;
        let logs = match &self.logs {
            Some(logs) => text_of(&absolute(logs))?,
            None => text_of(&shards.out.join("logs"))?,
        };
        if let Some(bad) = logs.chars().find(|c| *c == '\\' || c.is_control()) {
            return Err(Error::Usage(format!(
                "Slurm cannot write logs into `{logs}`, for the character {bad:?} in it: choose another --logs"
            )));
        }
        let lines = format!(
            "mkdir -p {folder}\n\
             shards=$(sbatch --parsable \"$folder/shards.sbatch\")\nshards=${{shards%%;*}}\n\
             merge=$(sbatch --parsable --dependency=\"afterany:$shards\" \"$folder/merge.sbatch\")\n\
             echo \"shards: job $shards; after them, whatever became of each, the merge: job ${{merge%%;*}}\"\n",
            folder = shell_word(&logs)
        );
        let files =
            vec![("shards.sbatch", self.array(shards, job, &logs)?), ("merge.sbatch", self.merge(shards, job, &logs)?)];
        Ok(JobFiles { files, how: How::Script { tool: "sbatch", lines } })
    }

    /// Refuses arrays that Slurm would refuse. Several would each have slots of their own, and begin in no common order.
    fn check(&self, n_shards: usize) -> Result<(), Error> {
        if n_shards > self.max_array as usize {
            return Err(Error::Usage(format!(
                "{n_shards} shards are too many for an array of Slurm: --shards {most} fit, or give the site's own limit with --max-array \
                 (scontrol show config tells MaxArraySize)",
                most = self.max_array
            )));
        }
        let lines = self.options.iter().chain(&self.set_up);
        match lines.chain(&self.gpu_kind).find(|line| line.contains(['\n', '\r'])) {
            Some(line) => Err(Error::Usage(format!("{line:?} is more than a line: give each line by itself"))),
            None => Ok(()),
        }
    }

    /// What `sbatch` reads, up to the first command.
    fn head(&self, job: &EachJob, more: &[String]) -> String {
        let mut lines = vec![format!("--job-name={}", job.name), "--nodes=1".into(), "--ntasks=1".into()];
        lines.push(format!("--cpus-per-task={}", job.cpus));
        lines.push(format!("--mem={}M", job.memory.0.div_ceil(1 << 20)));
        if let Some(time) = job.time {
            let seconds = time.0.as_secs();
            let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
            lines.push(format!("--time={days}-{hours:02}:{:02}:{:02}", seconds / 60 % 60, seconds % 60));
        }
        lines.push(format!("--signal=B:TERM@{EARLY}"));
        lines.extend(["--requeue".into(), "--open-mode=append".into()]);
        let lines = lines.iter().chain(more).chain(&self.options);
        let head: String = lines.map(|line| format!("#SBATCH {line}\n")).collect();
        let set_up: String = self.set_up.iter().map(|line| format!("{line}\n")).collect();
        format!("#!/bin/bash\n{head}\n{set_up}")
    }

    /// The script of each shard.
    fn array(&self, shards: &Shards, job: &EachJob, logs: &str) -> Result<String, Error> {
        let (last, slots) = (shards.len() - 1, shards.slots.map_or(String::new(), |slots| format!("%{slots}")));
        let mut more =
            vec![format!("--array=0-{last}{slots}"), format!("--output={}", in_option(logs, "%A_%a.slurm.log"))];
        if job.gpus > 0 {
            let kind = self.gpu_kind.as_ref().map_or(String::new(), |kind| format!("{kind}:"));
            more.push(format!("--gres=gpu:{kind}{}", job.gpus));
        }
        let tells = r#"[ "$(state)" = COMPLETING ] || kill -TERM "$pid""#;
        let attended = shell::attended(&shell::command(&shards.run(Index::Auto)?), tells);
        let is_final = FINAL.map(|code| code.to_string()).join(" | ");
        Ok(format!(
            r#"{head}most={retries}
task=${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}} attempt=${{SLURM_RESTART_COUNT:-0}}
logs={logs}
{{ mkdir -p "$logs" && : >>"$logs/$task.$attempt.log"; }} && exec >>"$logs/$task.$attempt.log" 2>&1
echo "shard job $task, attempt $attempt, on $(hostname), $(date -u +%FT%TZ)"
# A job that somebody ends is COMPLETING: then Slurm has told every process, and what is told twice stops at once.
state() {{ timeout 20 squeue --noheader --jobs="$task" --format=%T 2>/dev/null; }}
{attended}echo "swath ended with exit code $code"
case "$code" in
    0) ;;
    {is_final}) echo "no further attempt would end otherwise" ;;
    *)
        if [ "$(state)" = COMPLETING ]; then
            echo "Slurm ended it: no further attempt, unless Slurm makes one"
        elif [ "$attempt" -ge "$most" ]; then
            echo "that was the last of $((most + 1)) attempts"
        else
            # The controller may be away for a while.
            for _ in 1 2 3 4 5 6 7 8 9 10; do
                scontrol requeue "$task" && break
                sleep 30
            done
        fi
        ;;
esac
exit "$code"
"#,
            head = self.head(job, &more),
            retries = job.retries,
            logs = shell_word(logs),
        ))
    }

    /// The script that merges.
    fn merge(&self, shards: &Shards, job: &EachJob, logs: &str) -> Result<String, Error> {
        let more = [format!("--output={}", in_option(logs, "merge_%j.log"))];
        let job = EachJob { name: format!("{}-merge", job.name), ..job.clone() };
        Ok(format!("{}exec {}\n", self.head(&job, &more), shell::command(&shards.merge()?)))
    }
}

/// A file as the value of an option: `sbatch` takes quotes, and `%` for itself where it is doubled.
fn in_option(folder: &str, pattern: &str) -> String {
    format!("\"{}/{pattern}\"", folder.replace('%', "%%").replace('"', "\\\""))
}
