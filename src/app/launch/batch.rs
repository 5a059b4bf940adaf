//! AWS Batch: two job definitions, an array job, and a job that merges after it.
//!
//! Batch begins a job only after all those that it depends on have succeeded. So the last attempt of a shard ends with 0 whatever became of it,
//! and the merge says what is missing.

use serde_json::{Value, json};

use super::request::{Access, EachJob, Index, Shards, Volume};
use super::{FINAL, How, JobFiles, shell};
use crate::app::Error;

/// What AWS Batch alone has.
#[derive(Clone, Debug)]
pub struct AwsBatch {
    /// The container image.
    pub image: String,
    /// The job queue.
    pub queue: String,
    /// File systems of EFS by identifier, or folders of the host, and where containers see them.
    pub volumes: Vec<Volume>,
    /// The role that the containers have.
    pub job_role: Option<String>,
}

/// The most children of an array job.
const MOST_CHILDREN: usize = 10_000;

/// The most further attempts.
const MOST_RETRIES: u32 = 9;

impl AwsBatch {
    /// The definitions and the jobs.
    ///
    /// # Errors
    /// When Batch has no such array or so many attempts, or a path lies where containers do not see it.
    pub(super) fn files(&self, shards: &Shards, job: &EachJob, warnings: &mut Vec<String>) -> Result<JobFiles, Error> {
        if shards.len() > MOST_CHILDREN {
            let n = shards.len();
            return Err(Error::Usage(format!(
                "{n} shards are too many for an array job: --shards {MOST_CHILDREN} fit"
            )));
        }
        if shards.slots.is_some() {
            let text = "AWS Batch begins children in an order of its own, and as many at a time as the queue has room for: leave --slots out, and \
                        shards are of equal cost";
            return Err(Error::Usage(text.into()));
        }
        if job.retries > MOST_RETRIES {
            return Err(Error::Usage(format!("AWS Batch has up to 10 attempts: --retries {MOST_RETRIES} at most")));
        }
        warnings.extend(shards.in_containers(&self.volumes)?);
        let lines = "for job in shards merge; do\n    \
                         aws batch register-job-definition --cli-input-json \"file://$folder/$job-definition.json\"\n\
                     done\n\
                     shards=$(aws batch submit-job --cli-input-json \"file://$folder/shards.json\" --query jobId --output text)\n\
                     aws batch submit-job --cli-input-json \"file://$folder/merge.json\" --depends-on \"jobId=$shards\"\n";
        let merge = EachJob { name: format!("{}-merge", job.name), gpus: 0, ..job.clone() };
        let files = vec![
            ("shards-definition.json", text(&self.definition(job, &child(shards, job)?, &codes(&["2*", "12", "15"])))),
            (
                "merge-definition.json",
                text(&self.definition(&merge, &shards.merge()?, &codes(&["2*", "3", "5", "12", "15"]))),
            ),
            ("shards.json", text(&self.submission(job, shards.len()))),
            ("merge.json", text(&self.submission(&merge, 1))),
        ];
        Ok(JobFiles { files, how: How::Script { tool: "aws", lines: lines.to_owned() } })
    }

    fn definition(&self, job: &EachJob, words: &[String], for_good: &[Value]) -> Value {
        let amount = |kind: &str, value: u64| json!({ "type": kind, "value": value.to_string() });
        let mut amounts = vec![amount("VCPU", job.cpus.into()), amount("MEMORY", job.memory.0.div_ceil(1 << 20))];
        if job.gpus > 0 {
            amounts.push(amount("GPU", job.gpus.into()));
        }
        let name = |number: usize| format!("volume{number}");
        let volume = |(number, volume): (usize, &Volume)| {
            if volume.source.starts_with('/') {
                return json!({ "name": name(number), "host": { "sourcePath": volume.source } });
            }
            let system = json!({ "fileSystemId": volume.source, "transitEncryption": "ENABLED" });
            json!({ "name": name(number), "efsVolumeConfiguration": system })
        };
        let mount = |(number, volume): (usize, &Volume)| {
            let read_only = volume.access == Access::ReadOnly;
            json!({ "sourceVolume": name(number), "containerPath": volume.mount, "readOnly": read_only })
        };
        let mut container = json!({
            "image": self.image,
            "command": words,
            "resourceRequirements": amounts,
            "volumes": self.volumes.iter().enumerate().map(volume).collect::<Vec<_>>(),
            "mountPoints": self.volumes.iter().enumerate().map(mount).collect::<Vec<_>>(),
        });
        if let Some(role) = &self.job_role {
            container["jobRoleArn"] = json!(role);
        }
        let mut definition = json!({
            "jobDefinitionName": job.name,
            "type": "container",
            "platformCapabilities": ["EC2"],
            "containerProperties": container,
            "retryStrategy": { "attempts": job.retries + 1, "evaluateOnExit": for_good },
        });
        if let Some(time) = job.time {
            definition["timeout"] = json!({ "attemptDurationSeconds": time.0.as_secs() });
        }
        definition
    }

    /// A job; of several children it is an array.
    fn submission(&self, job: &EachJob, n: usize) -> Value {
        let mut submission = json!({ "jobName": job.name, "jobQueue": self.queue, "jobDefinition": job.name });
        if n > 1 {
            submission["arrayProperties"] = json!({ "size": n });
        }
        submission
    }
}

/// Exit codes that end a job for good, by patterns, of which Batch takes five. What none of them is like is tried again.
fn codes(patterns: &[&str]) -> Vec<Value> {
    patterns.iter().map(|pattern| json!({ "onExitCode": pattern, "action": "EXIT" })).collect()
}

/// The command of a child. An array has two children or more: one shard alone has no index.
fn child(shards: &Shards, job: &EachJob) -> Result<Vec<String>, Error> {
    let index = match shards.numbers()[..] {
        [number] => Index::Number(number),
        _ => Index::Auto,
    };
    let attended = shell::attended("\"$@\"", "kill -TERM \"$pid\"");
    let for_good = FINAL.map(|code| code.to_string()).join(" | ");
    let attempts = job.retries + 1;
    let script = format!(
        "{attended}echo \"swath ended with exit code $code\"\n\
         last=${{AWS_BATCH_JOB_ATTEMPT:-1}}\n\
         case \"$code\" in 0 | {for_good}) last={attempts} ;; esac\n\
         [ \"$last\" -lt {attempts} ] || exit 0 # so that the merge begins, which says what is missing\n\
         exit \"$code\"\n"
    );
    Ok([vec!["sh".to_owned(), "-c".to_owned(), script, "swath".to_owned()], shards.run(index)?].concat())
}

fn text(document: &Value) -> String {
    format!("{document:#}\n")
}
