//! `causeway install`: puts the program into a node's folder of plugins, and takes it out again.

use crate::exit_code::ExitCode;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;

use super::output::{print, tell};
use crate::engine::journal::STATE_DIR;
use crate::install::{self, Error, Places};

/// Put this program and a link for each plugin type into the node's folder of plugins
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway install --dry-run           what would be changed
  causeway install                     into /opt/cni/bin, with a first network if there is none
  causeway install --no-conf --bin-dir /usr/libexec/cni
  causeway install --undo              everything back as it was

Runtimes may go on calling plugins meanwhile: each file is replaced in one step. What was there is kept
in .causeway-before in the folder of plugins, and --undo puts back the very same files. A first network
is written only where the folder of configurations has none; its addresses are ones that nothing on the
node uses. An installation over another one keeps what was there before the first.")]
pub struct Install {
    /// The folder in which runtimes look for plugins
    #[arg(long, value_name = "FOLDER", default_value = "/opt/cni/bin")]
    bin_dir: PathBuf,
    /// The folder of configurations
    #[arg(long, value_name = "FOLDER", default_value = "/etc/cni/net.d")]
    conf_dir: PathBuf,
    /// Leave the folder of configurations alone
    #[arg(long)]
    no_conf: bool,
    /// Put back what was there before the first installation, and remove what is new
    #[arg(long)]
    undo: bool,
    /// Only say what would be changed
    #[arg(long)]
    dry_run: bool,
    /// Stay until SIGTERM or SIGINT, and see every so many seconds that everything is still in place;
    /// for a container that has to go on running. Ending changes nothing
    #[arg(
        long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
        default_missing_value = "60", value_parser = clap::value_parser!(u32).range(1..=86_400),
        conflicts_with = "dry_run"
    )]
    stay: Option<u32>,
}

impl Install {
    /// Does it, and says each change.
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(self) -> Result<ExitCode, Error> {
        // Before anything else, so that none is lost.
        let ending = self.stay.map(|_| Ending::wait_for()).transpose()?;
        if self.undo {
            self.put_back()?;
        } else if self.put_in_place()? == 0 {
            say(format!("everything is in place in {} already", self.bin_dir.display()));
        }
        let Some((ending, seconds)) = ending.zip(self.stay) else { return Ok(ExitCode::SUCCESS) };
        while !ending.came_within(seconds)? {
            // A folder that cannot be written now may be later.
            if !self.undo
                && let Err(error) = self.put_in_place()
            {
                tell(&error.to_string());
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn places(&self) -> Places {
        let conf = (!self.no_conf).then(|| self.conf_dir.clone());
        Places { bin: self.bin_dir.clone(), conf, dry_run: self.dry_run }
    }

    fn put_in_place(&self) -> Result<usize, Error> {
        let itself = File::open("/proc/self/exe").map_err(Error::Itself)?;
        let count = install::install(&self.places(), &itself, &mut say)?;
        self.nothing_was_changed(count);
        Ok(count)
    }

    fn put_back(&self) -> Result<(), Error> {
        let count = install::undo(&self.places(), &mut say)?;
        if count == 0 {
            say(format!("there is nothing to undo in {}", self.bin_dir.display()));
        } else if attachments_exist(Path::new(STATE_DIR)) {
            tell(
                "pods that causeway attached are still on this node; the plugins that are in place now \
                 have to detach them, and leave rules and records that only causeway knows: `causeway \
                 repair --leftovers` removes them afterwards. Until then a port of the host that such a pod \
                 had leads to its address. Where a plugin is missing, install again and move the pods \
                 away first",
            );
        }
        self.nothing_was_changed(count);
        Ok(())
    }

    fn nothing_was_changed(&self, count: usize) {
        if self.dry_run && count > 0 {
            say("nothing was changed".to_owned());
        }
    }
}

/// A line on stdout. A reader that is gone must not stop an installation half-way.
fn say(line: String) {
    let _ = print(&format!("{line}\n"));
}

/// Whether any network has a record of an attachment.
fn attachments_exist(state: &Path) -> bool {
    let networks = fs::read_dir(state).into_iter().flatten().flatten();
    networks.filter_map(|network| fs::read_dir(network.path()).ok()).any(|records| {
        records.flatten().any(|record| !record.file_name().as_encoded_bytes().starts_with(b"."))
    })
}

/// The signals that ask a process to end.
struct Ending(SignalFd);

impl Ending {
    fn wait_for() -> Result<Self, Error> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        signals.add(Signal::SIGINT);
        let refused = |errno: nix::Error| Error::Waiting(errno.into());
        signals.thread_block().map_err(refused)?;
        SignalFd::new(&signals).map(Self).map_err(refused)
    }

    /// Whether one came within so many seconds.
    fn came_within(&self, seconds: u32) -> Result<bool, Error> {
        let longest = PollTimeout::try_from(Duration::from_secs(seconds.into()));
        let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, longest.unwrap_or(PollTimeout::MAX)) {
            Ok(count) => Ok(count > 0),
            Err(nix::Error::EINTR) => Ok(false),
            Err(errno) => Err(Error::Waiting(errno.into())),
        }
    }
}
