//! The error object that a plugin prints on stdout (CNI spec 1.1.0, section 5, "Error"), and what
//! can go wrong in the protocol itself.

use std::error::Error as _;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use super::args::ArgsError;
use super::names::NameError;
use super::request::Verb;
use super::version::Version;

/// The codes that causeway uses: the specification's, and from 100 on its own.
///
/// docs/ERRORS.md lists them for people; a code once given keeps its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// The configuration asks for a CNI version that causeway does not speak.
    IncompatibleVersion = 1,
    /// A configuration key has a value that is not supported.
    UnsupportedField = 2,
    /// The container is unknown; the runtime need not clean up.
    UnknownContainer = 3,
    /// An environment variable is missing or malformed.
    InvalidEnvironment = 4,
    /// Reading or writing failed: stdin, stdout, or state on disk.
    Io = 5,
    /// Something could not be decoded, such as the JSON on stdin.
    Decode = 6,
    /// The network configuration is well formed but wrong.
    InvalidConfig = 7,
    /// A passing condition; the runtime should try again later.
    TryAgainLater = 11,
    /// The plugin cannot serve ADD (STATUS).
    NotAvailable = 50,
    /// The plugin cannot serve ADD, and what is attached may suffer (STATUS).
    LimitedConnectivity = 51,
    /// The kernel refused a request.
    Kernel = 100,
    /// A range has no free address left.
    AddressesExhausted = 101,
    /// An address that was asked for is taken or outside every range.
    AddressUnavailable = 102,
    /// The attachment, or an interface of its name, is already there.
    AlreadyAttached = 103,
    /// CHECK found something missing or different.
    CheckFailed = 104,
    /// A delegated plugin was not found or failed.
    Delegate = 105,
    /// The kernel lacks a feature that the configuration needs.
    MissingFeature = 106,
    /// Undoing a failed ADD, or a DEL or GC, could not remove everything.
    RemovalIncomplete = 107,
    /// A port of the host that was asked for is another attachment's.
    PortTaken = 108,
    /// A defect of causeway itself.
    Internal = 199,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 20] = [
        Self::IncompatibleVersion,
        Self::UnsupportedField,
        Self::UnknownContainer,
        Self::InvalidEnvironment,
        Self::Io,
        Self::Decode,
        Self::InvalidConfig,
        Self::TryAgainLater,
        Self::NotAvailable,
        Self::LimitedConnectivity,
        Self::Kernel,
        Self::AddressesExhausted,
        Self::AddressUnavailable,
        Self::AlreadyAttached,
        Self::CheckFailed,
        Self::Delegate,
        Self::MissingFeature,
        Self::RemovalIncomplete,
        Self::PortTaken,
        Self::Internal,
    ];
}

/// An error as the runtime sees it: code, a message a person can act on, and the cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniError {
    /// The protocol version in use; filled at the edge, where it is known.
    #[serde(rename = "cniVersion", default)]
    pub cni_version: String,
    /// One of [`Code`], or another plugin's.
    pub code: u32,
    /// What went wrong and what to do about it.
    pub msg: String,
    /// The underlying cause, such as the kernel's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl CniError {
    /// An error of `code` that says `msg`, with the cause in `details`.
    pub fn new(code: Code, msg: impl Into<String>, details: impl Into<String>) -> Self {
        Self {
            cni_version: String::new(),
            code: code as u32,
            msg: msg.into(),
            details: details.into(),
        }
    }

    /// The JSON to print on stdout. Without a version of its own the error speaks
    /// [`Version::CURRENT`], since the key is required.
    pub fn to_json(&self) -> String {
        let mut spoken = self.clone();
        if spoken.cni_version.is_empty() {
            spoken.cni_version = Version::CURRENT.to_string();
        }
        // Strings and a number always serialize.
        serde_json::to_string_pretty(&spoken).unwrap_or_default()
    }
}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.msg)?;
        if !self.details.is_empty() {
            write!(f, ": {}", self.details)?;
        }
        write!(f, " (code {})", self.code)
    }
}

impl std::error::Error for CniError {}

/// What can be wrong with a request, a configuration or a result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `cniVersion` is none of [`Version::ALL`].
    #[error("cniVersion {given:?} is not supported; set it to one of {}", listed(&Version::ALL, "or"))]
    UnsupportedVersion {
        /// The offending text.
        given: String,
    },
    /// The verb came later than the configuration's version.
    #[error("{verb} needs cniVersion {least} or later, but the configuration asks for {version}")]
    VerbTooNew {
        /// The verb asked for.
        verb: Verb,
        /// The first version that has it.
        least: Version,
        /// The configuration's version.
        version: Version,
    },
    /// CNI_COMMAND is absent or empty.
    #[error("CNI_COMMAND is not set; set it to one of {}", listed(&Verb::ALL, "or"))]
    MissingCommand,
    /// CNI_COMMAND names no verb.
    #[error("CNI_COMMAND is {given:?}; set it to one of {}", listed(&Verb::ALL, "or"))]
    UnknownCommand {
        /// The offending text.
        given: String,
    },
    /// Variables that the verb requires are absent or empty.
    #[error("{verb} needs {} in the environment, not empty", listed(names, "and"))]
    MissingVariables {
        /// The verb asked for.
        verb: Verb,
        /// Every one that is missing.
        names: Vec<&'static str>,
    },
    /// A variable's value is not UTF-8.
    #[error("{name} is {given:?}, which is not valid UTF-8")]
    NotUtf8 {
        /// The variable.
        name: &'static str,
        /// The value, with replacement characters.
        given: String,
    },
    /// A variable's value breaks its grammar.
    #[error("{name}: {problem}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Value and rule.
        problem: NameError,
    },
    /// CNI_ARGS cannot be read.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// Stdin cannot be read.
    #[error("cannot read the network configuration from stdin")]
    Stdin(#[source] io::Error),
    /// Stdin is empty.
    #[error("stdin is empty; give the network configuration there, as JSON")]
    NoConfiguration,
    /// Stdin is not JSON.
    #[error(
        "the network configuration on stdin is not valid JSON; see line {}, column {}",
        .0.line(),
        .0.column()
    )]
    Json(#[source] serde_json::Error),
    /// A required key of the configuration is absent or empty.
    #[error("the network configuration has no `{key}`; set it to {expected}")]
    MissingKey {
        /// The key's path.
        key: &'static str,
        /// What to set it to.
        expected: &'static str,
    },
    /// A key of the configuration has a value of the wrong type or form.
    #[error("network configuration{}: {reason}", at(path))]
    Key {
        /// The key's path, such as `ipam.ranges[0][0].subnet`; empty for the whole.
        path: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// A name in the configuration breaks its grammar.
    #[error("network configuration, `{path}`: {problem}")]
    KeyName {
        /// The key's path.
        path: String,
        /// Value and rule.
        problem: NameError,
    },
    /// A result cannot be read.
    #[error("result{}: {reason}", at(path))]
    Result {
        /// The key's path, such as `ips[0].address`; empty for the whole.
        path: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// A result without addresses has no form before 0.3.0.
    #[error(
        "a result of cniVersion {version} must have an IP address, but this attachment has none; use cniVersion 0.3.0 or later, or give it one by `ipam`"
    )]
    NoAddress {
        /// The version asked for.
        version: Version,
    },
    /// A value could not be written as JSON; a defect of causeway.
    #[error("cannot write {what} as JSON; this is a defect of causeway, please report it")]
    Serialize {
        /// What was to be written.
        what: &'static str,
        /// The serializer's words.
        source: serde_json::Error,
    },
    /// An error that came up when the version to answer in was known already.
    #[error("{error}")]
    Spoken {
        /// The version to answer in.
        version: Version,
        /// The error itself.
        error: Box<Error>,
    },
}

impl Error {
    /// The same error, to be answered in `version`.
    pub fn spoken_in(self, version: Version) -> Self {
        match self {
            Self::Spoken { .. } => self,
            error => Self::Spoken { version, error: Box::new(error) },
        }
    }

    /// The code that the specification's table, or causeway's own, gives this error.
    pub fn code(&self) -> Code {
        match self {
            Self::UnsupportedVersion { .. } | Self::VerbTooNew { .. } | Self::NoAddress { .. } => {
                Code::IncompatibleVersion
            }
            Self::MissingCommand
            | Self::UnknownCommand { .. }
            | Self::MissingVariables { .. }
            | Self::NotUtf8 { .. }
            | Self::Variable { .. }
            | Self::Args(_) => Code::InvalidEnvironment,
            Self::Stdin(_) => Code::Io,
            Self::NoConfiguration | Self::Json(_) | Self::Result { .. } => Code::Decode,
            Self::MissingKey { .. } | Self::Key { .. } | Self::KeyName { .. } => {
                Code::InvalidConfig
            }
            Self::Serialize { .. } => Code::Internal,
            Self::Spoken { error, .. } => error.code(),
        }
    }

    /// Where in the configuration something is wrong, as a key's path, and what; `None` if the error
    /// is about something else.
    pub fn place(&self) -> Option<(String, String)> {
        match self {
            Self::MissingKey { key, expected } => {
                Some(((*key).to_owned(), format!("is missing; set it to {expected}")))
            }
            Self::Key { path, reason } => Some((path.clone(), reason.clone())),
            Self::KeyName { path, problem } => Some((path.clone(), problem.to_string())),
            Self::UnsupportedVersion { .. } => Some(("cniVersion".to_owned(), self.to_string())),
            Self::Spoken { error, .. } => error.place(),
            _ => None,
        }
    }

    /// The error as the runtime is to see it. `cniVersion` is filled only if it was known.
    pub fn to_cni(&self) -> CniError {
        if let Self::Spoken { version, error } = self {
            let mut error = error.to_cni();
            error.cni_version = version.to_string();
            return error;
        }
        let details = self.source().map(|cause| cause.to_string()).unwrap_or_default();
        CniError::new(self.code(), self.to_string(), details)
    }
}

/// "a, b and c".
fn listed(items: &[impl fmt::Display], last: &str) -> String {
    let mut text = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push_str(if index + 1 < items.len() { ", " } else { " " });
            if index + 1 == items.len() {
                text.push_str(last);
                text.push(' ');
            }
        }
        text.push_str(&item.to_string());
    }
    text
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(", `{path}`") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_people_write_them() {
        assert_eq!(listed(&[""; 0], "and"), "");
        assert_eq!(listed(&["a"], "and"), "a");
        assert_eq!(listed(&["a", "b"], "or"), "a or b");
        assert_eq!(listed(&["a", "b", "c"], "and"), "a, b and c");
    }

    #[test]
    fn the_json_always_names_a_version_and_leaves_out_empty_details() {
        let error = CniError::new(Code::Io, "it \"broke\"", "");
        let value: serde_json::Value = serde_json::from_str(&error.to_json()).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"cniVersion": "1.1.0", "code": 5, "msg": "it \"broke\""})
        );

        let mut error = CniError::new(Code::Kernel, "no", "EPERM");
        error.cni_version = "0.4.0".to_owned();
        assert_eq!(
            error.to_json(),
            "{\n  \"cniVersion\": \"0.4.0\",\n  \"code\": 100,\n  \"msg\": \"no\",\n  \"details\": \"EPERM\"\n}"
        );
        let back: CniError = serde_json::from_str(&error.to_json()).unwrap();
        assert_eq!(back, error);
    }

    #[test]
    fn a_spoken_error_keeps_code_message_and_cause() {
        let cause = || Error::Stdin(io::Error::other("pipe burst"));
        let plain = cause().to_cni();
        assert_eq!((plain.cni_version.as_str(), plain.details.as_str()), ("", "pipe burst"));
        let spoken = cause().spoken_in(Version::V0_4_0).spoken_in(Version::V1_0_0).to_cni();
        assert_eq!(spoken.cni_version, "0.4.0");
        assert_eq!(
            (spoken.code, spoken.msg, spoken.details),
            (plain.code, plain.msg, plain.details)
        );
    }
}
