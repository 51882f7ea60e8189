//! What another program's plugin has made, in its place in a chain.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Kind, Made};
use crate::delegate;
use crate::engine::{Error, Node};
use crate::protocol::request::Verb;

/// A foreign plugin that has been, or is about to be, asked to ADD. Its answer is what the entries
/// after it build on, so the caller runs that ADD; everything later is done here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Foreign {
    /// The program.
    pub program: PathBuf,
    /// The CNI_* variables that it is called with, but for CNI_COMMAND.
    pub environment: BTreeMap<String, String>,
    /// The network configuration that its ADD was given.
    pub config: Value,
}

impl Foreign {
    fn name(&self) -> String {
        self.program.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn ask(&self, verb: Verb) -> Result<Vec<u8>, Error> {
        let stdin = self.config.to_string();
        let limit = Some(delegate::limit(stdin.as_bytes()));
        Ok(delegate::run_with(verb, &self.program, stdin.as_bytes(), &self.environment, limit)?)
    }
}

impl Kind for Foreign {
    fn describe(&self) -> String {
        format!("run plugin {} ({})", self.name(), self.program.display())
    }

    fn create(&self, _node: &mut Node<'_>) -> Result<Made, Error> {
        Ok(Made::Now)
    }

    fn verify(&self, _node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        match self.ask(Verb::Check) {
            Ok(_) => Ok(Vec::new()),
            Err(Error::Delegate(
                error @ (delegate::Error::Failed { .. } | delegate::Error::Silent { .. }),
            )) => Ok(vec![error.to_string()]),
            Err(error) => Err(error),
        }
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        // It may look for what was made after it.
        node.flush()?;
        self.ask(Verb::Del).map(drop)
    }
}
