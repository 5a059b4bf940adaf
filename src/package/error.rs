//! Why there is no archive.

use std::io;
use std::path::PathBuf;

use zip::result::ZipError;

use crate::atomic::WriteError;
use crate::geom::Size;
use crate::outputs::OutputError;

/// Why an archive cannot be made. What stood at its path before still stands there.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The expected set is empty.
    #[error("there is no mask to put into `{}`", path.display())]
    Empty {
        /// The archive.
        path: PathBuf,
    },
    /// A name that would be extracted elsewhere, or nowhere.
    #[error("`{name}` cannot be a name in the archive: {cause}")]
    Name {
        /// The name, prefix included.
        name: String,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// Two entries with one name.
    #[error("two files would be called `{name}` in the archive; rename a scene, or put the two in different folders")]
    Duplicate {
        /// The name, prefix included.
        name: String,
    },
    /// A file is not there.
    #[error("cannot read `{}`; run again to have it written anew", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A mask is damaged or no mask.
    #[error("`{}` cannot be packed; delete it and run again to have it written anew", path.display())]
    Mask {
        /// The mask.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: OutputError,
    },
    /// A mask of another kind than the pipeline writes.
    #[error(
        "`{}` holds {found} where the pipeline asks for {wanted}; delete it and run again to have it written anew",
        path.display()
    )]
    Kind {
        /// The mask.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What the pipeline says.
        wanted: String,
    },
    /// A mask of another extent than its scene.
    #[error(
        "`{}` has {found} pixels and its scene {wanted}; delete it and run again to have it written anew",
        path.display()
    )]
    Extent {
        /// The mask.
        path: PathBuf,
        /// Its extent.
        found: Size,
        /// The scene's.
        wanted: Size,
    },
    /// A pixel that is no class.
    #[error(
        "`{}` holds {value} at column {x}, row {y}, which is no value of the class table; \
         delete it and run again to have it written anew",
        path.display()
    )]
    Value {
        /// The mask.
        path: PathBuf,
        /// The value.
        value: u16,
        /// Column, from 0.
        x: u32,
        /// Row, from 0.
        y: u32,
    },
    /// A mask of one value that cannot be made.
    #[error("cannot make the blank mask `{name}`")]
    Blank {
        /// The name, prefix included.
        name: String,
        /// Why.
        #[source]
        source: OutputError,
    },
    /// The file system refuses.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The archive's format has no room for it, or its library gives up.
    #[error("cannot build the archive `{}`", path.display())]
    Zip {
        /// The archive.
        path: PathBuf,
        /// What the library says.
        #[source]
        source: ZipError,
    },
    /// What was written does not come back.
    #[error("the archive written for `{}` cannot be read back at {at}; check the disk and run again", path.display())]
    Verify {
        /// The archive.
        path: PathBuf,
        /// The entry, or "its directory".
        at: String,
        /// What came instead.
        #[source]
        source: ZipError,
    },
}
