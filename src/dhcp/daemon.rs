//! The daemon: a socket at which plugins ask for leases, and a thread for each lease.

mod listening;
mod table;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::keeping::Manner;
use super::machine::Timing;
use super::rpc::{self, Incoming, Session};
use super::store::Store;
use crate::kernel::privileges::{self, Capabilities, Children};
use listening::Listening;
use table::Table;

/// How long a plugin may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);
/// Sockets in the containers' namespaces, and files of leases.
const NEEDED: Capabilities = Capabilities::FILES
    .and(Capabilities::NETWORK)
    .and(Capabilities::PORTS)
    .and(Capabilities::NAMESPACES)
    .and(Capabilities::PROCESSES);
/// The stack of a connection's thread, in bytes.
const STACK: usize = 512 << 10;

/// What the daemon is told when it is started; the defaults are the reference's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where to write the process ID.
    pub pidfile: Option<PathBuf>,
    /// What to put before every path: the host's root as the daemon sees it.
    pub host_prefix: String,
    /// Where to listen.
    pub socket: PathBuf,
    /// Where to keep leases.
    pub leases: PathBuf,
    /// Patience.
    pub timing: Timing,
    /// Have servers answer to everybody.
    pub broadcast: bool,
}

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path must begin with a slash.
    #[error("pidfile {}: must be an absolute path", .0.display())]
    Pidfile(PathBuf),
    /// A file or socket failed.
    #[error("{}: cannot {doing}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Another daemon is there.
    #[error("{}: another daemon listens there already; stop that one first, or choose another -socketpath", .0.display())]
    Busy(PathBuf),
    /// systemd passes something else than one listening socket.
    #[error("socket activation: {0}")]
    Activation(String),
    /// Signals could not be waited for.
    #[error("cannot wait for {0}")]
    Wait(String),
}

/// Runs until SIGTERM or SIGINT. Leases stay as they are, for the next daemon to go on with.
///
/// # Errors
/// When it cannot start.
pub fn run(options: &Options) -> Result<(), Error> {
    // Before any thread is started: all of them are like this one.
    privileges::no_core();
    privileges::keep(NEEDED, Children::Modest);
    let signals = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect::<SigSet>();
    let failed = |errno: Errno| Error::Wait(format!("signals: {}", errno.desc()));
    signals.thread_block().map_err(failed)?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(failed)?;

    let pidfile = options.pidfile.as_deref().map(Pidfile::write).transpose()?;
    let listening = Listening::open(&prefixed(&options.host_prefix, &options.socket))?;
    let leases = prefixed(&options.host_prefix, &options.leases);
    let store = Store::at(&leases);
    if let Err(error) = store.prepare() {
        log::error!("{}: leases will not outlive the daemon: {error}", leases.display());
    }
    let manner = Manner { timing: options.timing, broadcast: options.broadcast, store };
    let table = Arc::new(Table::new(options.host_prefix.clone(), manner));
    table.resume();
    log::info!("listening at {}", listening.path().display());
    let done = serve(listening.listener(), signals.as_fd(), &table);
    drop(listening);
    drop(pidfile);
    done
}

/// A path below the host's root. The prefix is put before it as it is, as the reference does.
fn prefixed(prefix: &str, path: &Path) -> PathBuf {
    let mut text = std::ffi::OsString::from(prefix);
    text.push(path);
    text.into()
}

fn serve(
    listener: &UnixListener,
    signals: BorrowedFd<'_>,
    table: &Arc<Table>,
) -> Result<(), Error> {
    loop {
        let mut waiting = [
            PollFd::new(signals, PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut waiting, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::Wait(format!("plugins: {}", errno.desc()))),
        }
        let [signal, call] = waiting.map(|one| one.any().unwrap_or(false));
        if signal {
            log::info!("ending; leases stay as they are");
            return Ok(());
        }
        if !call {
            continue;
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Of files there may be too many just now.
                log::warn!("cannot accept a plugin's connection: {error}");
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let table = Arc::clone(table);
        let started = thread::Builder::new()
            .name("plugin".into())
            .stack_size(STACK)
            .spawn(move || converse(stream, &table));
        if let Err(error) = started {
            log::error!("cannot start a thread for a plugin: {error}");
        }
    }
}

/// Answers one plugin until it hangs up.
fn converse(stream: UnixStream, table: &Table) {
    let done = (|| {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let watch = stream.try_clone()?;
        let mut session = Session::accept(stream)?;
        while let Some(call) = session.next_call()? {
            let is_there = || !has_hung_up(&watch);
            let answer = answer(&call, table, &is_there);
            if let Err(error) = &answer {
                log::warn!("{} of {}: {error}", call.method, call.args.container_id);
            }
            let delivered = session.answer(&call, &answer);
            if delivered.is_err() && call.method == rpc::ALLOCATE && answer.is_ok() {
                table.abandon(&call.args);
            }
            delivered?;
        }
        Ok::<(), rpc::Error>(())
    })();
    if let Err(error) = done {
        log::debug!("a plugin's connection: {error}");
    }
}

fn answer(
    call: &Incoming,
    table: &Table,
    is_there: &dyn Fn() -> bool,
) -> Result<Option<rpc::Answer>, String> {
    match call.method.as_str() {
        rpc::ALLOCATE => table.allocate(&call.args, is_there).map(Some),
        rpc::RELEASE => table.release(&call.args).map(|()| None),
        rpc::CHECK => table.check(&call.args).map(Some),
        rpc::RETAIN => table.retain(&call.args).map(|()| None),
        other => Err(format!("{}method {other}", rpc::UNKNOWN)),
    }
}

/// Whether the plugin has closed its end. It sends nothing while it waits for an answer.
fn has_hung_up(stream: &UnixStream) -> bool {
    let mut waiting = [PollFd::new(stream.as_fd(), PollFlags::POLLHUP)];
    poll(&mut waiting, PollTimeout::ZERO).is_ok()
        && waiting.iter().any(|one| one.any().unwrap_or(false))
}

/// The file with the daemon's process ID, while the daemon runs.
struct Pidfile(PathBuf);

impl Pidfile {
    fn write(path: &Path) -> Result<Self, Error> {
        if !path.is_absolute() {
            return Err(Error::Pidfile(path.to_owned()));
        }
        std::fs::write(path, std::process::id().to_string()).map_err(|source| Error::File {
            path: path.to_owned(),
            doing: "write the process ID",
            source,
        })?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
