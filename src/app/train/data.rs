//! What is trained on, and what validates.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Parts, TrainRequest};
use crate::app::Error;
use crate::app::data::threads;
use crate::config::{Band, Pipeline};
use crate::dataset::{Found, Index, Pair, Part, Reader, Refused, Setup, exclude, find, share_out};
use crate::flow::Stop;

/// Labelled scenes, looked through.
pub(super) struct Data {
    /// What crops are taken from.
    pub(super) train: Arc<Index>,
    /// What is predicted whole.
    pub(super) val: Vec<Pair>,
    /// Of those.
    pub(super) val_digest: String,
    /// Folders below which parts of mosaics lie.
    pub(super) homes: Vec<PathBuf>,
    /// What is no use, and why.
    pub(super) refused: Vec<Refused>,
}

/// Finds the pairs and reads their masks; `None` when somebody stops it.
///
/// # Errors
/// When there is nothing to train on or to validate with.
pub(super) fn look(request: &TrainRequest, pipeline: &Pipeline, stop: &Stop) -> Result<Option<Data>, Error> {
    let mut found = find(&request.input, &pipeline.data)?;
    if let Some(list) = &request.exclude {
        exclude(&mut found, list)?;
    }
    let setup = Setup::of(pipeline, &request.input, &found.pairs).map_err(Error::Usage)?;
    Reader::new(&setup).set_parts_aside(&mut found);
    let Found { mut pairs, strays } = found;
    if let Parts::FoldOf(_, n) = request.parts {
        share_out(&mut pairs, n).map_err(|reason| Error::Usage(format!("`{}`: {reason}", request.input.display())))?;
    }
    let mut refused: Vec<Refused> = strays
        .into_iter()
        .map(|stray| Refused { name: stray.path.display().to_string(), cause: stray.cause })
        .collect();
    let n_strays = refused.len();
    let of = |trains: bool| -> Vec<Pair> {
        pairs.iter().filter(|pair| request.parts.trains(pair.part) == Some(trains)).cloned().collect()
    };
    let (train, val) = (of(true), of(false));
    for (pairs, trains) in [(&train, true), (&val, false)] {
        if pairs.is_empty() {
            return Err(nothing(request, &pairs_in(&request.parts, trains)));
        }
    }
    by_file(&val, pipeline)?;
    let mut index = |pairs: &[Pair]| {
        let (index, own) = Index::build(&setup, pairs, threads(), stop, &|| ())?;
        refused.extend(own);
        Some(index)
    };
    let (Some(train), Some(val_index)) = (index(&train), index(&val)) else { return Ok(None) };
    let unusable: BTreeSet<&str> = refused.iter().map(|pair| pair.name.as_str()).collect();
    let val: Vec<Pair> = val.into_iter().filter(|pair| !unusable.contains(pair.full_name().as_str())).collect();
    if train.is_empty() || val.is_empty() {
        // What is wrong with a pair says more than what is in none.
        let first = refused
            .get(n_strays)
            .or(refused.first())
            .map(|pair| format!("; `{}`: {}", pair.name, pair.cause))
            .unwrap_or_default();
        let part = pairs_in(&request.parts, train.is_empty());
        return Err(Error::Usage(format!("no pair of {part} can be used{first}; `swath data check` tells all")));
    }
    Ok(Some(Data {
        train: Arc::new(train),
        val,
        val_digest: val_index.digest().to_owned(),
        homes: setup.homes().to_vec(),
        refused,
    }))
}

impl Parts {
    /// What a pair of a part is for: `Some(true)` to be trained on, `Some(false)` to validate.
    fn trains(self, part: Part) -> Option<bool> {
        match (self, part) {
            (Self::Named, Part::Train) => Some(true),
            (Self::Named, Part::Val) => Some(false),
            (Self::Fold(own) | Self::FoldOf(own, _), Part::Fold(fold)) => Some(own != fold),
            (Self::Named, Part::All | Part::Test | Part::Fold(_))
            | (Self::Fold(_) | Self::FoldOf(..), Part::All | Part::Train | Part::Val | Part::Test) => None,
        }
    }
}

fn pairs_in(parts: &Parts, trains: bool) -> String {
    match (parts, trains) {
        (Parts::Named, true) => "the part train".to_owned(),
        (Parts::Named, false) => "the part val".to_owned(),
        (Parts::Fold(fold) | Parts::FoldOf(fold, _), true) => format!("the folds other than fold{fold}"),
        (Parts::Fold(fold) | Parts::FoldOf(fold, _), false) => format!("fold{fold}"),
    }
}

fn nothing(request: &TrainRequest, part: &str) -> Error {
    let split = match request.parts {
        Parts::Named => "--val 0.1",
        Parts::Fold(_) | Parts::FoldOf(..) => "--folds 5",
    };
    Error::Usage(format!(
        "`{0}` has no pairs in {part}; share them out with `swath data split PIPELINE -i {0} -o pairs.tsv {split}` and name the list that it \
         writes",
        request.input.display()
    ))
}

/// Validation runs as every run does, which finds a scene's files by the patterns of its bands.
fn by_file(val: &[Pair], pipeline: &Pipeline) -> Result<(), Error> {
    let is_several = val.iter().any(|pair| pair.images.len() > 1);
    let are_files = pipeline.bands().iter().all(|band| matches!(band, Band::File(_)));
    if is_several && !are_files {
        let text = "images have a file for each band; name them in input.bands, e.g. bands = [\"*_0000.tif\", \"*_0001.tif\"], so that \
                    `swath run` finds them as well";
        return Err(Error::Usage(text.to_owned()));
    }
    Ok(())
}
