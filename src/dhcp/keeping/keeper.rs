//! The thread's side of a lease.

use std::io::Read;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::{Manner, Shared, Status};
use crate::dhcp::clock;
use crate::dhcp::machine::{Client, Deed, Machine, To};
use crate::dhcp::message::{Heard, Message, broadcast_frame, probe_frame, read_frame};
use crate::dhcp::place::{Place, Site};
use crate::dhcp::store::{Kept, Subject};
use crate::dhcp::terms::Terms;
use crate::engine::journal::boot_id;
use crate::kernel::Error;
use crate::kernel::packet::PacketSocket;

/// The stack of a thread that closes a socket, in bytes.
const SMALL_STACK: usize = 64 << 10;

/// How often the interface is changed at most until the kernel does it: what it refuses for lack of memory
/// or since it is busy it may do a moment later, and nobody else will ask.
const ATTEMPTS: u32 = 5;
/// How long to wait before the next attempt.
const PAUSE: Duration = Duration::from_millis(200);

/// Why a thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    /// It is time, or something was heard.
    ByTime,
    /// The lease is to be given back.
    ToStop,
    /// The daemon ends; the lease stays.
    ToEnd,
}

/// The thread's side.
pub(super) struct Keeper {
    id: String,
    subject: Subject,
    manner: Manner,
    held: Option<Terms>,
    site: Arc<Mutex<Option<Site>>>,
    shared: Arc<Shared>,
    woken: UnixStream,
    place: Option<Place>,
    ear: Option<PacketSocket>,
    voice: Option<UdpSocket>,
    /// The address was taken from the interface and no other has come yet.
    is_stripped: bool,
    /// Terms of which the interface may still have something, since it could not follow.
    behind: Vec<Terms>,
    /// What went wrong last in sending.
    trouble: Option<String>,
}

impl Drop for Keeper {
    /// Nobody waits for ever for a thread that is gone, whatever the reason.
    fn drop(&mut self) {
        let mut status = self.shared.lock();
        if !matches!(*status, Status::Over(_)) {
            *status = Status::Over("the daemon failed; its log says how".into());
        }
        drop(status);
        self.shared.changed.notify_all();
    }
}

impl Keeper {
    /// A thread's beginning, for [`Self::run`].
    pub(super) fn new(
        subject: &Subject,
        manner: &Manner,
        site: &Arc<Mutex<Option<Site>>>,
        shared: &Arc<Shared>,
        woken: UnixStream,
    ) -> Self {
        Self {
            id: subject.id(),
            subject: subject.clone(),
            manner: manner.clone(),
            held: None,
            site: Arc::clone(site),
            shared: Arc::clone(shared),
            woken,
            place: None,
            ear: None,
            voice: None,
            is_stripped: false,
            behind: Vec::new(),
            trouble: None,
        }
    }

    /// Seeks a lease, or goes on with one, until it is over.
    pub(super) fn run(mut self, resumed: Option<Terms>) {
        if let Err(why) = self.work(resumed) {
            log::warn!("{}: {why}", self.id);
            self.manner.store.remove(&self.id);
            self.shared.set(Status::Over(why));
        }
    }

    fn work(&mut self, resumed: Option<Terms>) -> Result<(), String> {
        let client = |mac, keeper: &Self| Client {
            mac,
            id: keeper.id.clone().into_bytes(),
            options: keeper.subject.options.clone(),
            broadcast: keeper.manner.broadcast,
            timing: keeper.manner.timing,
        };
        let mut machine = match resumed {
            Some(terms) => {
                // By its own hardware address, which the server knows it by.
                let mac = terms.ack.mac;
                self.look()?;
                log::info!("{}: going on with {}", self.id, terms.address());
                self.held = Some(terms.clone());
                Machine::resume(client(mac, self), terms, seed(), clock::now())
            }
            None => {
                log::info!("{}: seeking a lease", self.id);
                let place = self.place()?;
                place.bring_up().map_err(|error| error.to_string())?;
                let mac = place.site().mac;
                self.listen()?;
                let (machine, deeds) = Machine::seek(client(mac, self), seed(), clock::now());
                self.carry_out(deeds);
                machine
            }
        };
        self.rest(&machine);
        while !machine.is_over() {
            let woken = self.sleep(machine.wake()).map_err(|error| error.to_string())?;
            if woken == Woken::ToEnd {
                return Ok(());
            }
            if woken == Woken::ToStop {
                let deeds = machine.stop(clock::now());
                if !deeds.is_empty() {
                    log::info!("{}: giving the lease back", self.id);
                }
                self.held = None;
                self.carry_out(deeds);
                self.manner.store.remove(&self.id);
                self.shared.set(Status::Over("the lease was given back".into()));
                return Ok(());
            }
            self.hear(&mut machine);
            if machine.wake().is_some_and(|wake| wake <= clock::now()) {
                self.look()?;
                let deeds = machine.tick(clock::now());
                self.carry_out(deeds);
            }
            self.rest(&machine);
        }
        Ok(())
    }

    /// The interface, found anew unless it is at hand. A site that is known must be the same.
    fn place(&mut self) -> Result<&mut Place, String> {
        let at_hand = match self.place.take() {
            Some(place) => place,
            None => {
                let found = self.find().map_err(|error| error.to_string())?;
                found.ok_or_else(|| self.gone())?
            }
        };
        Ok(self.place.insert(at_hand))
    }

    /// Whether the interface is still there; what cannot be known just now counts as being there.
    fn look(&mut self) -> Result<(), String> {
        match self.find() {
            Ok(Some(found)) => self.place = Some(found),
            Ok(None) => return Err(self.gone()),
            Err(error) => self.note(Err(error.to_string())),
        }
        Ok(())
    }

    fn find(&self) -> Result<Option<Place>, Error> {
        let found = Place::find(&self.subject.netns, &self.subject.ifname)?;
        let Some(found) = found else { return Ok(None) };
        let site = found.site();
        let mut known = self.site.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other =
            |known: &Site| (known.namespace, known.index) != (site.namespace, site.index);
        if known.as_ref().is_some_and(is_other) {
            return Ok(None);
        }
        *known = Some(site);
        Ok(Some(found))
    }

    fn gone(&self) -> String {
        format!(
            "interface {} is not in {}; nothing is left to keep a lease for",
            self.subject.ifname,
            self.subject.netns.display()
        )
    }

    /// Lets go of everything that is needed only for talking.
    fn rest(&mut self, machine: &Machine) {
        if !machine.is_talking() {
            if let Some(ear) = self.ear.take() {
                close_aside(ear);
            }
            self.voice = None;
            self.place = None;
        }
    }

    /// Waits until the time has come, a frame was heard, or somebody wants something.
    fn sleep(&mut self, until: Option<Duration>) -> Result<Woken, Error> {
        let left = until.map(|until| TimeSpec::from(until.saturating_sub(clock::now())));
        let mut waiting = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        if let Some(ear) = &self.ear {
            waiting.push(PollFd::new(ear.as_fd(), PollFlags::POLLIN));
        }
        match ppoll(&mut waiting, left, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::Socket { doing: "wait for a frame", errno }),
        }
        let is_woken = waiting.first().and_then(PollFd::any).unwrap_or(false);
        drop(waiting);
        if !is_woken {
            return Ok(Woken::ByTime);
        }
        // The other end is closed when the daemon ends.
        Ok(match self.woken.read(&mut [0]) {
            Ok(1) => Woken::ToStop,
            _ => Woken::ToEnd,
        })
    }

    fn hear(&mut self, machine: &mut Machine) {
        let mut buffer = [0; 2048];
        loop {
            let heard = match self.ear.as_ref().map(|ear| ear.receive(&mut buffer)) {
                Some(Ok(Some(frame))) => read_frame(frame),
                Some(Err(error)) => {
                    self.trouble = Some(error.to_string());
                    continue;
                }
                _ => return,
            };
            let now = clock::now();
            let deeds = match heard {
                Some(Heard::Message(message, from)) => machine.hear(&message, from, now),
                Some(Heard::Claim(address, mac)) => machine.hear_claim(address, mac, now),
                None => continue,
            };
            self.carry_out(deeds);
        }
    }

    fn carry_out(&mut self, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Send(message, to) => self.send(&message, to),
                Deed::Probe(address) => self.probe(address),
                Deed::Hold(terms) => self.hold(terms),
                Deed::Revoked => {
                    log::warn!("{}: the server wants the address back", self.id);
                    self.shared.set(Status::Seeking);
                    self.give_up();
                    self.manner.store.remove(&self.id);
                }
                Deed::Over(why) => self.end(why),
            }
        }
    }

    fn send(&mut self, message: &Message, to: To) {
        let id = self.id.clone();
        log::debug!("{id}: sending {} to {to:?}", message.kind);
        if let To::Server(server) = to {
            match self.speak(message, server) {
                Ok(()) => return,
                Err(error) => log::debug!("{id}: {error}; asking everybody instead"),
            }
        }
        let sent = self
            .listen()
            .and_then(|ear| ear.send(&broadcast_frame(message)).map_err(|error| error.to_string()));
        self.note(sent);
    }

    /// From the leased address to the server. The answer is heard by the packet socket as well; the
    /// other is kept open so that the kernel does not say that nobody is there.
    fn speak(&mut self, message: &Message, server: Ipv4Addr) -> Result<(), String> {
        self.listen()?;
        if self.voice.is_none() {
            let terms = self.held.clone().ok_or("no address yet")?;
            let socket = self.place()?.speak(&terms, server).map_err(|error| error.to_string())?;
            self.voice = Some(socket);
        }
        let voice = self.voice.as_ref().ok_or("no socket")?;
        voice.send(&message.to_bytes()).map(drop).map_err(|error| error.to_string())
    }

    fn probe(&mut self, address: Ipv4Addr) {
        let sent = self.place().map(|place| place.site().mac).and_then(|mac| {
            let ear = self.listen()?;
            ear.send(&probe_frame(address, mac)).map_err(|error| error.to_string())
        });
        self.note(sent);
    }

    fn listen(&mut self) -> Result<&PacketSocket, String> {
        if self.ear.is_none() {
            let place = self.place()?;
            let ear = place.listen().map_err(|error| error.to_string())?;
            self.ear = Some(ear);
        }
        self.ear.as_ref().ok_or_else(|| "no socket".into())
    }

    fn note(&mut self, sent: Result<(), String>) {
        if let Err(error) = sent {
            log::debug!("{}: {error}", self.id);
            self.trouble = Some(error);
        }
    }

    /// A new lease or the old one for longer. Before the first answer the interface is the plugin's.
    fn hold(&mut self, terms: Terms) {
        let old = self.held.replace(terms.clone());
        match terms.expiry() {
            Some(expiry) => log::info!(
                "{}: has {} for {} s",
                self.id,
                terms.address(),
                expiry.saturating_sub(clock::now()).as_secs()
            ),
            None => log::info!("{}: has {} for ever", self.id, terms.address()),
        }
        let site = self.site.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(site) = site {
            let kept = Kept::new(&self.subject, &site, &terms, boot_id());
            if let Err(error) = self.manner.store.save(&kept) {
                log::error!("{}: the lease will not outlive the daemon: {error}", self.id);
            }
        }
        if let Some(old) = old {
            self.follow(old, &terms);
        }
        self.shared.set(Status::Held(terms));
    }

    /// Has the interface follow its lease. What cannot be done now is tried again with the next answer.
    fn follow(&mut self, old: Terms, new: &Terms) {
        let priority = self.subject.priority;
        let anew = std::mem::take(&mut self.is_stripped) || !self.behind.is_empty();
        let mut behind = std::mem::take(&mut self.behind);
        if !behind.contains(&old) {
            behind.push(old);
        }
        let mut attempt = 0;
        let done = self.insist(|place| {
            attempt += 1;
            let anew = anew || attempt > 1;
            behind.iter().try_for_each(|old| place.follow(old, new, priority, anew))
        });
        if let Err(error) = done {
            log::error!("{}: the interface does not follow: {error}", self.id);
            self.behind = behind;
        }
    }

    /// Changes the interface, and does not take the first refusal for the last word.
    fn insist(
        &mut self,
        mut deed: impl FnMut(&mut Place) -> Result<(), Error>,
    ) -> Result<(), String> {
        let mut left = ATTEMPTS;
        loop {
            let done = match self.find() {
                Ok(Some(found)) => deed(self.place.insert(found)),
                Ok(None) => return Err(self.gone()),
                Err(error) => Err(error),
            };
            left = left.saturating_sub(1);
            match done {
                Ok(()) => return Ok(()),
                Err(error) if left == 0 => return Err(error.to_string()),
                Err(error) => log::warn!("{}: {error}; trying again", self.id),
            }
            thread::sleep(PAUSE);
        }
    }

    /// Takes a held address away from the interface, which keeps the routes of its lease in mind.
    fn give_up(&mut self) {
        let Some(terms) = self.held.clone() else { return };
        self.is_stripped = true;
        let mut old = std::mem::take(&mut self.behind);
        old.push(terms);
        let done = self.insist(|place| old.iter().try_for_each(|terms| place.give_up(terms)));
        if let Err(error) = done {
            log::error!("{}: the address stays: {error}", self.id);
            self.behind = old;
        }
    }

    /// There is no lease any more.
    fn end(&mut self, mut why: String) {
        if let Some(trouble) = &self.trouble {
            why.push_str("; last trouble: ");
            why.push_str(trouble);
        }
        log::warn!("{}: {why}", self.id);
        if self.held.is_some() {
            log::warn!("{}: taking {} down", self.id, self.subject.ifname);
            self.give_up();
            self.held = None;
            if let Err(error) = self.insist(Place::bring_down) {
                log::error!("{}: {error}", self.id);
            }
        }
        // Last, so that a daemon that is killed meanwhile is followed by one that finishes this.
        self.manner.store.remove(&self.id);
        self.shared.set(Status::Over(why));
    }
}

/// Closes a socket in a thread of its own, since that takes the kernel some 10 ms, in which the lease may be
/// asked back.
fn close_aside(ear: PacketSocket) {
    // Without a thread it is closed here, with what would have run in it.
    let closing = thread::Builder::new().name("closing".into()).stack_size(SMALL_STACK);
    let _ = closing.spawn(move || drop(ear));
}

/// A number that differs from one lease to the next.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
