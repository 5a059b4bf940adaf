//! Kubernetes: an Indexed Job, and a Job that merges. Files are JSON, which is YAML.
//!
//! Kubernetes has no job that begins after another, whatever became of it: whoever submits waits, and applies the second then.

use serde_json::{Value, json};

use super::request::{Access, EachJob, Index, Shards, Volume};
use super::{FINAL, How, JobFiles, MISSING};
use crate::app::Error;
use crate::words::shell_word;

/// What Kubernetes alone has.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    /// The container image.
    pub image: String,
    /// Claims, and where containers see them.
    pub volumes: Vec<Volume>,
    /// The kind of GPU: what the label `nvidia.com/gpu.product` of its nodes says.
    pub gpu_kind: Option<String>,
    /// The namespace, if not that of the context.
    pub namespace: Option<String>,
}

/// The most indices of a Job that has retries for each.
const MOST_INDICES: usize = 100_000;

/// How long a pod may take to end, in seconds: more than a run needs to finish what is under way.
const GRACE: u32 = 60;

/// What the containers are called.
const CONTAINER: &str = "swath";

/// The volume of `--scratch`: the node's own disk.
const SCRATCH: &str = "scratch";

impl Kubernetes {
    /// The two Jobs.
    ///
    /// # Errors
    /// When there would be too many indices, or a path lies where containers do not see it.
    pub(super) fn files(&self, shards: &Shards, job: &EachJob, warnings: &mut Vec<String>) -> Result<JobFiles, Error> {
        if shards.len() > MOST_INDICES {
            let n = shards.len();
            return Err(Error::Usage(format!(
                "{n} shards are too many for an Indexed Job: --shards {MOST_INDICES} fit"
            )));
        }
        warnings.extend(shards.in_containers(&self.volumes)?);
        let name = shell_word(&job.name);
        let within = self.namespace.as_ref().map_or(String::new(), |name| format!(" --namespace={}", shell_word(name)));
        let conditions = r#"jsonpath={.status.conditions[?(@.status=="True")].type}"#;
        let lines = format!(
            "kubectl apply --filename=\"$folder/shards.json\"\n\
             echo 'the merge is applied once the shards have ended; whoever stops this applies it later: merge.json'\n\
             while :; do\n    \
                 ended=$(kubectl get job {name}{within} --output={conditions}) || ended=\n    \
                 case \" $ended \" in *\" Complete \"* | *\" Failed \"*) break ;; esac\n    \
                 sleep 30\n\
             done\n\
             kubectl apply --filename=\"$folder/merge.json\"\n",
            conditions = shell_word(conditions)
        );
        let files =
            vec![("shards.json", text(&self.shards(shards, job)?)), ("merge.json", text(&self.merge(shards, job)?))];
        Ok(JobFiles { files, how: How::Script { tool: "kubectl", lines } })
    }

    fn shards(&self, shards: &Shards, job: &EachJob) -> Result<Value, Error> {
        let n = shards.len();
        let parallelism = shards.slots.map_or(n, |slots| n.min(slots as usize));
        Ok(self.job(
            &job.name,
            json!({
                "completionMode": "Indexed",
                "completions": n,
                "parallelism": parallelism,
                "backoffLimitPerIndex": job.retries,
                "podFailurePolicy": failures("FailIndex", &FINAL),
                "template": self.pod(shards, job, &shards.run(Index::Auto)?, job.gpus),
            }),
        ))
    }

    fn merge(&self, shards: &Shards, job: &EachJob) -> Result<Value, Error> {
        Ok(self.job(
            &format!("{}-merge", job.name),
            json!({
                "backoffLimit": job.retries,
                "podFailurePolicy": failures("FailJob", &[&FINAL[..], &MISSING].concat()),
                "template": self.pod(shards, job, &shards.merge()?, 0),
            }),
        ))
    }

    fn job(&self, name: &str, spec: Value) -> Value {
        let mut metadata = json!({ "name": name });
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = json!(namespace);
        }
        json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec })
    }

    /// What runs one command.
    fn pod(&self, shards: &Shards, job: &EachJob, words: &[String], gpus: u32) -> Value {
        let mut limits = json!({ "cpu": job.cpus.to_string(), "memory": job.memory.0.to_string() });
        if gpus > 0 {
            limits["nvidia.com/gpu"] = json!(gpus.to_string());
        }
        let name = |number: usize| format!("volume{number}");
        let read_only = |volume: &Volume| volume.access == Access::ReadOnly;
        let claim = |(number, volume): (usize, &Volume)| {
            let claim = json!({ "claimName": volume.source, "readOnly": read_only(volume) });
            json!({ "name": name(number), "persistentVolumeClaim": claim })
        };
        let mount = |(number, volume): (usize, &Volume)| json!({ "name": name(number), "mountPath": volume.mount, "readOnly": read_only(volume) });
        let mut volumes: Vec<Value> = self.volumes.iter().enumerate().map(claim).collect();
        let mut mounts: Vec<Value> = self.volumes.iter().enumerate().map(mount).collect();
        if let Some(scratch) = &shards.scratch {
            volumes.push(json!({ "name": SCRATCH, "emptyDir": {} }));
            mounts.push(json!({ "name": SCRATCH, "mountPath": scratch }));
        }
        let mut spec = json!({
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": GRACE,
            "containers": [{
                "name": CONTAINER,
                "image": self.image,
                "command": words.get(..1),
                "args": words.get(1..),
                "resources": { "limits": limits },
                "volumeMounts": mounts,
            }],
            "volumes": volumes,
        });
        if let Some(time) = job.time {
            spec["activeDeadlineSeconds"] = json!(time.0.as_secs());
        }
        if gpus > 0 {
            spec["tolerations"] = json!([{ "key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule" }]);
        }
        if let Some(kind) = self.gpu_kind.as_ref().filter(|_| gpus > 0) {
            spec["nodeSelector"] = json!({ "nvidia.com/gpu.product": kind });
        }
        json!({ "spec": spec })
    }
}

/// Which ends of a pod are for good, and which are nobody's fault. What is left counts as an attempt.
fn failures(action: &str, codes: &[u8]) -> Value {
    let mut codes = codes.to_vec();
    codes.sort_unstable();
    json!({ "rules": [
        { "action": action, "onExitCodes": { "containerName": CONTAINER, "operator": "In", "values": codes } },
        { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
    ] })
}

fn text(document: &Value) -> String {
    format!("{document:#}\n")
}
