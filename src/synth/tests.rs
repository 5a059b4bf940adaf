//! What the sample scenes promise.

use super::*;
use crate::config::classes::ClassTable;

const N_CLASSES: usize = 15;

fn color(scene: &SampleScene, index: usize) -> [f32; 3] {
    [0, 1, 2].map(|plane| f32::from(scene.rgb[plane * scene.size.len() + index]))
}

/// Mean colour of every class.
fn means(scene: &SampleScene) -> Vec<[f32; 3]> {
    let mut sums = vec![([0.0; 3], 0.0_f64); N_CLASSES];
    for (index, &class) in scene.truth.iter().enumerate() {
        let (sum, n) = &mut sums[usize::from(class)];
        *sum = std::array::from_fn(|plane| sum[plane] + f64::from(color(scene, index)[plane]));
        *n += 1.0;
    }
    sums.into_iter().map(|(sum, n)| sum.map(|s| narrow(s / f64::max(n, 1.0)))).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a mean of bytes needs no more digits")]
fn narrow(v: f64) -> f32 {
    v as f32
}

fn nearest(means: &[[f32; 3]], color: [f32; 3]) -> usize {
    let distance = |mean: &[f32; 3]| mean.iter().zip(color).map(|(m, c)| (m - c) * (m - c)).sum::<f32>();
    (0..means.len()).min_by(|&a, &b| distance(&means[a]).total_cmp(&distance(&means[b]))).unwrap()
}

#[test]
fn a_scene_follows_from_seed_name_and_size() {
    let size = Size::new(201, 150);
    let scene = draw(7, "a", size);
    assert_eq!(scene, draw(7, "a", size));
    for other in [draw(8, "a", size), draw(7, "b", size)] {
        assert_ne!(scene.rgb, other.rgb);
        assert_ne!(scene.truth, other.truth);
        assert_ne!(scene.transform, other.transform);
    }
}

#[test]
fn any_size_can_be_drawn() {
    for (width, height) in [(1, 1), (1, 500), (500, 1), (37, 19), (2, 3)] {
        let scene = draw(3, "any", Size::new(width, height));
        let n = scene.size.len();
        assert_eq!((scene.rgb.len(), scene.truth.len()), (3 * n, n));
        assert!(scene.truth.iter().all(|&class| usize::from(class) < N_CLASSES));
    }
}

#[test]
fn every_machine_draws_the_same_bytes() {
    let scene = draw(5, "pinned", Size::new(160, 120));
    let bytes = scene.rgb.iter().chain(&scene.truth);
    let digest = bytes.fold(0, |digest, &byte| rng::mix(digest ^ u64::from(byte)).wrapping_add(1));
    assert_eq!(digest, 0x8f01_913f_b3ea_5392, "{digest:#018x}");
}

#[test]
fn the_class_table_is_valid_and_counts_with_the_covers() {
    let classes = class_table();
    let values: Vec<u16> = classes.iter().map(|class| class.value).collect();
    assert_eq!(values, [1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]);
    let mut colors: Vec<[u8; 3]> = classes.iter().map(|class| class.color.0).collect();
    assert_eq!(ClassTable::new(classes, None).unwrap().classes().len(), N_CLASSES);
    colors.sort_unstable();
    colors.dedup();
    assert_eq!(colors.len(), N_CLASSES);
}

#[test]
fn the_scenes_hold_every_class() {
    for seed in [0, 1, 2, u64::MAX] {
        let mut seen = std::collections::BTreeSet::new();
        for (name, size) in SCENES {
            // Later scenes need not be drawn once nothing is missing.
            if seen.len() < N_CLASSES {
                seen.extend(draw(seed, name, size).truth);
            }
        }
        assert!(seen.iter().copied().eq(0..15), "seed {seed}: {seen:?}");
    }
}

#[test]
fn colour_alone_says_little_about_the_class() {
    let (name, size) = SCENES[3];
    let scene = draw(1, name, size);
    let means = means(&scene);
    let tried = (0..size.len()).step_by(5);
    let n_tried = tried.len();
    let right = tried.filter(|&index| nearest(&means, color(&scene, index)) == usize::from(scene.truth[index])).count();
    let accuracy = right as f64 / n_tried as f64;
    assert!((0.2..0.5).contains(&accuracy), "{accuracy}");
}
