//! Conversion of a network's variables.

use tch::nn::VarStore;
use tch::{Kind, TchError, Tensor};

/// Converts every variable that is no integer. `VarStore`'s own way panics where the device has no room.
///
/// # Errors
/// When libtorch refuses, for want of memory for instance; some variables may be converted then.
pub fn convert(store: &VarStore, kind: Kind) -> Result<(), TchError> {
    for mut variable in store.variables().into_values().filter(Tensor::is_floating_point) {
        let converted = variable.f_to_kind(kind)?;
        variable.f_set_data(&converted)?;
    }
    Ok(())
}
