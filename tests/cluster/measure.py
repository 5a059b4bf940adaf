"""What a case of slurm.sh took: python3 measure.py PLAN DIR BEGUN SLOTS SHARDS NS SWATH

The makespan lies between BEGUN, in seconds since 1970, and the end of the last shard. DIR.passes holds a line of every forward pass that any
attempt has begun (SWATH_FAKE_LOG). NS is how many nanoseconds a pass takes for each pixel: without it, passes are counted and no more.
"""

import collections
import datetime
import glob
import json
import os
import re
import subprocess
import sys


def attempts(folder):
    """When each attempt began and ended, and by which exit code; none for those whose host is lost."""
    for log in sorted(glob.glob(f"{folder}/logs/*_*.*.log")):
        with open(log) as file:
            text = file.read()
        begun = re.match(r"shard job (\S+), attempt (\d+), on (\S+), (\S+)", text)
        if begun:
            at = datetime.datetime.fromisoformat(begun[4].replace("Z", "+00:00")).timestamp()
            code = re.search(r"swath ended with exit code (\d+)", text)
            yield begun[1], int(begun[2]), at, os.stat(log).st_mtime, code and int(code[1])


def simulated(plan, slots, shards, seconds, start_up, swath):
    """The makespan of the cut, whoever is free taking the next shard."""
    told = subprocess.run([swath, "shard", plan, "--slots", slots, "--count", shards, "--json"], stdout=subprocess.PIPE, check=True)
    free = [0.0] * int(slots)
    for shard in json.loads(told.stdout)["shards"]:
        first = free.index(min(free))
        free[first] += start_up + shard["share"] * seconds
    return max(free)


def recorded_twice(folder):
    """Stage results and scenes that several attempts have recorded."""
    seen = collections.Counter()
    for attempt in glob.glob(f"{folder}/records/*"):
        own = set()
        for name in os.listdir(attempt):
            if name.isdigit():
                with open(f"{attempt}/{name}") as file:
                    lines = [json.loads(line) for line in file if line.startswith('{"record":')]
                own |= {line["name"] for line in lines if line["record"] == "scene"}
                own |= {entry["key"] for line in lines if line["record"] == "artefact" for entry in line["entries"]}
        seen.update(own)
    return sum(times - 1 for times in seen.values()), len(seen)


def main():
    plan, folder, begun, slots, shards, ns, swath = sys.argv[1:]
    with open(f"{folder}.passes") as file:
        passes = collections.Counter(file.read().splitlines())
    pixels = {line: int(line.split(" ", 2)[1]) for line in passes}
    again, done = sum(times - 1 for times in passes.values()), len(passes)
    twice, recorded = recorded_twice(folder)
    print(f"  passes      {done}, and {again} of them once more; recorded {recorded} results, {twice} of them twice")
    seconds = sum(pixels.values()) * int(ns) / 1e9
    if not seconds:
        return
    mean = seconds / done
    # `0 262144 giant y192 x0`: a row of tiles is one unit, and so is a group of scenes.
    unit = max(collections.Counter(line.split(" ", 2)[2].rsplit(" x", 1)[0] for line in passes).values())
    more = sum(pixels[line] * (times - 1) for line, times in passes.items()) * int(ns) / 1e9
    print(f"  may be      {unit + 10 / mean:.0f} passes of {mean:.2f} s of each attempt that was lost: a unit in flight ({unit}), and 10 s of records")
    known = list(attempts(folder))
    makespan = max(ended for *_, ended, _ in known) - float(begun)
    merged = max(os.stat(log).st_mtime for log in glob.glob(f"{folder}/logs/merge_*.log")) - float(begun)
    ideal = seconds / int(slots)
    whole = [(began, ended) for _, _, began, ended, code in known if code == 0]
    # What does not sleep: starting, reading, writing, ending.
    beside = (sum(ended - began for began, ended in whole) - seconds - more) / len(whole)
    told = simulated(plan, slots, shards, seconds, max(beside, 0.0), swath)
    print(f"  makespan    {makespan:.0f} s, {makespan / ideal:.3f} of the ideal ({seconds:.0f} s of passes on {slots} slots); merged after {merged:.0f} s")
    print(f"  simulated   {told / ideal:.3f}, with {beside:.1f} s for each shard to start and end")


main()
