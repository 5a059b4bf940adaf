//! A plan without pixels: what each unit and scene comes to follows from its key.

use std::collections::BTreeSet;
use std::ops::Range;

use super::faulty::Rng;
use crate::atomic::Fingerprint;
use crate::journal::{
    ArtefactRecord, EntryRecord, FailureRecord, FileRecord, KeyHasher, OutputRecord, Record, SceneFacts, SceneRecord,
    StageKey,
};

/// Scenes of one or several units, and one that no shard holds alone.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) scenes: Vec<Range<u32>>,
    pub(super) fails: BTreeSet<usize>,
}

impl Plan {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let (mut scenes, mut end) = (Vec::new(), 0);
        let n_scenes = rng.between(60, 100);
        let giant = rng.below(n_scenes);
        for scene in 0..n_scenes {
            let units = match rng.below(8) {
                _ if scene == giant => 60,
                0 => rng.between(2, 8),
                _ => 1,
            };
            let units = u32::try_from(units).unwrap();
            scenes.push(end..end + units);
            end += units;
        }
        let fails = (0..scenes.len()).filter(|_| rng.one_in(25)).collect();
        Self { scenes, fails }
    }

    pub(super) fn n_units(&self) -> u32 {
        self.scenes.last().unwrap().end
    }

    /// Shards of about the same size.
    pub(super) fn cut(&self, count: u32) -> Vec<Range<u32>> {
        let border = |i: u32| self.n_units() * i / count;
        (0..count).map(|i| border(i)..border(i + 1)).collect()
    }

    /// Key of a unit's labels; tile by tile they have another.
    pub(super) fn key(unit: u32, is_single: bool) -> StageKey {
        KeyHasher::new("labels").text(&unit.to_string()).text(if is_single { "single" } else { "" }).finish()
    }

    pub(super) fn artefact(key: &StageKey) -> ArtefactRecord {
        let file = content(format!("checkpoints/{}", &key.as_str()[..30]), key);
        ArtefactRecord { file, entries: vec![EntryRecord { key: key.clone(), offset: 8, bytes: 90 }] }
    }

    /// A scene whose units have these keys.
    pub(super) fn scene(scene: usize, units: &[StageKey], milliseconds: u64) -> SceneRecord {
        let name = format!("scene-{scene}");
        let key = units.iter().fold(KeyHasher::new("mask").text(&name), KeyHasher::key).finish();
        let files = vec![content(format!("masks/{name}.png"), &key)];
        let outputs = vec![OutputRecord { kind: "mask".to_owned(), key, files }];
        SceneRecord {
            name,
            complete: true,
            attempt: 1,
            outputs,
            facts: SceneFacts { milliseconds, ..SceneFacts::default() },
        }
    }

    pub(super) fn failure(scene: usize) -> Record {
        Record::Failure(FailureRecord {
            name: format!("scene-{scene}"),
            file: format!("{scene}.tif"),
            stage: "read".to_owned(),
            unit: None,
            attempt: 1,
            cause: "it holds no pixels".to_owned(),
        })
    }
}

fn content(path: String, key: &StageKey) -> FileRecord {
    let sha256 = KeyHasher::new("content").key(key).finish().to_string();
    FileRecord { path, content: Fingerprint { bytes: 1000, sha256 } }
}
