//! What a training leaves behind is read back, event files by a reader of their own.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

fn step(step: u64, loss: f64) -> MetricsRecord {
    MetricsRecord::Step(StepRecord {
        step,
        epoch: step as f64 / 4.0,
        loss,
        parts: [("dice".to_owned(), loss / 4.0)].into(),
        rate: 1e-3,
        gradient_norm: Some(2.5),
        time: StepTime { samples_per_second: 10.0, loader_wait_share: 0.25, seconds: step as f64 },
    })
}

fn validation(step: u64) -> MetricsRecord {
    MetricsRecord::Validation(ValidationRecord {
        step,
        epoch: 1.0,
        metric: "mean-iou".into(),
        value: 0.5,
        mean_iou: 0.5,
        accuracy: 0.75,
        iou: vec![Some(0.5), None],
        is_best: true,
        time: ValidationTime { seconds: 1.0 },
    })
}

fn classes() -> Vec<String> {
    ["grass", "water"].map(str::to_owned).to_vec()
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

/// A field of a message: its number with the bytes that it has, or the eight of a number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let n = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let (own, rest) = bytes.split_at(n);
        *bytes = rest;
        own.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let n = match key & 7 {
            0 => {
                fields.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            5 => 4,
            kind => panic!("no kind {kind}"),
        };
        let (own, rest) = bytes.split_at(n);
        fields.push((key >> 3, own.to_vec()));
        bytes = rest;
    }
    fields
}

fn field(bytes: &[u8], number: u64) -> Option<Vec<u8>> {
    fields(bytes).into_iter().find(|(own, _)| *own == number).map(|(_, value)| value)
}

fn whole(bytes: Option<Vec<u8>>) -> u64 {
    bytes.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

/// The points of a folder of event files as TensorBoard has them in the end, by tag and step.
fn points(folder: &Path) -> BTreeMap<(String, u64), f32> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut points = BTreeMap::new();
    for file in files {
        let all = std::fs::read(&file).unwrap();
        let (mut bytes, mut number) = (&all[..], 0);
        while !bytes.is_empty() {
            let unmask =
                |crc: &[u8]| u32::from_le_bytes(crc.try_into().unwrap()).wrapping_sub(0xa282_ead8).rotate_left(15);
            let n = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
            let event = &bytes[12..12 + n];
            assert_eq!([unmask(&bytes[8..12]), unmask(&bytes[12 + n..16 + n])], [crc32c(&bytes[..8]), crc32c(event)]);
            bytes = &bytes[16 + n..];
            let (step, wall) = (whole(field(event, 2)), f64::from_bits(whole(field(event, 1))));
            assert!((1e9..1e10).contains(&wall), "{wall}");
            assert_eq!(field(event, 3), (number == 0).then(|| b"brain.Event:2".to_vec()));
            if let Some(session) = field(event, 7) {
                assert_eq!((number, whole(field(&session, 1))), (1, 1));
                points.retain(|(_, own), _| *own < step);
            }
            for (_, value) in fields(&field(event, 5).unwrap_or_default()) {
                let tag = String::from_utf8(field(&value, 1).unwrap()).unwrap();
                let number = field(&value, 2).map(|value| f32::from_le_bytes(value.try_into().unwrap()));
                points.insert((tag, step), number.unwrap_or(f32::INFINITY));
            }
            number += 1;
        }
    }
    points
}

/// The lines of a log, without what no two trainings have equal.
fn lines(run: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(run.join(MetricsLog::FILE)).unwrap();
    let line = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("time");
        value.to_string()
    };
    text.lines().map(line).collect()
}

#[test]
fn checksums_and_frames_are_those_of_tensorflow() {
    // RFC 3720, B.4, and the first bytes of every event file that TensorFlow writes.
    assert_eq!([crc32c(&[0; 32]), ::crc32c::crc32c(&[0; 32])], [0x8a91_36aa; 2]);
    let ascending: Vec<u8> = (0..32).collect();
    assert_eq!([crc32c(&ascending), ::crc32c::crc32c(&ascending)], [0x46dd_794e; 2]);
    let run = tempfile::tempdir().unwrap();
    MetricsLog::open(run.path(), &classes(), None).unwrap();
    let file = std::fs::read_dir(run.path().join(MetricsLog::EVENTS)).unwrap().next().unwrap().unwrap();
    assert!(file.file_name().to_str().unwrap().starts_with("events.out.tfevents.1"));
    let bytes = std::fs::read(file.path()).unwrap();
    let length = 24_u64.to_le_bytes();
    assert_eq!((&bytes[..8], &bytes[8..12]), (&length[..], &b"\xa3\x7fK\""[..]));
}

#[test]
fn a_log_that_goes_on_equals_one_that_was_not_interrupted() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let all: Vec<MetricsRecord> =
        (1..=8).flat_map(|n| [Some(step(n, 1.0 / n as f64)), (n % 4 == 0).then(|| validation(n))]).flatten().collect();
    let mut log = MetricsLog::open(whole.path(), &classes(), None).unwrap();
    all.iter().for_each(|record| log.append(record).unwrap());

    let mut log = MetricsLog::open(parts.path(), &classes(), None).unwrap();
    all[..6].iter().for_each(|record| log.append(record).unwrap());
    log.append(&MetricsRecord::Note(NoteRecord { step: 6, text: "lost".into() })).unwrap();
    log.sync().unwrap();
    let path = parts.path().join(MetricsLog::FILE);
    let mut text = std::fs::read_to_string(&path).unwrap();
    text += r#"{"kind":"step","step":4,"ep"#;
    crate::atomic::write(&path, text.as_bytes()).unwrap();
    // Twice, as by two interruptions within a second.
    MetricsLog::open(parts.path(), &classes(), Some(Reached { step: 5, validated: true })).unwrap();
    let mut log = MetricsLog::open(parts.path(), &classes(), Some(Reached { step: 4, validated: true })).unwrap();
    all[5..].iter().for_each(|record| log.append(record).unwrap());
    assert_eq!(lines(whole.path()), lines(parts.path()));
    let [of_whole, of_parts] = [&whole, &parts].map(|run| points(&run.path().join(MetricsLog::EVENTS)));
    assert_eq!(of_whole, of_parts);
    assert_eq!(of_whole[&("iou/grass".to_owned(), 8)], 0.5);
    assert_eq!(of_whole[&("loss/dice".to_owned(), 4)], 0.0625);
    assert!(!of_whole.contains_key(&("iou/water".to_owned(), 8)));

    MetricsLog::open(parts.path(), &classes(), None).unwrap();
    assert_eq!((lines(parts.path()).len(), points(&parts.path().join(MetricsLog::EVENTS)).len()), (0, 0));
}

#[test]
fn what_is_no_number_is_null_and_told_and_comes_back() {
    let run = tempfile::tempdir().unwrap();
    let mut log = MetricsLog::open(run.path(), &classes(), None).unwrap();
    log.append(&step(1, f64::NAN)).unwrap();
    log.append(&step(2, f64::NEG_INFINITY)).unwrap();
    log.append(&MetricsRecord::Note(NoteRecord { step: 2, text: "no number".into() })).unwrap();
    let lines = lines(run.path());
    let value: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(value["not_finite"], serde_json::json!({ "train/loss": "NaN", "loss/dice": "NaN" }));
    assert!(value["loss"].is_null() && value["rate"] == 1e-3, "{value}");
    let value: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!(value["not_finite"]["train/loss"], "-inf");
    let text = std::fs::read_to_string(run.path().join(MetricsLog::FILE)).unwrap();
    let records: Vec<MetricsRecord> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let MetricsRecord::Step(record) = &records[0] else { panic!("{records:?}") };
    assert!(record.loss.is_nan() && record.parts["dice"].is_nan() && record.gradient_norm == Some(2.5));
    assert_eq!(points(&run.path().join(MetricsLog::EVENTS))[&("notes".to_owned(), 2)], f32::INFINITY);
}

#[test]
fn a_foreign_file_is_not_cut() {
    let run = tempfile::tempdir().unwrap();
    let path = run.path().join(MetricsLog::FILE);
    crate::atomic::write(&path, b"{\"step\":1}\n{\"a\":1}\n").unwrap();
    let error = MetricsLog::open(run.path(), &classes(), Some(Reached { step: 1, validated: true })).unwrap_err();
    let told = format!("{error}: {}", error.source);
    assert!(told.contains("metrics.jsonl") && told.contains("line 2 is no record of a training"), "{told}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"step\":1}\n{\"a\":1}\n");
}
