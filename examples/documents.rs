//! Writes man pages and completions of shells, made of the program's own commands and options, into a
//! folder laid out like /usr/share:
//!
//! ```sh
//! cargo run --example documents -- FOLDER
//! ```
//!
//! They are made when a package is built and not by the program itself, which would be a thirtieth larger
//! for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_complete::{Generator, Shell};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("documents: say into which folder, such as /usr/share");
        return ExitCode::from(2);
    };
    match write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("documents: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// Writes them all.
pub fn write(folder: &Path) -> io::Result<()> {
    let command = causeway::cli::command();
    let man = folder.join("man/man1");
    fs::create_dir_all(&man)?;
    // With the full names of all commands, and without `help`, which says what the pages say.
    let mut built = command.clone().disable_help_subcommand(true);
    built.build();
    pages(&built, &man)?;
    for (shell, place) in [
        (Shell::Bash, "bash-completion/completions"),
        (Shell::Zsh, "zsh/vendor-completions"),
        (Shell::Fish, "fish/vendor_completions.d"),
    ] {
        let place = folder.join(place);
        fs::create_dir_all(&place)?;
        let name = match shell {
            // bash-completion looks for the command's bare name.
            Shell::Bash => "causeway".to_owned(),
            _ => shell.file_name("causeway"),
        };
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), "causeway", &mut text);
        fs::write(place.join(name), text)?;
    }
    Ok(())
}

/// The page of a command and of all below it: causeway(1), causeway-netns(1), causeway-netns-add(1).
fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().display_name(name.clone()))
        .date("")
        .manual("CNI attachments")
        .source(concat!("causeway ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    fs::write(folder.join(format!("{name}.1")), page)?;
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
        .try_for_each(|below| pages(below, folder))
}
