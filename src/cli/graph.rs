//! `causeway graph`: the node's network as a picture.

use crate::exit_code::ExitCode;
use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::attach::conf_dir;
use super::error::Error;
use super::known_networks;
use super::output::{self, tell};
use crate::graph::{self, Detail, Picture};
use crate::inventory::{Inventory, Places};

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A picture for browsers and viewers
    Svg,
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    /// What it is drawn from, for programs
    Json,
}

/// Draw the node's network
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway graph -o node.svg
  causeway graph --network pods -o pods.svg
  causeway graph --format mermaid
  causeway graph --format dot | dot -Tpdf >node.pdf

The host is at the top, with its bridges and other links; below each link what hangs on it. The more there
are, the less is said of each: from some 80 namespaces on one link on they are summed up by Kubernetes
namespace or network, but for those that something is wrong with.")]
pub struct Graph {
    /// What to write
    #[arg(long, value_name = "FORMAT", default_value = "svg")]
    format: Format,
    /// Write to a file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only what is of one network
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Show every namespace by itself, however many there are
    #[arg(long)]
    each: bool,
}

impl Graph {
    /// Draws it.
    ///
    /// # Errors
    /// [`Error`] when the node cannot be read or the file not written.
    pub fn run(self) -> Result<ExitCode, Error> {
        if self.format == Format::Svg && self.output.is_none() && output::is_for_a_person() {
            return Err(Error::PictureOnTerminal);
        }
        let inventory = Inventory::of_node(&Places::of_node(Some(&conf_dir()?))?)?;
        known_networks::require(self.network.as_deref(), &inventory)?;
        let facts = graph::read(&inventory)?;
        for problem in &facts.problems {
            tell(problem);
        }
        let detail = if self.each { Detail::Each } else { Detail::Fitting };
        let picture = || Picture::of(&facts, self.network.as_deref(), detail);
        let text = match self.format {
            Format::Svg => graph::svg(&graph::draw(&picture())),
            Format::Dot => graph::dot(&picture()),
            Format::Mermaid => graph::mermaid(&picture()),
            Format::Json => {
                let facts = serde_json::to_value(&facts).map_err(std::io::Error::other)?;
                format!("{facts:#}\n")
            }
        };
        match &self.output {
            Some(path) => fs::write(path, text)
                .map_err(|source| Error::File { path: path.clone(), source })?,
            None => output::print(&text)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
