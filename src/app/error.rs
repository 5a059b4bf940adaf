//! Why a command could not do what it was asked.

use std::path::PathBuf;

use crate::atomic::WriteError;
use crate::config::ConfigError;
use crate::dataset::{DatasetError, LoadError};
use crate::eval::EvalError;
use crate::exit::ExitCode;
use crate::infer::DeviceError;
use crate::journal::JournalError;
use crate::journal::ledger::{LedgerError, StoreError};
use crate::lifecycle::{self, Signal};
use crate::outputs::OutputError;
use crate::package::PackageError;
use crate::plan::{PlanError, PlanFileError, ScanError};
use crate::raster::GdalError;
use crate::report::PrintError;
use crate::stages::{GraphError, StageError};
use crate::weights::WeightsError;

/// What an interrupted run is told.
const GOES_ON: &str = "the same command (without --fresh or --from) goes on from here";

/// Output names that an error lists.
const LISTED: usize = 10;

/// Why a command ended without its result. What costs a scene is no error: it is in the report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pipeline file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The inputs.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Labelled scenes.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Crops of them.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A plan that was saved.
    #[error(transparent)]
    PlanFile(#[from] PlanFileError),
    /// The plan as a whole.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// What was asked contradicts itself or the machine.
    #[error("{0}")]
    Usage(String),
    /// GDAL itself, not a file.
    #[error(transparent)]
    Gdal(#[from] GdalError),
    /// A weights file, before work starts.
    #[error("cannot use the weights of member `{member}`")]
    Weights {
        /// The member.
        member: String,
        /// What is wrong with them.
        #[source]
        source: WeightsError,
    },
    /// A weights file that was looked at or converted.
    #[error(transparent)]
    WeightsFile(#[from] WeightsError),
    /// A device or a member's weights.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Devices that would give other bytes than a saved plan's.
    #[error(
        "{device} is of the class {class}, and the plan `{}` is made for {made}, which does not give the same bytes; name --devices of \
         that class, or plan again",
        file.display()
    )]
    WrongClass {
        /// The device.
        device: String,
        /// Its class.
        class: String,
        /// The plan.
        file: PathBuf,
        /// The class that it is made for.
        made: String,
    },
    /// A device was lost in the middle of the work.
    #[error("the device {device} is lost: {detail}; {GOES_ON}")]
    DeviceLost {
        /// The device.
        device: String,
        /// What it said.
        detail: String,
    },
    /// Devices were lost again and again, and none is left.
    #[error(
        "no device is left: {} lost {} times each, the last time with: {cause}; see to them, then {GOES_ON}",
        were(devices),
        super::run::devices::MOST_FAULTS
    )]
    NoDevice {
        /// Those that were asked for.
        devices: Vec<String>,
        /// What the last one said.
        cause: String,
    },
    /// Files of somebody else at output names.
    #[error("{}", describe(.0))]
    Foreign(Vec<PathBuf>),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A command's answer could not be printed.
    #[error(transparent)]
    Print(#[from] PrintError),
    /// A mask could not be written.
    #[error(transparent)]
    Mask(#[from] OutputError),
    /// The archive could not be made.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The journal could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another run is at work in the run directory, or the run cannot begin or go on.
    #[error(transparent)]
    Lifecycle(#[from] lifecycle::Error),
    /// The dataflow ended early.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Scores could not be computed.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A training whose loss is no number, again and again.
    #[error("{0}")]
    Diverged(String),
    /// Somebody stopped it.
    #[error("stopped by {0}; {GOES_ON}")]
    Stopped(Signal),
    /// The disk is full, or the quota used up.
    #[error(
        "no room for the outputs: up to {needed} more are needed (uncompressed), {free} are free; make room and run the same command"
    )]
    NoRoom {
        /// What the rest may take.
        needed: String,
        /// What there is.
        free: String,
        /// What could not be written.
        #[source]
        source: Box<Error>,
    },
    /// The outputs cannot be written for another reason, which the source tells.
    #[error("the outputs cannot be written; see to the cause and run the same command")]
    OutputRefused {
        /// What could not be written, and why.
        #[source]
        source: Box<Error>,
    },
    /// The outputs cannot be written for a reason that is not told: SQLite says neither why it could not open or sync a
    /// file, nor that a quota is used up.
    #[error(
        "the outputs cannot be written: up to {needed} more are needed (uncompressed), {free} are free; see to the cause and run the same \
         command"
    )]
    Unwritable {
        /// What the rest may take.
        needed: String,
        /// What there is.
        free: String,
        /// What could not be written.
        #[source]
        source: Box<Error>,
    },
    /// What runs of parts of a plan have left is not all of it.
    #[error("{0}")]
    PartsMissing(String),
    /// Two of them have recorded different bytes for one thing.
    #[error(
        "two runs of parts of the plan differ: {0}; which of them is right cannot be told from here: find out what differs between these \
         hosts, then remove the records of the one that is wrong and run its shard again"
    )]
    Conflict(String),
    /// Somebody stopped what no later command goes on with.
    #[error("stopped by {0}")]
    Interrupted(Signal),
    /// A fact that should always hold does not.
    #[error("internal error: {0}; this is a bug in swath")]
    Internal(String),
}

impl Error {
    /// How a command ends with it. What the disk or its permissions are to blame for is [`ExitCode::Output`], and nothing else is.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Write(_)
            | Self::Print(_)
            | Self::NoRoom { .. }
            | Self::OutputRefused { .. }
            | Self::Unwritable { .. }
            | Self::Mask(OutputError::Write(_))
            | Self::Package(
                PackageError::Write(_)
                | PackageError::Verify { .. }
                | PackageError::Blank { source: OutputError::Write(_), .. },
            )
            | Self::WeightsFile(WeightsError::Write(_))
            | Self::Journal(JournalError::Sql { .. }) => ExitCode::Output,
            Self::Journal(JournalError::Ledger(e)) => of_ledger(e),
            Self::Journal(JournalError::Unreadable { .. } | JournalError::Format { .. }) => ExitCode::Unreadable,
            Self::PartsMissing(_) => ExitCode::OutOfTime,
            Self::Config(ConfigError::File(_) | ConfigError::Weights(_))
            | Self::Weights { .. }
            | Self::WeightsFile(_) => ExitCode::Weights,
            Self::Config(ConfigError::Read { .. } | ConfigError::Parse { .. } | ConfigError::Setting { .. })
            | Self::Scan(_)
            | Self::Dataset(_)
            | Self::Plan(_)
            | Self::PlanFile(_)
            | Self::Usage(_)
            | Self::Foreign(_)
            | Self::Eval(_) => ExitCode::Usage,
            Self::Load(LoadError::Pair { .. } | LoadError::NoLabels { .. }) => ExitCode::ScenesFailed,
            Self::Load(LoadError::Empty) => ExitCode::Usage,
            Self::WrongClass { .. } => ExitCode::WrongClass,
            Self::Device(e) => of_device(e),
            Self::DeviceLost { .. } | Self::NoDevice { .. } => ExitCode::NoDevice,
            Self::Stopped(signal) | Self::Interrupted(signal) => signal.exit_code(),
            Self::Lifecycle(e) => match e {
                lifecycle::Error::Locked { .. } => ExitCode::Locked,
                lifecycle::Error::Write(_) => ExitCode::Output,
                lifecycle::Error::System { .. } | lifecycle::Error::Died { .. } | lifecycle::Error::Stalled { .. } => {
                    ExitCode::Internal
                }
            },
            Self::Graph(GraphError::Stage { source, .. }) => of_stage(source),
            Self::Graph(GraphError::Planted { .. } | GraphError::Panic { .. } | GraphError::Spawn { .. })
            | Self::Load(LoadError::Stopped | LoadError::Threads(_))
            | Self::Gdal(_)
            | Self::Mask(_)
            | Self::Package(_)
            | Self::Diverged(_)
            | Self::Conflict(_)
            | Self::Internal(_) => ExitCode::Internal,
        }
    }
}

fn of_ledger(error: &LedgerError) -> ExitCode {
    match error {
        LedgerError::OtherPlan { .. } => ExitCode::Usage,
        LedgerError::Format { .. } => ExitCode::Unreadable,
        LedgerError::Store(StoreError::Write(_)) | LedgerError::Stopped { .. } => ExitCode::Output,
        LedgerError::Store(StoreError::Read { .. } | StoreError::Different { .. }) | LedgerError::Thread(_) => {
            ExitCode::Internal
        }
    }
}

fn of_stage(error: &StageError) -> ExitCode {
    match error {
        StageError::Device(e) => of_device(e),
        StageError::Keep(_) | StageError::Commit(_) | StageError::Encode(OutputError::Write(_)) => ExitCode::Output,
        StageError::Encode(_) | StageError::Read(_) => ExitCode::Internal,
    }
}

fn of_device(error: &DeviceError) -> ExitCode {
    match error {
        DeviceError::Weights { .. } => ExitCode::Weights,
        DeviceError::Missing { .. } | DeviceError::OutOfMemory { .. } | DeviceError::Lost { .. } => ExitCode::NoDevice,
        DeviceError::Forward { .. } | DeviceError::Halted => ExitCode::Internal,
    }
}

/// Names of devices as the subject of a sentence.
fn were(devices: &[String]) -> String {
    format!("{} {}", devices.join(", "), if devices.len() == 1 { "was" } else { "were" })
}

fn describe(paths: &[PathBuf]) -> String {
    let listed = paths.iter().take(LISTED).map(|p| format!("`{}`", p.display())).collect::<Vec<_>>().join(", ");
    let more = if paths.len() > LISTED { format!(" and {} more", paths.len() - LISTED) } else { String::new() };
    format!(
        "{listed}{more}: not written by an earlier run into this folder; add --overwrite to replace, or choose another -o"
    )
}
