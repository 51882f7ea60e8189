//! `causeway schema`: the JSON Schema of network configurations.

use crate::exit_code::ExitCode;
use std::io;

use clap::Args;

use super::output;
use crate::schema::{self, Known};

/// What to describe.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway schema >cni.schema.json    for an editor: every configuration file
  causeway schema bridge              the entry of one plugin
  causeway schema host-local          the section ipam of one address source

In Visual Studio Code, in settings.json:
  \"json.schemas\": [{ \"fileMatch\": [\"*.conflist\"], \"url\": \"./cni.schema.json\" }]")]
pub struct Schema {
    /// A plugin or address source; without it, whole configuration files
    #[arg(value_name = "TYPE")]
    name: Option<String>,
}

/// Why there is no schema.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such type.
    #[error("\"{given}\" is no plugin of this program; it has {known}")]
    Unknown {
        /// The name asked for.
        given: String,
        /// Every name.
        known: String,
    },
    /// Stdout.
    #[error("cannot write to stdout: {0}")]
    Stdout(#[from] io::Error),
}

impl Schema {
    /// Prints it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(self) -> Result<ExitCode, Error> {
        let schema = match self.name {
            None => Known::read().document(),
            Some(name) => Known::read()
                .of(&name)
                .ok_or_else(|| Error::Unknown { known: schema::names().join(", "), given: name })?,
        };
        output::print_json(&schema)?;
        Ok(ExitCode::SUCCESS)
    }
}
