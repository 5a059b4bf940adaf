//! Losses by the names that their references have.

use serde::Deserialize;
use tch::{Kind, Tensor};

use super::{take, tensor};
use crate::train::loss::{IGNORED, Loss, Mix};
use crate::zoo::check::{Folder, Worst};
use crate::zoo::spec::Upsample;

/// What f32 may lose of a value, and of a gradient.
const TOLERANCE: f64 = 1e-5;
const GRADIENT_TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Facts {
    records: Vec<Record>,
}

/// A loss on the fixture's logits, and its gradient there.
#[derive(Deserialize)]
struct Record {
    name: String,
    value: f64,
    grad_l2: f64,
    grad_absmax: f64,
    grad_first8: Vec<f64>,
}

/// A loss of a record.
struct Named {
    main: Mix,
    /// Cross-entropy on logits of half the size.
    auxiliary: Option<Auxiliary>,
    /// On the first channel, against odd labels.
    is_binary: bool,
}

/// What the mean of the auxiliary loss is over.
#[derive(Clone, Copy, PartialEq)]
enum Auxiliary {
    LabelledPixels,
    AllPixels,
}

/// Its weight.
const AUXILIARY: f64 = 0.4;

pub(super) fn check(folder: &Folder, name: &str) -> Result<Worst, String> {
    let (facts, tensors) = (folder.facts::<Facts>(name)?, folder.tensors(name)?);
    let (logits, labels) = (tensor(&tensors, "logits")?, tensor(&tensors, "labels")?);
    let ignored = tensor(&tensors, "labels_ignore")?;
    let weights = tensor(&tensors, "class_weight")?.to_kind(Kind::Double);
    let weights = Vec::<f64>::try_from(&weights).map_err(|e| e.to_string())?;
    let mut worst = Worst::default();
    for record in facts.records {
        let loss = record.loss(&weights).ok_or_else(|| format!("unknown loss: {}", record.name))?;
        let leaf = logits.copy().set_requires_grad(true);
        let labels = if record.has("ignore") || record.has("hrnet.") { ignored } else { labels };
        let value = loss.value(&leaf, labels);
        value.backward();
        let gradient = leaf.grad().to_kind(Kind::Double);
        let at = |what: &str| format!("{}, {what}", record.name);
        take(&mut worst, [value.double_value(&[]), record.value], TOLERANCE, || at("value"));
        let norm = gradient.norm().double_value(&[]);
        take(&mut worst, [norm, record.grad_l2], GRADIENT_TOLERANCE, || at("norm of the gradient"));
        let most = gradient.abs().max().double_value(&[]);
        take(&mut worst, [most, record.grad_absmax], GRADIENT_TOLERANCE, || at("greatest of the gradient"));
        let first = Vec::<f64>::try_from(&gradient.flatten(0, -1).narrow(0, 0, record.grad_first8.len() as i64));
        for (ours, reference) in first.map_err(|e| e.to_string())?.into_iter().zip(&record.grad_first8) {
            let allowed = GRADIENT_TOLERANCE * record.grad_absmax;
            worst.take((ours - reference).abs() / allowed, || at("first of the gradient"));
        }
    }
    Ok(worst)
}

impl Named {
    fn value(&self, logits: &Tensor, labels: &Tensor) -> Tensor {
        if self.is_binary {
            return self.main.value(&logits.narrow(1, 0, 1), &labels.remainder(2));
        }
        let main = self.main.value(logits, labels);
        let Some(auxiliary) = self.auxiliary else { return main };
        let half = logits.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None);
        let size = [logits.size()[2], logits.size()[3]];
        let whole = Upsample::Bilinear { align_corners: true }.apply(&half, size);
        let share = match auxiliary {
            Auxiliary::LabelledPixels => 1.0,
            Auxiliary::AllPixels => labels.ne(IGNORED).mean(Kind::Double).double_value(&[]),
        };
        main + Loss::CROSS_ENTROPY.value(&whole, labels) * (AUXILIARY * share)
    }
}

impl Record {
    fn has(&self, word: &str) -> bool {
        self.name.contains(word)
    }

    /// The number behind `key=`.
    fn number(&self, key: &str) -> Option<f64> {
        let rest = self.name.split_once(&format!("{key}="))?.1;
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        rest[..end].parse().ok()
    }

    fn loss(&self, class_weights: &[f64]) -> Option<Named> {
        let one = |loss| Some(vec![(1.0, loss)]);
        let family = self.name.split([' ', '(']).next()?;
        let per_image = self.has("per_image");
        let main = match family {
            "torch.cross_entropy" | "smp.SoftCrossEntropy" => one(Loss::CrossEntropy {
                class_weights: if self.has("weight") { class_weights.to_vec() } else { Vec::new() },
                smoothing: self.number("smoothing").or(self.number("smooth")).unwrap_or(0.0),
            }),
            "smp.Lovasz" if !self.has("binary") => one(Loss::LovaszSoftmax { absent: false, per_image }),
            "smp.Lovasz" | "naic.lovasz_hinge" => one(Loss::LovaszHinge { per_image }),
            "naic.lovasz_softmax" => one(Loss::LovaszSoftmax { absent: !self.has("present"), per_image }),
            "smp.Focal" => one(Loss::Focal {
                gamma: self.number("gamma").unwrap_or(2.0),
                alpha: self.number("alpha"),
                normalised: self.has("normalized"),
            }),
            // Its alpha is on every element.
            "naic.FocalLoss" => Some(vec![(0.75, Loss::Focal { gamma: 2.0, alpha: None, normalised: false })]),
            "smp.Dice" => self.tversky([0.5, 0.5]),
            "smp.Jaccard" => self.tversky([1.0, 1.0]),
            "smp.Tversky" => self.tversky([self.number("alpha").unwrap_or(0.5), self.number("beta").unwrap_or(0.5)]),
            "torch.bce_with_logits" => one(Loss::Binary),
            "naic.DiceLoss" => one(Loss::Dice2020 { sigmoid: self.has("sigmoid") }),
            "naic.MixLoss" => Some(vec![(1.0, Loss::Binary), (1.0, Loss::Dice2020 { sigmoid: self.has("sigmoid") })]),
            "naic.LabelSmoothSoftmaxCE" => one(Loss::Smoothed2020 { smoothing: 0.1 }),
            // A soft target everywhere: every window is wider than the map.
            "naic.LabelSmoothCE" => one(Loss::EdgeSmoothed { smoothing: 0.2, radius: 64 }),
            "naic.1-SSIM" => one(Loss::Structure),
            "naic.IOU" => one(Loss::SoftIou),
            "hrnet.CrossEntropy" => one(Loss::CROSS_ENTROPY),
            "hrnet.OhemCrossEntropy" => one(Loss::HardPixels {
                threshold: self.number("thres")?,
                #[expect(clippy::cast_possible_truncation, reason = "a count of pixels")]
                at_least: self.number("min_kept")? as i64,
            }),
            _ => None,
        };
        let is_binary = self.has("binary") || family == "naic.lovasz_hinge";
        let auxiliary = match family {
            "hrnet.CrossEntropy" => Some(Auxiliary::LabelledPixels),
            "hrnet.OhemCrossEntropy" => Some(Auxiliary::AllPixels),
            _ => None,
        };
        Some(Named { main: Mix(main?), auxiliary, is_binary })
    }

    fn tversky(&self, costs: [f64; 2]) -> Option<Vec<(f64, Loss)>> {
        let (smooth, log) = (self.number("smooth").unwrap_or(0.0), self.has("log_loss"));
        Some(vec![(1.0, Loss::Tversky { costs, smooth, log })])
    }
}
