//! Which tensors of a file are meant.

/// Which tensors of a file are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// The network's own, by the network's names. An average over the training is taken when there is nothing else.
    #[default]
    Network,
    /// The network's average over the training (EMA).
    Average,
    /// All, by the names or paths that they have in the file.
    Everything,
}
