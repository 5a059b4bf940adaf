//! A plan that was saved: it comes back equal, and a run of it gives the same bytes, or says why it does not.
#![cfg(feature = "gdal")]

use swath::geom::Span;
use swath::plan::{Plan, PlanFile, Planned, Scene, Unit};

use crate::support::command::{Workdir, with_scenes};
use crate::support::outputs;

const PLAN: [&str; 8] = ["plan", "p.toml", "-i", "in", "--backend", "fake", "--save", "plan.jsonl"];
const RUN: [&str; 8] = ["run", "--plan", "plan.jsonl", "-o", "out", "--pack-fake", "--devices", "cpu"];

/// Scenes, one that fails in planning among them, and the plan.
fn saved() -> Workdir {
    let work = with_scenes(&[(130, 140), (70, 60), (40, 30), (40, 30)]);
    work.write("in/broken.tif", "no TIFF");
    work.swath(&[&PLAN[..], &["--devices", "cpu"]].concat()).expect(3);
    work
}

#[test]
fn a_plan_comes_back_equal_and_gives_the_same_bytes() {
    let work = saved();
    let planned = Planned::load(&work.path("plan.jsonl")).unwrap();
    assert_eq!((planned.plan.scenes.len(), planned.refused.len()), (4, 1));
    planned.save(&work.path("again.jsonl")).unwrap();
    let text = |name: &str| std::fs::read_to_string(work.path(name)).unwrap();
    assert_eq!(text("plan.jsonl"), text("again.jsonl"));
    let again = Planned::load(&work.path("again.jsonl")).unwrap();
    assert!(again.plan == planned.plan && again.refused == planned.refused && again.ignored == planned.ignored);

    let partial = ["--allow-partial"];
    let planned_anew = ["run", "p.toml", "-i", "in", "-o", "fresh", "--backend", "fake", "--devices", "cpu"];
    work.swath(&[&planned_anew[..], &partial].concat()).expect(3);
    work.swath(&[&RUN[..], &partial].concat()).expect(3);
    let [own, fresh] = ["out", "fresh"].map(|dir| outputs(&work.path(dir)));
    let other = |name: &&String| fresh.get(*name) != own.get(*name);
    assert_eq!(own.keys().chain(fresh.keys()).filter(other).collect::<Vec<_>>(), [""; 0]);
    let plans = ["out", "fresh"].map(|dir| work.report(dir)["plan"].clone());
    assert_eq!(plans[0], plans[1]);
    // The same plan again is the same command again.
    work.swath(&[&RUN[..], &partial].concat()).expect(3);
    assert_eq!(work.report("out")["totals"]["forwards"], 0);
    work.swath(&["resume", "out"]).expect(3);
}

#[test]
fn what_would_give_other_bytes_is_refused() {
    let work = saved();
    let gpu = [&RUN[..6], &["--devices", "cuda:0"]].concat();
    work.swath(&gpu).says(15, &["the class cuda", "made for cpu", "plan again"]);
    let text = std::fs::read_to_string(work.path("plan.jsonl")).unwrap();
    let says = |text: String, words: &[&str]| {
        work.write("plan.jsonl", text);
        work.swath(&RUN).says(2, words);
    };
    says(text.replacen("\"swath_plan\":5", "\"swath_plan\":1", 1), &["plan.jsonl", "format 1", "swath plan --save"]);
    says(text.replacen("\"batch\":", "\"batch\": 1", 1), &["not as it was written"]);
    says(text.lines().take(3).map(|line| format!("{line}\n")).collect(), &["its end is missing"]);
    says(String::new(), &["it is empty"]);
    says("[classes]".into(), &["plan.jsonl", "no plan"]);
    work.swath(&["run", "--plan", "none.jsonl", "-o", "out"]).says(2, &["cannot read the plan `none.jsonl`"]);
    assert!(!work.path("out").exists());
}

#[test]
fn a_plan_stands_in_place_of_a_pipeline_and_is_not_written_over_by_mistake() {
    let work = saved();
    work.swath(&[&RUN[..], &["-i", "in"]].concat()).says(2, &["--plan", "cannot be used with"]);
    work.swath(&PLAN).says(2, &["plan.jsonl", "--overwrite"]);
    work.swath(&[&PLAN[..], &["--overwrite"]].concat()).expect(3);
    // An input that has changed since costs itself; one that was touched is the same.
    for name in ["in/s1.tif", "in/s2.tif"] {
        let file = std::fs::File::options().write(true).open(work.path(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(60)).unwrap();
    }
    let mut bytes = std::fs::read(work.path("in/s1.tif")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    work.write("in/s1.tif", bytes);
    let said = work.swath(&RUN).expect(3);
    assert!(said.contains("s1.tif") && said.contains("changed") && !said.contains("s2.tif"), "{said}");
}

#[test]
fn a_plan_is_read_by_ranges_and_what_is_damaged_is_refused() {
    let work = saved();
    let mut planned = Planned::load(&work.path("plan.jsonl")).unwrap();
    // Several blocks of lines.
    let last = planned.plan.scenes[3].clone();
    planned.plan.scenes.extend((0..3000).map(|i| Scene { name: format!("more{i}"), ..last.clone() }));
    planned.plan.units.extend((4..3004).map(|scene| Unit::Group { scenes: Span::new(scene, scene + 1) }));
    planned.save(&work.path("many.jsonl")).unwrap();
    let open = || PlanFile::open(&work.path("many.jsonl"));
    let (mut file, plan) = (open().unwrap(), &planned.plan);
    assert_eq!((file.n_scenes(), file.n_units()), (plan.scenes.len(), plan.units.len()));
    assert_eq!(*file.head(), Plan { scenes: Vec::new(), units: Vec::new(), ..plan.clone() });
    for range in [0..0, 0..1, 1023..1025, 500..2600, 3003..3004, 0..3004] {
        assert!(file.scenes(range.clone()).unwrap() == plan.scenes[range.clone()], "{range:?}");
        assert!(file.units(range.clone()).unwrap() == plan.units[range.clone()], "{range:?}");
    }
    let error = file.scenes(3000..3005).unwrap_err().to_string();
    assert!(error.contains("3004 scenes") && error.contains("3000 to 3005"), "{error}");

    let text = std::fs::read_to_string(work.path("many.jsonl")).unwrap();
    let damaged = |from: &str, to: &str| {
        assert_eq!((text.matches(from).count(), from.len()), (1, to.len()), "{from}");
        work.write("many.jsonl", text.replace(from, to));
        assert!(Planned::load(&work.path("many.jsonl")).is_err());
        open()
    };
    // A block that is not asked for is not looked at.
    let mut file = damaged("\"more2000\"", "\"more9000\"").unwrap();
    assert!(file.scenes(0..1024).is_ok() && file.units(0..3004).is_ok());
    assert!(file.scenes(2000..2001).unwrap_err().to_string().contains("many.jsonl"));
    for (from, to) in
        [("\"scenes\":[{\"offset\"", "\"scenes\":[{\"0ffset\""), ("\"n_scenes\":3004", "\"n_scenes\":3003")]
    {
        assert!(damaged(from, to).unwrap_err().to_string().contains("not as it was written"), "{from}");
    }
    let lines: Vec<&str> = text.lines().collect();
    work.write("many.jsonl", lines[..lines.len() - 1].join("\n") + "\n");
    assert!(open().unwrap_err().to_string().contains("its end is missing"));
}
