//! Job files for batch engines: each is read as its engine reads it, and run with stand-ins for the engine's programs.
#![cfg(feature = "gdal")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::command::{Ran, Workdir, wait_until, with_scenes};

/// A plan, and a folder `bin` of programs that stand in for others: each adds a line with its name and arguments to `called`.
fn work() -> Workdir {
    let work = with_scenes(&[(40, 30)]);
    let plan = ["plan", "p.toml", "-i", "in", "--backend", "fake", "--devices", "cpu", "--save", "plan.jsonl"];
    work.swath(&plan).expect(0);
    stub(&work, "scontrol", "");
    stub(&work, "squeue", "echo ${STATE:-RUNNING}");
    stub(&work, "sleep", "");
    stub(
        &work,
        "sbatch",
        "cat \"$(eval echo \\${$#})\" >>\"$HERE/taken\"; n=$(wc -l <\"$HERE/called\"); echo $((40 + n))",
    );
    stub(&work, "swath", "printf '%s\\n' \"$@\" >\"$HERE/arguments\"; exit ${CODE:-0}");
    work
}

fn stub(work: &Workdir, name: &str, body: &str) {
    let path =
        work.write(&format!("bin/{name}"), format!("#!/bin/bash\necho \"{name} $*\" >>\"$HERE/called\"\n{body}\n"));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A program that finds the stand-ins first.
fn among_stubs(work: &Workdir, program: &str) -> Command {
    let path = std::env::join_paths(
        std::iter::once(work.path("bin")).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let mut command = Command::new(program);
    command.current_dir(work.path(".")).env("PATH", path.unwrap()).env("HERE", work.path("."));
    command
}

/// What the stand-ins were called with since the last time.
fn called(work: &Workdir) -> Vec<String> {
    let text = std::fs::read_to_string(work.path("called")).unwrap_or_default();
    drop(std::fs::remove_file(work.path("called")));
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// `swath launch ENGINE plan.jsonl` with these arguments.
fn launch(work: &Workdir, engine: &str, arguments: &[&str]) -> Ran {
    work.swath(&[&["launch", engine, "plan.jsonl"], arguments].concat())
}

fn written(work: &Workdir, name: &str) -> String {
    std::fs::read_to_string(work.path("jobs").join(name)).unwrap()
}

fn json_of(work: &Workdir, name: &str) -> Value {
    serde_json::from_str(&written(work, name)).unwrap()
}

const SLURM: [&str; 8] = ["--shards", "100", "--slots", "10", "-o", "out", "--write", "jobs"];

/// The array script as task 3 of job 7, at one of its attempts.
fn task(work: &Workdir, attempt: u32) -> Command {
    let mut command = among_stubs(work, "bash");
    command.arg(work.path("jobs/shards.sbatch")).stdin(Stdio::null()).stdout(Stdio::null());
    command.envs([("SLURM_ARRAY_JOB_ID", "7"), ("SLURM_ARRAY_TASK_ID", "3")]);
    command.env("SLURM_RESTART_COUNT", attempt.to_string());
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn slurm_scripts_say_what_was_asked() {
    let work = work();
    let more = ["--gpus", "2", "--gpu-kind", "a100", "--time", "26h", "--memory", "64GiB", "--sbatch=--partition=gpu"];
    launch(&work, "slurm", &[&SLURM[..], &more, &["--set-up", "module load cuda"]].concat()).expect(0);
    let script = written(&work, "shards.sbatch");
    for line in [
        "#SBATCH --array=0-99%10",
        "#SBATCH --gres=gpu:a100:2",
        "#SBATCH --time=1-02:00:00",
        "#SBATCH --mem=65536M",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --signal=B:TERM@60",
        "#SBATCH --partition=gpu",
        "module load cuda",
    ] {
        assert!(script.lines().any(|own| own == line), "{line}\n{script}");
    }
    let out = work.path("out");
    assert!(script.contains(&format!("#SBATCH --output=\"{}/logs/%A_%a.slurm.log\"", out.display())), "{script}");
    let merge = written(&work, "merge.sbatch");
    assert!(!merge.contains("--gres") && !merge.contains("--array"), "{merge}");
    assert!(merge.ends_with(&format!("exec swath merge {}\n", out.display())), "{merge}");
    for name in ["shards.sbatch", "merge.sbatch", "submit.sh"] {
        assert!(Command::new("bash").arg("-n").arg(work.path("jobs").join(name)).status().unwrap().success());
    }
    launch(&work, "slurm", &SLURM).says(2, &["shards.sbatch", "--write", "--overwrite"]);
    launch(&work, "slurm", &[&SLURM[..], &["--overwrite", "--gpus", "0"]].concat()).says(0, &["submit.sh"]);
    assert!(!written(&work, "shards.sbatch").contains("--gres"));
}

#[test]
fn slurm_runs_a_shard_again_for_what_may_pass_and_no_more_often_than_it_may() {
    let work = work();
    launch(&work, "slurm", &SLURM).expect(0);
    let requeues = |swath: &str, attempt, state: &str| {
        let ran = task(&work, attempt).env("CODE", swath).env("STATE", state).output().unwrap();
        assert_eq!(code(&ran).to_string(), swath, "{ran:?}");
        called(&work).iter().filter(|line| *line == "scontrol requeue 7_3").count()
    };
    for swath in ["1", "13", "14", "129", "130", "137", "143"] {
        assert_eq!(requeues(swath, 0, "RUNNING"), 1, "{swath}");
        assert_eq!(requeues(swath, 2, "RUNNING"), 1, "{swath}");
        assert_eq!(requeues(swath, 3, "RUNNING"), 0, "{swath}: three times were allowed");
        // Somebody cancelled it.
        assert_eq!(requeues(swath, 0, "COMPLETING"), 0, "{swath}");
    }
    for swath in ["0", "2", "12", "15", "20"] {
        assert_eq!(requeues(swath, 0, "RUNNING"), 0, "{swath}");
    }
    let log = std::fs::read_to_string(work.path("out/logs/7_3.2.log")).unwrap();
    assert!(log.contains("attempt 2") && log.contains("exit code 143"), "{log}");
    assert!(work.path("out/logs/7_3.0.log").is_file());

    // The controller is away at first.
    stub(&work, "scontrol", "[ \"$(grep -c scontrol \"$HERE/called\")\" -ge 3 ]");
    assert_eq!(requeues("13", 0, "RUNNING"), 3);
}

/// Starts what runs `swath`, which waits for TERM, and returns once it is there.
fn waiting(work: &Workdir, command: &mut Command) -> Child {
    let body =
        "trap 'echo told >>\"$HERE/told\"; exit 143' TERM; echo $$ >\"$HERE/pid\"; while :; do /bin/sleep 0.02; done";
    stub(work, "swath", body);
    let started = || std::fs::read_to_string(work.path("pid")).is_ok_and(|pid| pid.ends_with('\n'));
    let child = command.spawn().unwrap();
    wait_until(started);
    child
}

fn terminate(pid: u32) {
    use nix::sys::signal::{Signal, kill};
    kill(nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGTERM).unwrap();
}

#[test]
fn slurm_passes_term_on_once() {
    let work = work();
    launch(&work, "slurm", &SLURM).expect(0);
    let told = || std::fs::read_to_string(work.path("told")).unwrap_or_default().lines().count();

    let mut child = waiting(&work, &mut task(&work, 0));
    terminate(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(told(), 1);
    assert!(called(&work).contains(&"scontrol requeue 7_3".to_owned()));

    // Where Slurm ends a job it tells every process: the script does not tell swath again.
    std::fs::remove_file(work.path("pid")).unwrap();
    let mut child = waiting(&work, task(&work, 0).env("STATE", "COMPLETING"));
    terminate(child.id());
    wait_until(|| std::fs::read_to_string(work.path("called")).is_ok_and(|text| text.contains("squeue")));
    assert_eq!(told(), 1);
    terminate(std::fs::read_to_string(work.path("pid")).unwrap().trim().parse().unwrap());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!((told(), called(&work).iter().any(|line| line.starts_with("scontrol"))), (2, false));
}

#[test]
fn slurm_gets_the_array_and_a_merge_that_begins_after_any_outcome() {
    let work = work();
    launch(&work, "slurm", &SLURM).expect(0);
    let files = written(&work, "shards.sbatch") + &written(&work, "merge.sbatch");
    let submitted = || {
        let calls = called(&work);
        assert_eq!(calls.len(), 2, "{calls:?}");
        assert!(calls[0].starts_with("sbatch --parsable ") && calls[0].ends_with("shards.sbatch"), "{calls:?}");
        assert!(calls[1].contains("--dependency=afterany:41 ") && calls[1].ends_with("merge.sbatch"), "{calls:?}");
        let taken = std::fs::read_to_string(work.path("taken")).unwrap();
        std::fs::remove_file(work.path("taken")).unwrap();
        assert_eq!(taken, files);
    };
    assert!(among_stubs(&work, "sh").arg("jobs/submit.sh").status().unwrap().success());
    assert!(work.path("out/logs").is_dir());
    submitted();

    // The same without a folder: what is printed holds the files.
    let printed = launch(&work, "slurm", &SLURM[..6]);
    printed.expect(0);
    work.write("printed.sh", printed.stdout);
    assert!(among_stubs(&work, "sh").arg("printed.sh").status().unwrap().success());
    submitted();

    let submit = [&["launch", "slurm", "plan.jsonl", "--submit"], &SLURM[..6]].concat();
    let ran = among_stubs(&work, env!("CARGO_BIN_EXE_swath")).args(&submit).output().unwrap();
    assert_eq!(code(&ran), 0, "{ran:?}");
    assert!(String::from_utf8(ran.stdout).unwrap().contains("job 41"));
    submitted();

    stub(&work, "sbatch", "echo 'sbatch: error: no such partition' >&2; exit 1");
    let ran = among_stubs(&work, env!("CARGO_BIN_EXE_swath")).args(&submit).output().unwrap();
    let told = String::from_utf8(ran.stderr.clone()).unwrap();
    assert!(code(&ran) == 2 && told.contains("no such partition") && told.contains("did not take"), "{ran:?}");
}

#[test]
fn what_an_engine_cannot_do_is_refused_before_it_is_asked() {
    let work = work();
    let slurm = |more: &[&str]| launch(&work, "slurm", &[&["-o", "out"], more].concat());
    slurm(&["--shards", "1002"]).says(2, &["1002 shards", "MaxArraySize", "--shards 1001 fit", "--max-array"]);
    slurm(&["--shards", "1002", "--max-array", "4001"]).says(0, &["--array=0-1001\n"]);
    // A subset is an array of its own size.
    slurm(&["--shards", "5000", "--shard-list", "3,1700-1701"]).says(0, &["--array=0-2\n", "--shard-list 3,1700-1701"]);
    slurm(&["--shards", "10", "--shard-list", "3,10"]).says(2, &["shard 10", "0 to 9"]);
    slurm(&["--shards", "10", "--shard-list", "5-3"]).says(2, &["`5-3`", "3,17-19"]);
    slurm(&["--shards", "0"]).says(2, &["--shards"]);
    slurm(&["--shards", "10", "--name", "Two words"]).says(2, &["--name"]);
    slurm(&["--shards", "10", "--logs", "a\\b"]).says(2, &["logs", "'\\\\'"]);
    work.swath(&["launch", "slurm", "p.toml", "--shards", "10", "-o", "out"]).says(2, &["p.toml", "is no plan"]);
    work.swath(&["launch", "list", "gone.jsonl", "--shards", "10", "-o", "out"]).says(2, &["gone.jsonl"]);
    launch(&work, "list", &["--shards", "10", "-o", "out", "--submit"]).says(2, &["no engine"]);

    let batch = |n: &str, more: &[&str]| {
        let own = ["--shards", n, "--image", "i", "--queue", "q", "--volume", "fs-1:/d", "-o", "/d/out"];
        work.swath(&[&["launch", "aws-batch", "/d/plan.jsonl"], &own[..], more].concat())
    };
    batch("10001", &[]).says(2, &["10001 shards", "--shards 10000 fit"]);
    batch("10", &["--slots", "2"]).says(2, &["leave --slots out"]);
    batch("10", &["--retries", "10"]).says(2, &["10 attempts", "--retries 9"]);
    let k8s = |plan: &str, out: &str, volume: &str| {
        work.swath(&["launch", "k8s", plan, "--shards", "10", "--image", "i", "--volume", volume, "-o", out])
    };
    k8s("/d/plan.jsonl", "out", "c:/d").says(2, &["-o `out` is relative"]);
    k8s("/d/plan.jsonl", "/data/out", "c:/d").says(2, &["/data/out", "no volume", "lost"]);
    k8s("/d/plan.jsonl", "/d/out", "c:/d:ro").says(2, &["read alone"]);
    k8s("/plan.jsonl", "/d/out", "c:/d").says(0, &["warning: `/plan.jsonl` lies in no volume", "kubectl apply"]);
    k8s("/d/plan.jsonl", "/d/out", "d").says(2, &["`d` is no volume"]);
}

#[test]
fn submitting_needs_the_engines_program() {
    let work = work();
    std::fs::create_dir(work.path("empty")).unwrap();
    let without = |arguments: &[&str]| {
        let empty = work.path("empty");
        work.swath_with(&[arguments, &["--submit", "--shards", "10"]].concat(), &[("PATH", empty.to_str().unwrap())])
    };
    without(&["launch", "slurm", "plan.jsonl", "-o", "out"]).says(2, &["`sbatch`", "not on the PATH", "--write"]);
    let k8s = ["launch", "k8s", "/d/plan.jsonl", "-o", "/d/out", "--image", "i", "--volume", "c:/d"];
    without(&k8s).says(2, &["`kubectl`"]);
    let batch = ["launch", "aws-batch", "/d/plan.jsonl", "-o", "/d/out", "--image", "i", "--volume", "fs-1:/d"];
    without(&[&batch[..], &["--queue", "q"]].concat()).says(2, &["`aws`"]);
    assert!(!work.path("out").exists(), "nothing is made for what cannot be submitted");
}

#[test]
fn much_start_up_is_told() {
    let work = work();
    let list = |more: &[&str]| launch(&work, "list", &[&["--shards", "100", "-o", "out"], more].concat());
    let told = "warning: 18.1 % of the time of 100 shards is start-up; of 50 shards";
    list(&["--startup", "40s", "--work", "5h"]).says(0, &[told]);
    assert!(!list(&["--startup", "40s", "--work", "20h"]).expect(0).contains("warning"));
    // By the plan, which is small.
    list(&["--startup", "40s"]).says(0, &["is starting", "start-up: --startup", "speed: assumed"]);
    list(&[]).says(0, &["is starting", "99 of 100 shards are empty"]);
}

/// A folder that every quoting has to bear.
const ODD: &str = "a \"b\" it's 100% $HOME #1";

/// What the stand-in for swath was started with.
fn arguments(work: &Workdir) -> Vec<String> {
    std::fs::read_to_string(work.path("arguments")).unwrap().lines().map(str::to_owned).collect()
}

/// The arguments of a shard, with paths in a folder.
fn expected(folder: &Path, shard: &str, more: &[&str]) -> Vec<String> {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (plan, out) = (path("plan.jsonl"), path("out"));
    let words = ["run", "--plan", &plan, "-o", &out, "--shard", shard, "--shards", "4"];
    words.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

#[test]
fn paths_with_spaces_and_quotes_arrive_as_they_are() {
    let work = work();
    let folder = work.path(ODD);
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(work.path("plan.jsonl"), folder.join("plan.jsonl")).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (plan, out, input) = (path("plan.jsonl"), path("out"), path("in"));
    let common = ["--shards", "4", "-o", &out, "--input-root", &input];
    let run_args = ["--", "--devices", "cpu,cpu", "it's"];
    let more = ["--input-root", &input, "--devices", "cpu,cpu", "it's"];

    let list = work.swath(&[&["launch", "list", &plan], &common[..], &run_args].concat());
    assert_eq!(list.stdout.lines().count(), 4, "{list:?}");
    for (number, line) in list.expect(0).lines().take(4).enumerate() {
        assert!(among_stubs(&work, "sh").args(["-c", line]).status().unwrap().success());
        assert_eq!(arguments(&work), expected(&folder, &number.to_string(), &more));
    }
    assert!(list.stderr.contains("after all of them"), "{list:?}");

    work.swath(&[&["launch", "slurm", &plan, "--write", "jobs"], &common[..], &run_args].concat()).expect(0);
    assert_eq!(code(&task(&work, 0).output().unwrap()), 0);
    assert_eq!(arguments(&work), expected(&folder, "auto", &more));
    assert!(folder.join("out/logs/7_3.0.log").is_file());
    assert!(among_stubs(&work, "bash").arg("jobs/merge.sbatch").status().unwrap().success());
    assert_eq!(arguments(&work), ["merge", &out, "--input-root", &input]);

    let volume = format!("claim:{}", folder.display());
    let engine = ["--image", "i", "--volume", &volume, "--write", "jobs", "--overwrite"];
    work.swath(&[&["launch", "k8s", &plan], &common[..], &engine, &run_args].concat()).expect(0);
    let container = &json_of(&work, "shards.json")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], json!(expected(&folder, "auto", &more)));
    assert_eq!(container["volumeMounts"][0]["mountPath"], json!(folder.to_str().unwrap()));

    let engine = [&engine[..], &["--queue", "q"]].concat();
    work.swath(&[&["launch", "aws-batch", &plan], &common[..], &engine, &run_args].concat()).expect(0);
    assert_eq!(code(&child(&work, 1).output().unwrap()), 0);
    assert_eq!(arguments(&work), expected(&folder, "auto", &more));
}

#[test]
fn an_indexed_job_tells_mistakes_from_disruptions_and_its_merge_waits_for_the_end() {
    let work = work();
    let own = ["--image", "registry/swath:1", "--volume", "scenes:/in:ro", "--volume", "runs:/runs"];
    let more = ["--slots", "3", "--gpu-kind", "NVIDIA-L4", "--scratch", "/fast", "--namespace", "maps", "--time", "2h"];
    let common = ["--shards", "8", "-o", "/runs/a", "--retries", "5", "--write", "jobs"];
    work.swath(&[&["launch", "k8s", "/in/plan.jsonl"], &own[..], &more, &common].concat()).expect(0);

    let job = json_of(&work, "shards.json");
    assert_eq!((&job["apiVersion"], &job["kind"]), (&json!("batch/v1"), &json!("Job")));
    assert_eq!(job["metadata"], json!({ "name": "swath", "namespace": "maps" }));
    let spec = &job["spec"];
    assert_eq!((&spec["completionMode"], &spec["completions"]), (&json!("Indexed"), &json!(8)));
    assert_eq!((&spec["parallelism"], &spec["backoffLimitPerIndex"]), (&json!(3), &json!(5)));
    let rules = &spec["podFailurePolicy"]["rules"];
    assert_eq!(rules[0]["action"], "FailIndex");
    assert_eq!(rules[0]["onExitCodes"]["values"], json!([2, 12, 15, 20]));
    assert_eq!(
        (&rules[1]["action"], &rules[1]["onPodConditions"][0]["type"]),
        (&json!("Ignore"), &json!("DisruptionTarget"))
    );
    let pod = &spec["template"]["spec"];
    assert_eq!((&pod["restartPolicy"], &pod["activeDeadlineSeconds"]), (&json!("Never"), &json!(7200)));
    assert_eq!(pod["nodeSelector"], json!({ "nvidia.com/gpu.product": "NVIDIA-L4" }));
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"], json!({ "claimName": "scenes", "readOnly": true }));
    assert_eq!(pod["volumes"][2], json!({ "name": "scratch", "emptyDir": {} }));
    let container = &pod["containers"][0];
    assert_eq!((&container["image"], &container["command"]), (&json!("registry/swath:1"), &json!(["swath"])));
    assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], "1");

    let merge = json_of(&work, "merge.json");
    assert_eq!(merge["metadata"]["name"], "swath-merge");
    assert_eq!(merge["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"], json!([2, 3, 5, 12, 15, 20]));
    let container = &merge["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["merge", "/runs/a", "--scratch", "/fast"]));
    assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], Value::Null);

    // It is not over, then the server is away, then one index has failed.
    let answers = "case \"$1 $(grep -c 'kubectl get' \"$HERE/called\")\" in 'get 1') ;; 'get 2') exit 1 ;; get*) echo Failed ;; esac";
    stub(&work, "kubectl", answers);
    assert!(among_stubs(&work, "sh").arg("jobs/submit.sh").status().unwrap().success());
    let calls: Vec<String> = called(&work).into_iter().filter(|line| line.starts_with("kubectl")).collect();
    let starts: Vec<&str> = calls.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(starts, ["apply", "get", "get", "get", "apply"], "{calls:?}");
    assert!(calls[1].contains("get job swath --namespace=maps"), "{calls:?}");
    assert!(calls[0].ends_with("/shards.json") && calls[4].ends_with("/merge.json"), "{calls:?}");
}

/// A child of the array job at one of its attempts, as Batch starts it.
fn child(work: &Workdir, attempt: u32) -> Command {
    let definition = json_of(work, "shards-definition.json");
    let words: Vec<String> = serde_json::from_value(definition["containerProperties"]["command"].clone()).unwrap();
    let mut command = among_stubs(work, &words[0]);
    command
        .args(&words[1..])
        .env("AWS_BATCH_JOB_ATTEMPT", attempt.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

const BATCH: [&str; 13] = [
    "launch",
    "aws-batch",
    "/d/plan.jsonl",
    "-o",
    "/d/out",
    "--image",
    "i",
    "--queue",
    "gpus",
    "--volume",
    "fs-1:/d",
    "--write",
    "jobs",
];

#[test]
fn an_array_job_of_batch_has_attempts_by_exit_code_and_a_merge_that_depends_on_it() {
    let work = work();
    work.swath(&[&BATCH[..], &["--shards", "8", "--volume", "/mnt/fsx:/in:ro", "--job-role", "arn:r"]].concat())
        .expect(0);
    let definition = json_of(&work, "shards-definition.json");
    assert_eq!(definition["retryStrategy"]["attempts"], 4);
    let exits = |definition: &Value| -> Vec<String> {
        let rules = definition["retryStrategy"]["evaluateOnExit"].as_array().unwrap().iter();
        rules
            .map(|rule| format!("{} {}", rule["action"].as_str().unwrap(), rule["onExitCode"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(exits(&definition), ["EXIT 2*", "EXIT 12", "EXIT 15"]);
    let container = &definition["containerProperties"];
    assert_eq!(container["resourceRequirements"][2], json!({ "type": "GPU", "value": "1" }));
    assert_eq!(container["volumes"][0]["efsVolumeConfiguration"]["fileSystemId"], "fs-1");
    assert_eq!(container["volumes"][1]["host"]["sourcePath"], "/mnt/fsx");
    assert_eq!(
        container["mountPoints"][1],
        json!({ "sourceVolume": "volume1", "containerPath": "/in", "readOnly": true })
    );
    assert_eq!(container["jobRoleArn"], "arn:r");
    let merge = json_of(&work, "merge-definition.json");
    assert_eq!(exits(&merge), ["EXIT 2*", "EXIT 3", "EXIT 5", "EXIT 12", "EXIT 15"]);
    assert_eq!(merge["containerProperties"]["command"], json!(["swath", "merge", "/d/out"]));
    assert_eq!(json_of(&work, "shards.json")["arrayProperties"], json!({ "size": 8 }));

    stub(&work, "aws", "case \"$*\" in *shards.json*) echo id-1 ;; esac");
    assert!(among_stubs(&work, "sh").arg("jobs/submit.sh").status().unwrap().success());
    let calls = called(&work);
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert!(calls[..2].iter().all(|line| line.starts_with("aws batch register-job-definition")), "{calls:?}");
    assert!(calls[2].contains("shards.json") && calls[3].contains("merge.json --depends-on jobId=id-1"), "{calls:?}");

    // An array has two children or more.
    work.swath(&[&BATCH[..], &["--shards", "8", "--shard-list", "5", "--overwrite"]].concat()).expect(0);
    assert_eq!(json_of(&work, "shards.json")["arrayProperties"], Value::Null);
    let command = json_of(&work, "shards-definition.json")["containerProperties"]["command"].to_string();
    assert!(command.contains(r#""--shard","5","--shards","8""#) && !command.contains("--shard-list"), "{command}");
}

#[test]
fn a_child_of_batch_fails_only_where_it_is_tried_again() {
    let work = work();
    work.swath(&[&BATCH[..], &["--shards", "8"]].concat()).expect(0);
    let ends = |swath: &str, attempt| code(&child(&work, attempt).env("CODE", swath).output().unwrap());
    for swath in [1, 13, 14, 130, 143] {
        assert_eq!((ends(&swath.to_string(), 1), ends(&swath.to_string(), 3)), (swath, swath));
        assert_eq!(ends(&swath.to_string(), 4), 0, "the merge begins only after success");
    }
    for swath in ["0", "2", "12", "15", "20"] {
        assert_eq!(ends(swath, 1), 0);
    }
    let mut running = waiting(&work, &mut child(&work, 1));
    terminate(running.id());
    assert_eq!(running.wait().unwrap().code(), Some(143));
    assert_eq!(std::fs::read_to_string(work.path("told")).unwrap(), "told\n");
}
