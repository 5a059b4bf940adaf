//! Names of weights whose shapes tell why a file does not fit.

/// Endings of the names of weights whose first dimension is the number of classes.
pub const CLASSIFIER: [&str; 16] = [
    "segmentation_head.0.weight",
    "fc.weight",
    "classifier.weight",
    "cbr_last.6.weight",
    "cbr_last.4.weight",
    "cls_head.weight",
    "aux_head.3.weight",
    "last_layer.3.weight",
    "seg1.1.weight",
    "conv6.1.weight",
    "conv7.1.weight",
    "conv8.1.weight",
    "clf_conv.weight",
    "Conv_1x1.weight",
    "final.weight",
    "outconv1.weight",
];

/// Endings of the names of weights whose second dimension is the number of bands.
pub const STEM: [&str; 7] = [
    "encoder.conv1.weight",
    "conv1.weight",
    "conv1.0.weight",
    "low_features.0.weight",
    "inconv.weight",
    "Conv1.conv.0.weight",
    "stem.0.conv.weight",
];
