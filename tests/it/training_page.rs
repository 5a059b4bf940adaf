//! The page of a training: what it shows of a drawn one, that it shows it as text, and that a browser draws it.

use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use swath::eval::{Confusion, Scores};
use swath::report::{
    BestMetric, MetricsLog, MetricsRecord, NoteRecord, Reached, StepRecord, StepTime, TrainingExample, TrainingPage,
    TrainingSummary, ValidationRecord, ValidationTime, ValueClass, write_training_page,
};

use crate::support::browser::{chromium, open};

/// A name that must be shown as text.
const SCRIPT: &str = "<script>alert(1)</script>";

const CLASSES: [(&str, [u8; 3]); 5] = [
    ("Building", [60, 16, 152]),
    ("Land", [132, 41, 246]),
    (SCRIPT, [110, 193, 228]),
    ("Road", [254, 221, 58]),
    ("Water", [226, 169, 41]),
];

/// What is recorded at a step: a loss that falls and, once, is none; a validation now and then.
fn records(step: u32) -> Vec<MetricsRecord> {
    let (x, step) = (f64::from(step) / 600.0, u64::from(step));
    let wave = (x * 400.0).sin() * 0.15;
    let loss = 0.4 + 1.2 * (-4.0 * x).exp() + wave;
    let own = MetricsRecord::Step(StepRecord {
        step,
        epoch: x * 12.0,
        loss: if step == 200 { f64::NAN } else { loss },
        parts: [("cross_entropy".to_owned(), loss * 0.7), ("dice".to_owned(), loss * 0.3)].into(),
        rate: 1e-3 * (1.0 - x).powf(0.9),
        gradient_norm: Some(3.0 + wave),
        time: StepTime { samples_per_second: 36.0, loader_wait_share: 0.02, seconds: x * 500.0 },
    });
    let iou = [0.75, 0.8, 0.6, 0.55, 0.7].map(|most| most * (1.0 - (-5.0 * x).exp()));
    let mean_iou = iou.iter().sum::<f64>() / 5.0;
    let validation = MetricsRecord::Validation(ValidationRecord {
        step,
        epoch: x * 12.0,
        metric: "mean-iou".into(),
        value: mean_iou,
        mean_iou,
        accuracy: 0.9 * (1.0 - (-6.0 * x).exp()),
        iou: iou.map(Some).to_vec(),
        is_best: step <= 550,
        time: ValidationTime { seconds: 2.0 },
    });
    if step.is_multiple_of(50) { vec![own, validation] } else { vec![own] }
}

/// A training of 600 steps, once interrupted.
fn log(run: &Path) {
    let classes = CLASSES.map(|(name, _)| name.to_owned());
    let mut log = MetricsLog::open(run, &classes, None).unwrap();
    (1..=420).flat_map(records).for_each(|record| log.append(&record).unwrap());
    let mut log = MetricsLog::open(run, &classes, Some(Reached { step: 399, validated: true })).unwrap();
    log.append(&MetricsRecord::Note(NoteRecord { step: 399, text: "went on".into() })).unwrap();
    (400..=600).flat_map(records).for_each(|record| log.append(&record).unwrap());
}

fn picture(color: impl Fn(u32, u32) -> [u8; 3]) -> Option<String> {
    let mut png = Cursor::new(Vec::new());
    RgbImage::from_fn(96, 64, |x, y| Rgb(color(x, y))).write_to(&mut png, ImageFormat::Png).unwrap();
    Some(format!("data:image/png;base64,{}", STANDARD.encode(png.into_inner())))
}

/// 9000 pixels of each class are right, and some of each are taken for each other.
fn scores() -> Scores {
    let mut confusion = Confusion::new();
    for (i, j) in (0..25_u16).map(|n| (n / 5, n % 5)) {
        let n = if i == j { 9000 } else { usize::from((i * 7 + j * 3) % 11) * 100 };
        confusion.add(&vec![i + 1; n], &vec![j + 1; n], &[]).unwrap();
    }
    confusion.scores()
}

fn facts() -> TrainingPage {
    let classes = |row: u32| picture(move |x, y| CLASSES[((x / 24 + y / row) % 5) as usize].1);
    let example = |(label, value): (&str, f64)| TrainingExample {
        label: label.into(),
        scene: format!("{label} {SCRIPT}"),
        value,
        image: picture(|x, y| [x * 2, y * 3, 90].map(|shade| u8::try_from(shade).unwrap())),
        prediction: classes(15),
        truth: classes(16),
    };
    TrainingPage {
        summary: TrainingSummary {
            end: "all steps are done".into(),
            steps: 600,
            epochs: 12.0,
            best: Some(BestMetric { metric: "mean-iou".into(), value: 0.673, step: 550 }),
            seconds: 500.0,
            samples_per_second: 36.0,
            loader_wait_share: 0.02,
            ..TrainingSummary::default()
        },
        facts: vec![("Network".into(), "DeepLabV3+ ResNet-18".into()), ("Data".into(), SCRIPT.into())],
        classes: (1..)
            .zip(CLASSES)
            .map(|(value, (name, color))| ValueClass { value, name: name.into(), color })
            .collect(),
        scores: Some(scores()),
        examples: [("best", 0.81), ("median", 0.66), ("worst", 0.31)].map(example).into(),
        recipe: format!("[train]\nsteps = 600\n# {SCRIPT}\n"),
    }
}

#[test]
fn the_page_of_a_training_shows_curves_classes_confusions_and_scenes() {
    let folder = tempfile::tempdir().unwrap();
    let (run, facts) = (folder.path().join("out"), facts());
    log(&run);
    write_training_page(&run, &facts).unwrap();
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    for words in [
        "600 steps, 12.0 epochs; at its best mean-iou is 0.6730, at step 550.",
        "<figcaption>Loss</figcaption>",
        "<figcaption>Terms of the loss</figcaption>",
        "<figcaption>Validation</figcaption>",
        "<figcaption>Intersection over union by class</figcaption>",
        "<figcaption>Learning rate</figcaption>",
        "Step 399: went on",
        "title=\"Building taken for Land: 300 pixels\"",
        "<small>worst, mean-iou 0.3100</small>",
        "steps = 600",
    ] {
        assert!(page.contains(words), "no {words}");
    }
    assert!(!page.contains(SCRIPT));
    assert_eq!(["data:image/png", "style=\"--v:"].map(|what| page.matches(what).count()), [9, 25]);
    // 600 steps are 300 points, each with a band; validations are few enough to stand for themselves.
    assert_eq!(["class=\"line\"", "class=\"band\""].map(|what| page.matches(what).count()), [12, 5]);
    let report = std::fs::read_to_string(run.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!([&report["kind"], &report["facts"]["Network"]], ["training", "DeepLabV3+ ResNet-18"]);
    assert_eq!(
        (&report["validation"]["step"], &report["scores"]["matrix"]["counts"][0][0]),
        (&550.into(), &9000.into())
    );
    let worst = serde_json::json!({ "label": "worst", "scene": facts.examples[2].scene, "value": 0.31 });
    assert_eq!(report["examples"][2], worst);
    if let Some(chromium) = chromium() {
        let shot = folder.path().join("page.png");
        open(chromium, folder.path(), &["--window-size=1100,3600", &format!("--screenshot={}", shot.display())]);
        let shot = image::open(&shot).unwrap().to_rgb8();
        assert!(shot.pixels().any(|pixel| pixel.0 == [0x2a, 0x9d, 0x8f]), "no curve is drawn");
    }
}

#[test]
fn a_training_that_was_stopped_before_anything_was_recorded_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let summary = TrainingSummary { end: "SIGTERM".into(), goes_on: true, ..TrainingSummary::default() };
    let facts = TrainingPage { summary, scores: None, examples: Vec::new(), ..facts() };
    write_training_page(folder.path(), &facts).unwrap();
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("nothing was validated") && page.contains("Not finished") && !page.contains("<svg"));
}
