//! Putting the program into a node's folder of plugins, and taking it out again.
//!
//! The program and a link for each plugin type come into the folder by rename, so that a runtime finds
//! the old program or the new one at any moment, and a call that runs keeps its file. What was there
//! under those names is kept in a folder beside, [`BEFORE`], by a hard link: [`undo`] puts back the very
//! same file, with its mode, owner and times. A record says what is kept.

mod bin_dir;
mod error;
pub mod first_network;
mod record;
mod removal;
mod steps;

use std::fs::File;
use std::path::{Path, PathBuf};

use bin_dir::BinDir;
use first_network::FirstNetwork;
use record::{Before, Record};
use steps::{Content, Step};

pub use error::Error;
pub use removal::undo;

/// The folder in the folder of plugins where what was there before is kept.
pub const BEFORE: &str = ".causeway-before";

/// Where to, and whether in earnest.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder of plugins, `/opt/cni/bin` on most nodes.
    pub bin: PathBuf,
    /// The folder of configurations, if a first one may be written there.
    pub conf: Option<PathBuf>,
    /// Only says what would be done.
    pub dry_run: bool,
}

/// Puts the program `source` and its links in place, and a first configuration where there is none.
/// `say` hears of each change, or with [`Places::dry_run`] of what would be one. Gives the number of
/// changes.
///
/// # Errors
/// [`Error`]; then everything is as it was before.
pub fn install(
    places: &Places,
    source: &File,
    say: &mut dyn FnMut(String),
) -> Result<usize, Error> {
    let bin = BinDir::open(&places.bin)?;
    let before = Record::read(&bin)?;
    let mut record = before.clone().unwrap_or_default();
    let steps = steps::wanted(&bin, source, &record)?;
    let network = match &places.conf {
        Some(conf) => FirstNetwork::wanted(conf)?,
        None => None,
    };
    for step in &steps {
        step.note(&mut record);
    }
    if let Some(network) = &network {
        record.network = Some(network.mark());
    }
    let count = steps.len() + usize::from(network.is_some());
    if !places.dry_run && count > 0 {
        carry_out(&bin, source, &steps, network.as_ref(), &record, before.as_ref())?;
    } else if !places.dry_run {
        bin.clear()?;
    }
    for step in &steps {
        say(step.describe(&bin, places.dry_run));
    }
    if let Some(network) = &network {
        say(network.describe(places.dry_run));
    }
    Ok(count)
}

/// First everything that may well fail (room, permission), then renames alone. What fails all the same
/// is taken back.
fn carry_out(
    bin: &BinDir,
    source: &File,
    steps: &[Step],
    network: Option<&FirstNetwork>,
    record: &Record,
    before: Option<&Record>,
) -> Result<(), Error> {
    let mut done = Vec::new();
    let result = (|| {
        bin.prepare()?;
        for step in steps {
            match step.content {
                Content::Program => bin.put_program(source, step.name)?,
                Content::Link => bin.put_link(step.name)?,
            }
            if step.replaces {
                bin.hold(step.name)?;
            }
        }
        for step in steps.iter().filter(|step| step.keeps) {
            bin.keep(step.name)?;
        }
        record.write(bin)?;
        for step in steps {
            bin.bring_in(step.name)?;
            done.push(step);
        }
        bin.sync()?;
        network.map_or(Ok(()), FirstNetwork::write)
    })();
    if result.is_err() {
        let mut is_taken_back = true;
        for step in done.into_iter().rev() {
            is_taken_back &= bin.take_back(step.name, step.replaces);
        }
        match before {
            // The new record has what is kept; undoing can be tried later.
            _ if !is_taken_back => {}
            Some(before) => {
                let _ = before.write(bin);
                for step in steps.iter().filter(|step| !before.names.contains_key(step.name)) {
                    bin.forget(step.name);
                }
            }
            None => {
                let _ = bin.remove_record();
            }
        }
    }
    let cleared = bin.clear();
    result.and(cleared)
}

/// Whether something of another program is under a name, as [`Before`] has it.
fn before(exists: bool) -> Before {
    if exists { Before::Kept } else { Before::Nothing }
}

fn joined(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}
