//! What is asked of a place where records lie.

use std::io;

use crate::atomic::WriteError;

/// A place where files lie that never change. Names have `/` between folder and file.
pub trait Store: Send + Sync {
    /// Puts these bytes there, whole and durable when this returns. That they are there already is fine.
    ///
    /// # Errors
    /// When the store refuses, or holds something else under this name.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// What lies there; `None` where nothing does, or nothing is seen yet.
    ///
    /// # Errors
    /// When the store refuses.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Names of what lies in this folder and is seen, ascending; none where there is no such folder.
    ///
    /// # Errors
    /// When the store refuses.
    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError>;

    /// A name as a person finds it.
    fn locate(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// Why a store does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It could not be read.
    #[error("cannot read `{place}`")]
    Read {
        /// The file or folder.
        place: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Somebody else has this name.
    #[error(
        "`{place}` is there with other content: two processes believe to be the same attempt; start this one again"
    )]
    Different {
        /// The file.
        place: String,
    },
}
