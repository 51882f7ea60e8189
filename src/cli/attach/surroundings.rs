//! What a command that calls plugins takes from its environment, as cnitool does.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::cli::error::Error;
use crate::libcni::attachment::parse_args;
use crate::libcni::cache::CACHE_DIR;
use crate::libcni::{BIN_DIR, CONF_DIR, ConfDir, NetworkList, Runtime};

/// The environment, read and checked.
#[derive(Debug)]
pub(in crate::cli) struct Surroundings {
    /// NETCONFPATH.
    pub(in crate::cli) conf_dir: PathBuf,
    /// CNI_PATH, and where results are kept.
    pub(in crate::cli) runtime: Runtime,
    /// CNI_ARGS; none when it is not set.
    pub(super) args: Option<Vec<(String, String)>>,
    /// CAP_ARGS; none when it is not set.
    pub(super) capability_args: Option<Map<String, Value>>,
}

impl Surroundings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`Error::Variable`].
    pub(in crate::cli) fn read() -> Result<Self, Error> {
        let path = variable("CNI_PATH")?.unwrap_or_else(|| BIN_DIR.to_owned());
        let path = path.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect();
        let args = variable("CNI_ARGS")?.map(|text| {
            parse_args(&text).map_err(|pair| Error::Variable {
                name: "CNI_ARGS",
                problem: format!("{pair:?} is not of the form KEY=value"),
            })
        });
        let capability_args = variable("CAP_ARGS")?.map(|text| {
            serde_json::from_str(&text).map_err(|error| Error::Variable {
                name: "CAP_ARGS",
                problem: format!("must be a JSON object of capabilities: {error}"),
            })
        });
        Ok(Self {
            conf_dir: conf_dir()?,
            runtime: Runtime { path, results: Path::new(CACHE_DIR).join("results") },
            args: args.transpose()?,
            capability_args: capability_args.transpose()?,
        })
    }

    /// The network of a name.
    ///
    /// # Errors
    /// [`Error::Conf`].
    pub(in crate::cli) fn network(&self, name: &str) -> Result<NetworkList, Error> {
        Ok(ConfDir::load(&self.conf_dir)?.network(name)?.clone())
    }
}

/// The folder of configurations.
///
/// # Errors
/// [`Error::Variable`].
pub(in crate::cli) fn conf_dir() -> Result<PathBuf, Error> {
    Ok(variable("NETCONFPATH")?.map_or_else(|| CONF_DIR.into(), PathBuf::from))
}

/// A variable's text; none if it is absent or empty.
///
/// # Errors
/// [`Error::Variable`] when it is not UTF-8.
pub(super) fn variable(name: &'static str) -> Result<Option<String>, Error> {
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    value.into_string().map(Some).map_err(|value| Error::Variable {
        name,
        problem: format!("{:?} is not valid UTF-8", value.to_string_lossy()),
    })
}
