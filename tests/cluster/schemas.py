"""Holds the files of `swath launch k8s` and `swath launch aws-batch` against the published schemas: python3 tests/cluster/schemas.py SWATH

Needs kubernetes-validate (the JSON schemas of Kubernetes) and botocore (the service model of AWS Batch) from PyPI; without one of them it says so.
Nothing is sent anywhere.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

COMMON = ["--shards", "200", "-o", "/runs/a b", "--gpus", "2", "--time", "6h", "--scratch", "/fast", "--input-root", "/scenes"]
IMAGE = ["--image", "registry.example.org/swath:0.1", "--volume", "scenes:/scenes:ro"]
CASES = {
    "k8s": [
        [*IMAGE, "--volume", "runs:/runs", *COMMON, "--slots", "16", "--gpu-kind", "NVIDIA-H100-80GB-HBM3", "--namespace", "maps"],
        [*IMAGE, "--volume", "runs:/runs", "--shards", "1", "-o", "/runs/b", "--gpus", "0"],
        [*IMAGE, "--volume", "runs:/runs", "--shards", "300", "--shard-list", "3,17-19", "-o", "/runs/b"],
    ],
    "aws-batch": [
        [*IMAGE, "--queue", "gpus", "--volume", "/mnt/fsx:/runs", "--job-role", "arn:aws:iam::123456789012:role/swath", *COMMON],
        [*IMAGE, "--queue", "gpus", "--volume", "fs-12345678:/runs", "--shards", "1", "-o", "/runs/b", "--gpus", "0"],
        [*IMAGE, "--queue", "gpus", "--volume", "fs-12345678:/runs", "--shards", "300", "--shard-list", "3,17-19", "-o", "/runs/b"],
    ],
}


def files(swath, engine, arguments):
    """The JSON files of a command by name."""
    with tempfile.TemporaryDirectory() as folder:
        command = [swath, "launch", engine, "/scenes/plan.jsonl", "--write", folder, *arguments]
        subprocess.run(command, check=True, capture_output=True)
        return {path.name: json.loads(path.read_text()) for path in sorted(pathlib.Path(folder).glob("*.json"))}


def kubernetes(swath):
    try:
        import kubernetes_validate
    except ImportError:
        return "k8s: skipped: python3 -m pip install kubernetes-validate"
    versions = ["1.29", "1.33", kubernetes_validate.latest_version()]
    n = 0
    for arguments in CASES["k8s"]:
        for name, document in files(swath, "k8s", arguments).items():
            for version in versions:
                kubernetes_validate.validate(document, version, strict=True)
                n += 1
    broken = files(swath, "k8s", CASES["k8s"][0])["shards.json"]
    broken["spec"]["backoffLimitPerIndexes"] = 1
    try:
        kubernetes_validate.validate(broken, versions[-1], strict=True)
    except kubernetes_validate.ValidationError:
        return f"k8s: {n} files are as the schemas of Kubernetes {', '.join(versions)} have them"
    raise SystemExit("k8s: a key that there is not was taken: the schemas say nothing")


def aws_batch(swath):
    try:
        import botocore.session
        import botocore.validate
    except ImportError:
        return "aws-batch: skipped: python3 -m pip install botocore"
    model = botocore.session.get_session().get_service_model("batch")

    def complaints(name, document):
        operation = "RegisterJobDefinition" if name.endswith("-definition.json") else "SubmitJob"
        shape = model.operation_model(operation).input_shape
        report = botocore.validate.ParamValidator().validate(document, shape)
        return [text for text in [report.generate_report(), *unknown(document, shape)] if text]

    n = 0
    for arguments in CASES["aws-batch"]:
        for name, document in files(swath, "aws-batch", arguments).items():
            found = complaints(name, document)
            if found:
                raise SystemExit(f"aws-batch: {name}: {found}")
            n += 1
    broken = {"jobName": "a", "jobQueue": "b", "jobDefinition": "c", "arrayProperties": {"size": "2"}}
    if not complaints("shards.json", broken):
        raise SystemExit("aws-batch: a size that is text was taken: the model says nothing")
    return f"aws-batch: {n} files are as the service model of {model.api_version} has them"


def unknown(value, shape, at=""):
    """Keys that a shape has not: they would be left out without a word."""
    if shape.type_name == "structure":
        for key, inner in value.items():
            if key not in shape.members:
                yield f"{at}.{key} is unknown"
            else:
                yield from unknown(inner, shape.members[key], f"{at}.{key}")
    elif shape.type_name == "list":
        for number, inner in enumerate(value):
            yield from unknown(inner, shape.member, f"{at}[{number}]")


if __name__ == "__main__":
    for check in (kubernetes, aws_batch):
        print(check(sys.argv[1]))
