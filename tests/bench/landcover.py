"""What each trick of the recipe is worth on real labelled imagery: members, ensembles, views, overlap, bits, distillation, pseudo labels, snapshots.

For each seed: trains every member of the pipeline file, scores each on the test scenes, and their mean with equal weights and with those that
`swath eval --select` picks on the validation scenes. Then, each of these once more with one thing changed: views, overlap of tiles, bits a
weight; and the first member again with the others' mean as its teacher, with labels that the ensemble makes of the validation scenes, with the
mean of its snapshots at warm restarts. Test scenes are only scored; nothing is chosen by them. Prints IoU of each class and their mean, the mean
of all seeds and its standard deviation, as a table.

    python landcover.py --swath SWATH --data landcover/landsat-wc --pipeline landcover/landsat-wc.toml --out FOLDER
        [--seeds 0 1 2] [--rows members tiles views bits distill pseudo snapshots] [--set KEY=VALUE ..] [--threads 1]

DATA has train/, val/ and test/ with images/ and masks/. FOLDER keeps trainings and scores: the same command goes on, and other rows are added
to what is there. --set goes to all trainings alike, e.g. --set train.epochs=2; take another FOLDER for it.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tomllib

ROWS = ["members", "tiles", "views", "bits", "distill", "pseudo", "snapshots"]
BITS = [8, 6, 5, 4, 3]
VIEWS = ["identity", "hflip", "vflip", "rot180"]
CONFIDENT, WEIGHT = 0.8, 0.5


class Bench:
    def __init__(self, arguments: argparse.Namespace, seed: int) -> None:
        self.arguments, self.seed = arguments, seed
        self.out, self.data = arguments.out.resolve() / str(seed), arguments.data.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.text = arguments.pipeline.read_text()
        self.names = [member["name"] for member in tomllib.loads(self.text)["members"]]

    def swath(self, *command: object) -> str:
        text = [self.arguments.swath, *map(str, command)]
        ran = subprocess.run(text, stdout=subprocess.PIPE, text=True)
        if ran.returncode not in (0, 3):
            raise SystemExit(f"{' '.join(text)} ended with {ran.returncode}")
        return ran.stdout

    def train(self, name: str, member: str, *settings: str, listed: pathlib.Path | None = None) -> pathlib.Path:
        folder = self.out / "trained" / name
        if not (folder / "report.html").exists():
            options = [part for setting in [f"train.seed={self.seed}", *self.arguments.settings, *settings] for part in ("--set", setting)]
            where = ["-i", listed or self.data, "-o", folder, "--threads", self.arguments.threads, "--quiet"]
            self.swath("train", self.arguments.pipeline, "--member", member, *where, *options)
        return folder

    def ensemble(self, name: str, weights: list[pathlib.Path], shares: list[float] | None = None) -> pathlib.Path:
        """A pipeline file of trained networks: the head and the tail of the one that they were trained by, and their bundles."""
        head, tail = self.text.split("[[members]]", 1)[0], self.text.split("[outputs]", 1)[1]
        shares = shares or [1.0] * len(weights)
        blocks = [f'[[members]]\nname = "m{at}"\nweights = "{file}"\nweight = {share}\n\n' for at, (file, share) in enumerate(zip(weights, shares))]
        path = self.out / f"{name}.toml"
        path.write_text(head + "".join(blocks) + "[outputs]" + tail)
        return path

    def score(self, name: str, pipeline: pathlib.Path, *settings: str, part: str = "test") -> dict:
        """IoUs on the scenes of a part, and the seconds of the forward passes."""
        kept = self.out / "scores" / f"{name}-{part}.json"
        if not kept.exists():
            run = self.out / "runs" / f"{name}-{part}"
            options = [part for setting in settings for part in ("--set", setting)]
            self.swath("run", pipeline, "-i", self.data / part / "images", "-o", run, "--no-page", "-q", "--devices", "cpu", *options)
            truth = ["--truth", self.data, "--part", part, "--no-boundary", "--json"]
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(self.swath("eval", run, *truth))
        return json.loads(kept.read_text())["scores"]

    def selected(self, everybody: pathlib.Path) -> pathlib.Path:
        folder = self.out / "select"
        if not (folder / "selected.toml").exists():
            run = self.out / "runs" / "choose"
            kept = ["--set", 'checkpoints=["labels", "member-logits"]']
            self.swath("run", everybody, "-i", self.data / "val" / "images", "-o", run, "--no-page", "-q", "--devices", "cpu", *kept)
            self.swath("eval", run, "--truth", self.data, "--part", "val", "--no-boundary", "--select", folder, "--overwrite")
        return folder / "selected.toml"

    def compressed(self, bits: int, files: list[pathlib.Path]) -> list[pathlib.Path]:
        found = []
        for at, file in enumerate(files):
            folder = self.out / "packed" / str(bits) / str(at)
            target = folder / f"{file.stem}.swz"
            if not target.exists():
                self.swath("weights", "compress", file, "--bits", bits, "-o", folder)
            found.append(target)
        return found

    def rows(self, wanted: list[str]):
        bundles = [self.train(name, name) / "best.safetensors" for name in self.names]
        for name, bundle in zip(self.names, bundles):
            yield name, self.score(name, bundle)
        everybody = self.ensemble("everybody", bundles)
        chosen = self.selected(everybody)
        yield "all, equal weights", self.score("everybody", everybody)
        yield "all, selected on val", self.score("selected", chosen)
        if "tiles" in wanted:
            for dilation in (0, 64):
                settings = ["tiler.whole_max=256", "tiler.centres=[256]", f"tiler.dilation={dilation}"]
                yield f"tiles of 256, overlap {dilation}", self.score(f"tiles{dilation}", everybody, *settings)
        if "views" in wanted:
            views = "inference.views=" + json.dumps(VIEWS)
            yield f"{self.names[0]}, {len(VIEWS)} views", self.score("view", bundles[0], views)
            yield f"all, {len(VIEWS)} views", self.score("views", everybody, views)
        if "bits" in wanted:
            for bits in BITS:
                yield f"all, {bits} bits", self.score(f"bits{bits}", self.ensemble(f"bits{bits}", self.compressed(bits, bundles)))
        student = self.names[0]
        if "distill" in wanted:
            teacher = self.ensemble("teacher", bundles)
            for weight in (0.5, 0.9):
                settings = [f'train.distill.teacher="{teacher}"', f"train.distill.weight={weight}", "train.distill.temperature=2"]
                name = f"distilled{weight}"
                yield f"{student}, distilled {weight}", self.score(name, self.train(name, student, *settings) / "best.safetensors")
        if "pseudo" in wanted:
            yield f"{student}, pseudo labels", self.score("pseudo", self.pseudo(chosen, student) / "best.safetensors")
        if "snapshots" in wanted:
            yield from self.snapshots(student)

    def pseudo(self, chosen: pathlib.Path, student: str) -> pathlib.Path:
        run, made = self.out / "runs" / "sure", self.out / "pseudo"
        if not (made / "pairs.tsv").exists():
            self.swath("run", chosen, "-i", self.data / "val" / "images", "-o", run, "--no-page", "-q", "--set", "outputs.scores=true")
            options = ["--keep", CONFIDENT, "--weight", WEIGHT, "--with", self.data]
            self.swath("pseudo-label", run, "-o", made, *options)
        return self.train("pseudo", student, listed=made / "pairs.tsv")

    def snapshots(self, student: str):
        """One training with three restarts, as long as the others: its end, and the mean of what it was before each restart."""
        told = [setting.split("=")[1] for setting in self.arguments.settings if setting.startswith("train.epochs=")]
        epochs = int([tomllib.loads(self.text)["train"]["epochs"], *told][-1])
        cycles = 3
        settings = ['train.schedule={kind="warm-restarts",period=%d}' % (epochs // cycles), 'train.average="none"', "train.snapshots=true"]
        folder = self.train("snapshots", student, *settings)
        files = sorted((folder / "snapshots").glob("*.safetensors"))
        assert len(files) == cycles, files
        yield f"{student}, warm restarts, the last", self.score("snapshot", files[-1])
        yield f"{student}, warm restarts, {cycles} snapshots", self.score("snapshots", self.ensemble("snapshots", files))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swath", required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--pipeline", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=[row for row in ROWS if row != "tiles"])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    table: dict[str, list[dict]] = {}
    for seed in arguments.seeds:
        for name, scores in Bench(arguments, seed).rows(arguments.rows):
            table.setdefault(name, []).append(scores)
            print(f"{seed}  {name:44} {scores['miou']:.4f}", flush=True)
    classes = {entry["value"]: entry["name"] for entry in tomllib.loads(arguments.pipeline.read_text())["classes"]}
    print(f"\n| | mean IoU | {' | '.join(classes.values())} |\n|{'---|' * (len(classes) + 2)}")
    for name, found in table.items():
        mious = [scores["miou"] for scores in found]
        spread = f" ± {statistics.stdev(mious):.4f}" if len(mious) > 1 else ""
        by_value = [{row["value"]: row["iou"] or 0.0 for row in scores["values"]} for scores in found]
        ious = [statistics.mean(rows.get(value, 0.0) for rows in by_value) for value in classes]
        print(f"| {name} | {statistics.mean(mious):.4f}{spread} | {' | '.join(f'{iou:.3f}' for iou in ious)} |")


if __name__ == "__main__":
    main()
