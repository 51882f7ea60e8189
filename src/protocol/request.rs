//! One call of the plugin: what the runtime says by environment and stdin (CNI spec 1.1.0,
//! section 2).

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;

use super::args::Args;
use super::config::NetworkConfig;
use super::error::Error;
use super::names::{self, NameError};
use super::version::Version;

/// What the runtime asks for, in CNI_COMMAND.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Make an attachment.
    Add,
    /// Remove an attachment, whatever is left of it.
    Del,
    /// Say whether an attachment is as ADD left it.
    Check,
    /// Remove what belongs to no valid attachment.
    Gc,
    /// Say whether ADD can be served.
    Status,
    /// Say which versions are spoken.
    Version,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 6] =
        [Self::Add, Self::Del, Self::Check, Self::Gc, Self::Status, Self::Version];

    /// The verb as CNI_COMMAND has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }

    /// The first version whose configurations may be used with the verb.
    pub const fn least_version(self) -> Version {
        match self {
            Self::Add | Self::Del | Self::Version => Version::V0_1_0,
            Self::Check => Version::V0_4_0,
            Self::Gc | Self::Status => Version::V1_1_0,
        }
    }

    /// Whether the verb is about one attachment, and so comes with container ID and interface.
    pub const fn is_about_one_attachment(self) -> bool {
        matches!(self, Self::Add | Self::Del | Self::Check)
    }

    const fn required(self) -> &'static [&'static str] {
        match self {
            Self::Add | Self::Check => &[CONTAINER_ID, NETNS, IFNAME],
            Self::Del => &[CONTAINER_ID, IFNAME],
            Self::Gc => &[PATH],
            Self::Status | Self::Version => &[],
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Verb {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|verb| verb.as_str() == text)
            .ok_or_else(|| Error::UnknownCommand { given: text.to_owned() })
    }
}

const COMMAND: &str = "CNI_COMMAND";
const CONTAINER_ID: &str = "CNI_CONTAINERID";
const NETNS: &str = "CNI_NETNS";
const IFNAME: &str = "CNI_IFNAME";
const ARGS: &str = "CNI_ARGS";
const PATH: &str = "CNI_PATH";
const NETNS_OVERRIDE: &str = "CNI_NETNS_OVERRIDE";

/// A call whose every part has been read and checked.
#[derive(Debug, Clone)]
pub struct Request {
    /// CNI_COMMAND.
    pub verb: Verb,
    /// CNI_CONTAINERID; empty for verbs that are not about one attachment.
    pub container_id: String,
    /// CNI_NETNS, as written; DEL may come without one.
    pub netns: Option<PathBuf>,
    /// CNI_IFNAME; empty for verbs that are not about one attachment.
    pub ifname: String,
    /// CNI_ARGS; empty for verbs that are not about one attachment.
    pub args: Args,
    /// CNI_PATH, in which delegated plugins are looked for, in this order.
    pub path: Vec<PathBuf>,
    /// CNI_NETNS_OVERRIDE: whether CNI_NETNS may be the plugin's own namespace.
    pub netns_override: bool,
    /// The configuration on stdin; for VERSION only its `cniVersion` counts.
    pub config: NetworkConfig,
}

impl Request {
    /// A request for nothing in particular, to see what plugins make of a configuration.
    pub fn of_configuration(config: NetworkConfig) -> Self {
        Self {
            verb: Verb::Status,
            container_id: String::new(),
            netns: None,
            ifname: String::new(),
            args: Args::default(),
            path: Vec::new(),
            netns_override: false,
            config,
        }
    }

    /// Reads a call: the environment first, and stdin only if that is in order, so that a person
    /// who forgets a variable is told so at once.
    ///
    /// Variables that mean nothing to the verb are not looked at. On DEL, CNI_ARGS that cannot be
    /// read count as empty: the ADD that was refused because of them is followed by a DEL, and
    /// that must not be refused as well.
    ///
    /// # Errors
    /// Codes 4 for the environment, 5 and 6 for stdin, 7 for the configuration, and 1 for its
    /// version or for a verb that came later than its version.
    pub fn read(
        env: &dyn Fn(&str) -> Option<OsString>,
        stdin: &mut dyn Read,
    ) -> Result<Self, Error> {
        let verb: Verb = text(env, COMMAND)?.ok_or(Error::MissingCommand)?.parse()?;
        let missing: Vec<_> = verb
            .required()
            .iter()
            .copied()
            .filter(|name| env(name).is_none_or(|value| value.is_empty()))
            .collect();
        if !missing.is_empty() {
            return Err(Error::MissingVariables { verb, names: missing });
        }

        let attachment = if verb.is_about_one_attachment() {
            Attachment::read(verb, env)?
        } else {
            Attachment::default()
        };
        let path = match verb {
            Verb::Version => String::new(),
            _ => text(env, PATH)?.unwrap_or_default(),
        };
        let folders = path.split(':').filter(|folder| !folder.is_empty());
        Ok(Self {
            verb,
            container_id: attachment.container_id,
            netns: attachment.netns,
            ifname: attachment.ifname,
            args: attachment.args,
            path: folders.map(PathBuf::from).collect(),
            netns_override: attachment.netns_override,
            config: config(verb, stdin)?,
        })
    }
}

/// The variables that only ADD, DEL and CHECK have.
#[derive(Default)]
struct Attachment {
    container_id: String,
    netns: Option<PathBuf>,
    ifname: String,
    args: Args,
    netns_override: bool,
}

impl Attachment {
    fn read(verb: Verb, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        Ok(Self {
            container_id: name(env, CONTAINER_ID, names::container_id)?,
            netns: text(env, NETNS)?.map(PathBuf::from),
            ifname: name(env, IFNAME, names::interface_name)?,
            args: match args(env) {
                Err(error) if verb == Verb::Del => {
                    log::warn!("DEL goes on as if there were none: {error}");
                    Args::default()
                }
                args => args?,
            },
            netns_override: text(env, NETNS_OVERRIDE)?
                .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true")),
        })
    }
}

fn config(verb: Verb, stdin: &mut dyn Read) -> Result<NetworkConfig, Error> {
    // Enough for nearly every configuration in one piece.
    let mut bytes = Vec::with_capacity(4096);
    let read = stdin.read_to_end(&mut bytes);
    if verb == Verb::Version {
        return Ok(NetworkConfig::of_version_request(bytes));
    }
    read.map_err(Error::Stdin)?;
    let config = NetworkConfig::read(bytes)?;
    if config.version < verb.least_version() {
        let error =
            Error::VerbTooNew { verb, least: verb.least_version(), version: config.version };
        return Err(error.spoken_in(config.version));
    }
    Ok(config)
}

/// A variable's text; none if it is absent or empty.
fn text(
    env: &dyn Fn(&str) -> Option<OsString>,
    name: &'static str,
) -> Result<Option<String>, Error> {
    let Some(value) = env(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    value.into_string().map(Some).map_err(|value| {
        let given = value.to_string_lossy().into_owned();
        Error::NotUtf8 { name, given }
    })
}

fn name(
    env: &dyn Fn(&str) -> Option<OsString>,
    name: &'static str,
    check: fn(&str) -> Result<(), NameError>,
) -> Result<String, Error> {
    let value = text(env, name)?.unwrap_or_default();
    check(&value).map_err(|problem| Error::Variable { name, problem })?;
    Ok(value)
}

fn args(env: &dyn Fn(&str) -> Option<OsString>) -> Result<Args, Error> {
    let text = text(env, ARGS)?.unwrap_or_default();
    Ok(Args::parse(&text)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
