//! `causeway fuse` and `causeway unfuse`: one plugin entry, and one process, for a whole list.

pub mod ordered;
pub mod rewriting;

use crate::exit_code::ExitCode;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::output;
use ordered::Ordered;
use rewriting::Rewritten;

/// Which file, and where the new one goes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway fuse /etc/cni/net.d/10-pods.conflist
  causeway unfuse /etc/cni/net.d/10-pods.conflist")]
pub struct Fuse {
    /// The configuration list
    #[arg(value_name = "FILE.conflist")]
    file: PathBuf,
    /// Write the new list here instead of over FILE; `-` is stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read or written.
    #[error("{}: cannot {doing}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// "read it" or "write it".
        doing: &'static str,
        /// The file operation's error.
        source: io::Error,
    },
    /// The file is no JSON.
    #[error("{}: is not valid JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's words, with line and column.
        source: serde_json::Error,
    },
    /// The list cannot be rewritten.
    #[error("{}: {source}; nothing was changed", path.display())]
    Rewriting {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rewriting::Error,
    },
}

impl Fuse {
    /// Puts all plugins of the list into one entry.
    ///
    /// # Errors
    /// [`Error`]; then the file is as it was.
    pub fn fuse(self) -> Result<ExitCode, Error> {
        let hint = "Attached pods stay attached, and can be detached by either form. \
                    `causeway unfuse` turns the file back.";
        self.rewrite(rewriting::fuse, "now has one plugin, causeway, for all of these", hint)
    }

    /// Gives every plugin of the list its own entry again.
    ///
    /// # Errors
    /// [`Error`]; then the file is as it was.
    pub fn unfuse(self) -> Result<ExitCode, Error> {
        let hint = "Attached pods stay attached, and can be detached by either form.";
        self.rewrite(rewriting::unfuse, "has an entry for each plugin again", hint)
    }

    fn rewrite(
        self,
        rewrite: fn(&Ordered) -> Result<Rewritten, rewriting::Error>,
        summary: &str,
        hint: &str,
    ) -> Result<ExitCode, Error> {
        let path = self.file.clone();
        let text = fs::read(&path).map_err(failed(&path, "read it"))?;
        let list = serde_json::from_slice(&text)
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        let Rewritten { list, changes } =
            rewrite(&list).map_err(|source| Error::Rewriting { path: path.clone(), source })?;
        let mut text = serde_json::to_vec_pretty(&list)
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        text.push(b'\n');
        let target = self.output.unwrap_or(path);
        if target == Path::new("-") {
            io::stdout().write_all(&text).map_err(failed(&target, "write it"))?;
            return Ok(ExitCode::SUCCESS);
        }
        replace(&target, &text)?;
        let changes: String = changes.iter().map(|change| format!("  {change}\n")).collect();
        // The file is written, whether somebody reads this or not.
        let _ = output::print(&format!("{} {summary}:\n{changes}{hint}\n", target.display()));
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes a file as a whole or not at all, since a runtime may be reading it. The name of the new
/// file while it is written ends in nothing that a runtime takes for a configuration.
fn replace(path: &Path, text: &[u8]) -> Result<(), Error> {
    // A link stays a link; what it leads to is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let write = || {
        fs::write(&new, text)?;
        if let Ok(metadata) = fs::metadata(path) {
            fs::set_permissions(&new, metadata.permissions())?;
        }
        fs::File::open(&new)?.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&new);
        failed(path, "write it")(source)
    })
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, doing, source }
}
