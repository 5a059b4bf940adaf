//! `--assign`: which device holds which members. The masks are the same either way.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use crate::app::Error;
use crate::config::Pipeline;
use crate::plan::{Assignment, DeviceId};
use crate::words::listed;

/// How members are spread over devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Assign {
    /// Every device holds every member.
    #[default]
    Replicate,
    /// Each device holds as few as possible: for members that do not fit on one device together.
    Partition,
    /// As a file says.
    File(PathBuf),
}

impl FromStr for Assign {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "replicate" => Self::Replicate,
            "partition" => Self::Partition,
            file => Self::File(file.into()),
        })
    }
}

/// The file: `[[device]]` with `id` and `members`, each device once or, where several workers share it, more often.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AssignFile {
    device: Vec<DeviceTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceTable {
    id: String,
    members: Vec<String>,
}

impl Assign {
    /// The devices that the file names; none where there is no file.
    ///
    /// # Errors
    /// When the file cannot be read, or names something that is no device.
    pub(super) fn devices(&self) -> Result<Option<Vec<DeviceId>>, Error> {
        let Self::File(path) = self else { return Ok(None) };
        let device = |table: DeviceTable| table.id.parse().map_err(|e| wrong(path, e));
        read(path)?.device.into_iter().map(device).collect::<Result<_, _>>().map(Some)
    }

    /// The assignment of a pipeline's members to so many devices.
    ///
    /// # Errors
    /// When the file cannot be read, names no member, leaves one out, or gives it to devices that hold different ones.
    pub(super) fn assignment(&self, n_devices: usize, pipeline: &Pipeline) -> Result<Assignment, Error> {
        let path = match self {
            Self::Replicate => return Ok(Assignment::replicate(n_devices, pipeline.members.len())),
            Self::Partition => {
                let costs: Vec<u64> = pipeline.members.iter().map(|m| m.spec.macs()[0].max(1)).collect();
                return Ok(Assignment::partition(n_devices, &costs));
            }
            Self::File(path) => path,
        };
        let names: Vec<&str> = pipeline.members.iter().map(|m| m.name.as_str()).collect();
        let mut holds = Vec::new();
        for DeviceTable { id, members } in read(path)?.device {
            if let Some(unknown) = members.iter().find(|member| !names.contains(&member.as_str())) {
                let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let known = listed(&quoted, 10);
                return Err(wrong(path, format!("{id}: the pipeline has no member `{unknown}`; it has {known}")));
            }
            holds.push(names.iter().map(|name| members.iter().any(|member| member == name)).collect::<Vec<bool>>());
        }
        if let Some(left) = (0..names.len()).find(|member| !holds.iter().any(|device| device[*member])) {
            return Err(wrong(path, format!("no device holds the member `{}`", names[left])));
        }
        Assignment::from_matrix(holds).ok_or_else(|| {
            wrong(
                path,
                "two devices share some members and not all: each must hold the same as another one, or nothing of it"
                    .into(),
            )
        })
    }
}

fn read(path: &Path) -> Result<AssignFile, Error> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        wrong(path, format!("{e}; write replicate, partition, or the name of a file with [[device]] tables"))
    })?;
    let file: AssignFile = toml::from_str(&text).map_err(|e| wrong(path, e.to_string().trim_end().to_owned()))?;
    if file.device.is_empty() { Err(wrong(path, "it names no device".into())) } else { Ok(file) }
}

fn wrong(path: &Path, what: String) -> Error {
    Error::Usage(format!("--assign `{}`: {what}", path.display()))
}
