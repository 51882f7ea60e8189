//! What was in the folder of plugins before, and what else was made.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;
use super::bin_dir::BinDir;
use crate::protocol::names;

/// The form that this version writes.
const FORMAT: u32 = 1;

/// What was under a name before the first installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Before {
    /// Something, now beside the record under the same name.
    Kept,
    /// Nothing.
    Nothing,
}

/// A configuration that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NetworkMark {
    /// Its name in the folder of configurations.
    pub(super) file: String,
    /// The SHA-256 of its content, by which one that a person has changed is told.
    pub(super) sha256: String,
}

/// The record, `record.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    format: u32,
    /// The names that were changed.
    pub(super) names: BTreeMap<String, Before>,
    /// The first configuration.
    pub(super) network: Option<NetworkMark>,
}

impl Default for Record {
    fn default() -> Self {
        Self { format: FORMAT, names: BTreeMap::new(), network: None }
    }
}

impl Record {
    /// Reads the record of a folder; none where nothing was installed.
    ///
    /// # Errors
    /// [`Error::Record`] for one that cannot be understood, and what the file system answers.
    pub(super) fn read(bin: &BinDir) -> Result<Option<Self>, Error> {
        let path = bin.record();
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path, &text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::at("read", &path)(source)),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Record { path: path.to_owned(), problem };
        let record: Self = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if record.format != FORMAT {
            return Err(wrong(format!("it is of format {}", record.format)));
        }
        for name in record.names.keys() {
            names::plugin_type(name).map_err(|problem| wrong(format!("{name:?}: {problem}")))?;
        }
        if let Some(NetworkMark { file, .. }) = &record.network
            && (file.contains('/') || file.starts_with('.') || file.is_empty())
        {
            return Err(wrong(format!("{file:?} is not the name of a file")));
        }
        Ok(record)
    }

    /// Writes the record, in one step.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn write(&self, bin: &BinDir) -> Result<(), Error> {
        let path = bin.record();
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::Record { path: path.clone(), problem: error.to_string() })?;
        text.push('\n');
        bin.replace_record(&text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Record, String> {
        Record::parse(Path::new("record.json"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for text in [
            r#"{"format": 1, "names": {"../bridge": "kept"}, "network": null}"#,
            r#"{"format": 1, "names": {"": "kept"}, "network": null}"#,
            r#"{"format": 1, "names": {}, "network": {"file": "../x", "sha256": ""}}"#,
            r#"{"format": 1, "names": {}, "network": {"file": ".x", "sha256": ""}}"#,
            r#"{"format": 2, "names": {}, "network": null}"#,
            r#"{"format": 1, "names": {"bridge": "gone"}, "network": null}"#,
            "",
        ] {
            let refusal = parsed(text).expect_err(text);
            assert!(refusal.contains("nothing was changed"), "{refusal}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut record = Record::default();
        record.names.insert("host-local".into(), Before::Kept);
        record.names.insert("causeway".into(), Before::Nothing);
        record.network = Some(NetworkMark { file: "10-pods.conflist".into(), sha256: "ab".into() });
        assert_eq!(parsed(&serde_json::to_string(&record).unwrap()), Ok(record));
    }
}
