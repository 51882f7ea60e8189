//! The versions of the CNI specification, and the answer to VERSION.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::error::Error;

/// One released version of the CNI specification; a later one compares greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(non_camel_case_types)]
pub enum Version {
    /// The first; what a configuration without `cniVersion` means.
    V0_1_0,
    /// Added VERSION.
    V0_2_0,
    /// Added `interfaces`, several addresses, and chains.
    V0_3_0,
    /// The same as 0.3.0 on the wire.
    V0_3_1,
    /// Added CHECK, and prevResult on DEL.
    V0_4_0,
    /// Dropped `version` from `ips`.
    V1_0_0,
    /// Added GC, STATUS, and more keys for interfaces and routes.
    V1_1_0,
}

impl Version {
    /// Every version that causeway speaks, oldest first.
    pub const ALL: [Self; 7] = [
        Self::V0_1_0,
        Self::V0_2_0,
        Self::V0_3_0,
        Self::V0_3_1,
        Self::V0_4_0,
        Self::V1_0_0,
        Self::V1_1_0,
    ];

    /// The newest version; what is spoken when the runtime's is not known.
    pub const CURRENT: Self = Self::V1_1_0;

    /// The version as it is written in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version that a configuration's `cniVersion` names; absent and empty mean 0.1.0, as
    /// libcni has it.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] for any other text that is not one of [`Version::ALL`].
    pub fn of_configuration(given: Option<&str>) -> Result<Self, Error> {
        match given {
            None | Some("") => Ok(Self::V0_1_0),
            Some(text) => text.parse(),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| Error::UnsupportedVersion { given: text.to_owned() })
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The JSON that answers VERSION (spec section 5, "VERSION Success").
///
/// `given` is the `cniVersion` of stdin; it is echoed even if causeway does not speak it, and
/// [`Version::CURRENT`] stands in when it is absent.
///
/// # Errors
/// [`Error::Serialize`], which would be a defect of causeway.
pub fn version_reply(given: Option<&str>) -> Result<String, Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Reply<'a> {
        cni_version: &'a str,
        supported_versions: [Version; 7],
    }
    let reply = Reply {
        cni_version: given.filter(|text| !text.is_empty()).unwrap_or(Version::CURRENT.as_str()),
        supported_versions: Version::ALL,
    };
    serde_json::to_string_pretty(&reply)
        .map_err(|source| Error::Serialize { what: "the VERSION reply", source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn every_version_reads_back_and_later_ones_are_greater() {
        for version in Version::ALL {
            assert_eq!(version.to_string().parse::<Version>().unwrap(), version);
        }
        assert!(Version::ALL.is_sorted());
        assert_eq!(Version::ALL.last(), Some(&Version::CURRENT));
    }

    #[test]
    fn absent_and_empty_mean_0_1_0() {
        assert_eq!(Version::of_configuration(None).unwrap(), Version::V0_1_0);
        assert_eq!(Version::of_configuration(Some("")).unwrap(), Version::V0_1_0);
        assert_eq!(Version::of_configuration(Some("0.3.1")).unwrap(), Version::V0_3_1);
    }

    #[test]
    fn unknown_versions_are_code_1_and_say_which_are_known() {
        for given in ["2.0.0", "1.1", "v1.1.0", " 1.1.0", "1.1.0 ", "0.0.0", "latest"] {
            let error = Version::of_configuration(Some(given)).unwrap_err().to_cni();
            assert_eq!(error.code, 1, "{given}");
            assert!(
                error.msg.contains(&format!("{given:?}")) && error.msg.contains("0.3.1"),
                "{}",
                error.msg
            );
        }
    }

    #[test]
    fn the_reply_echoes_what_was_given() {
        for (given, echoed) in [
            (None, "1.1.0"),
            (Some(""), "1.1.0"),
            (Some("0.4.0"), "0.4.0"),
            (Some("9.9.9"), "9.9.9"),
        ] {
            let reply: serde_json::Value =
                serde_json::from_str(&version_reply(given).unwrap()).unwrap();
            assert_eq!(
                reply,
                serde_json::json!({
                    "cniVersion": echoed,
                    "supportedVersions":
                        ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
                })
            );
        }
    }
}
