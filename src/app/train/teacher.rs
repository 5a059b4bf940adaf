//! The teachers of a recipe: whether they can teach this network, and what they are known by.

use sha2::{Digest, Sha256};

use crate::app::Error;
use crate::config::train::Train;
use crate::config::{Pipeline, Weights};

/// The pipeline of the teachers, and the digest of all that their answers depend on; none where there are none.
///
/// # Errors
/// When it cannot be read, or its networks speak of other classes or see pixels otherwise.
pub(super) fn teachers(recipe: &Train, student: &Pipeline) -> Result<Option<(Pipeline, String)>, Error> {
    let Some(distill) = &recipe.distill else { return Ok(None) };
    let file = distill.teacher.display();
    let refused = |what: &str| Error::Usage(format!("train.distill.teacher: `{file}` {what}"));
    let pipeline = Pipeline::load(&distill.teacher, &[])?;
    let names = |of: &Pipeline| of.classes.classes().iter().map(|class| class.name.clone()).collect::<Vec<_>>();
    if names(&pipeline) != names(student) {
        let (theirs, own) = (names(&pipeline).join(", "), names(student).join(", "));
        return Err(refused(&format!(
            "knows the classes {theirs}, and the network in training {own}: name them alike, in one order"
        )));
    }
    if pipeline.reading != student.reading {
        return Err(refused(
            "reads scenes otherwise ([input]: nodata, apply_scale, resolution): they must be read alike",
        ));
    }
    let own = &student.members[0].input.divide;
    let is_other = |divide: &std::collections::BTreeMap<_, f64>| {
        divide.iter().any(|(dtype, by)| own.get(dtype).is_some_and(|own| own != by))
    };
    if pipeline.members.iter().any(|member| is_other(&member.input.divide)) {
        return Err(refused("divides pixels by other numbers (input.divide)"));
    }
    let mut digest = Sha256::new();
    for member in &pipeline.members {
        let known = (&member.spec, &member.input, member.weight, pipeline.combine);
        digest.update(serde_json::to_vec(&known).map_err(|e| Error::Internal(e.to_string()))?);
        if let Weights::File(file) = &member.weights {
            digest.update(crate::weights::digest(file)?);
        }
    }
    let digest = crate::hex(&digest.finalize());
    Ok(Some((pipeline, digest)))
}
