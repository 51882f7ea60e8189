//! One lease at work: a thread that carries out what [`super::machine`] says on the interface.
//!
//! The thread waits in the daemon's own namespace and keeps no file of the container's while there is
//! nothing to do, so that it does not keep a dead container's namespace alive.

mod keeper;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::machine::Timing;
use super::place::Site;
use super::store::{Kept, Store, Subject};
use super::terms::Terms;
use keeper::Keeper;

/// The stack of a lease's thread, in bytes: it is not deep, and there may be many.
const STACK: usize = 256 << 10;
/// How often somebody who waits for a lease looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// What all leases of a daemon have in common.
#[derive(Debug, Clone)]
pub struct Manner {
    /// Patience.
    pub timing: Timing,
    /// Have answers sent to everybody.
    pub broadcast: bool,
    /// Where leases are kept.
    pub store: Store,
}

/// How far a lease is.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// An address is being sought.
    Seeking,
    /// There is one.
    Held(Terms),
    /// There is none and will be none.
    Over(String),
}

struct Shared {
    status: Mutex<Status>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, status: Status) {
        *self.lock() = status;
        self.changed.notify_all();
    }
}

/// A lease, from outside.
pub struct Lease {
    /// Whose it is.
    pub subject: Subject,
    /// The interface, once it was found.
    site: Arc<Mutex<Option<Site>>>,
    shared: Arc<Shared>,
    wake: UnixStream,
}

impl Lease {
    /// Begins to seek an address.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn seek(subject: Subject, manner: &Manner) -> io::Result<Self> {
        Self::start(subject, manner, None)
    }

    /// Goes on with a lease of the daemon that ran before.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn resume(kept: &Kept, terms: Terms, manner: &Manner) -> io::Result<Self> {
        Self::start(kept.subject.clone(), manner, Some((terms, kept.site.clone())))
    }

    fn start(subject: Subject, manner: &Manner, held: Option<(Terms, Site)>) -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        let status =
            held.as_ref().map_or(Status::Seeking, |(terms, _)| Status::Held(terms.clone()));
        let shared = Arc::new(Shared { status: Mutex::new(status), changed: Condvar::new() });
        let site = Arc::new(Mutex::new(held.as_ref().map(|(_, site)| site.clone())));
        let keeper = Keeper::new(&subject, manner, &site, &shared, woken);
        thread::Builder::new()
            .name("lease".into())
            .stack_size(STACK)
            .spawn(move || keeper.run(held.map(|(terms, _)| terms)))?;
        Ok(Self { subject, site, shared, wake })
    }

    /// How far it is.
    pub fn status(&self) -> Status {
        self.shared.lock().clone()
    }

    /// The interface, once it was found.
    pub fn site(&self) -> Option<Site> {
        self.site.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until there is an address, or none will be. `is_wanted` is asked now and then.
    ///
    /// # Errors
    /// Why there is none.
    pub fn wait(&self, is_wanted: &dyn Fn() -> bool) -> Result<Terms, String> {
        let mut status = self.shared.lock();
        loop {
            match &*status {
                Status::Held(terms) => return Ok(terms.clone()),
                Status::Over(why) => return Err(why.clone()),
                Status::Seeking => {}
            }
            let waited = self.shared.changed.wait_timeout(status, LOOK);
            status = waited.unwrap_or_else(PoisonError::into_inner).0;
            if *status == Status::Seeking && !is_wanted() {
                return Err("the plugin that asked has gone".into());
            }
        }
    }

    /// Gives it back, and returns when the server was told.
    pub fn stop(&self) {
        // The thread may have ended by itself.
        let _ = (&self.wake).write_all(b"s");
        let mut status = self.shared.lock();
        while !matches!(*status, Status::Over(_)) {
            let waited = self.shared.changed.wait_timeout(status, LOOK);
            status = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
