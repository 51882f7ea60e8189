//! What is known to be attached, and what has changed. Pure: time is given.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::engine::Owner;
use crate::inventory::{Attachment, State};

/// Network, container ID, interface.
pub type Key = (String, String, String);

/// How long something must be wrong before that is said: while an attachment is made or removed, parts
/// of it are missing.
const PATIENCE: Duration = Duration::from_secs(1);

/// What has happened to an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// It was there when watching began.
    Present,
    /// It has come.
    Attached,
    /// It has gone.
    Detached,
    /// It is there, and stands otherwise than before.
    Changed(State),
}

impl Happening {
    /// For programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Attached => "attached",
            Self::Detached => "detached",
            Self::Changed(State::LinkGone) => "link-gone",
            Self::Changed(State::NamespaceGone) => "namespace-gone",
            Self::Changed(_) => "restored",
        }
    }
}

/// Something that has happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// What.
    pub what: Happening,
    /// To which attachment; when it has gone, as it was.
    pub attachment: Attachment,
}

struct Entry {
    attachment: Attachment,
    /// How it stands as far as has been said.
    said: State,
    /// Since when it has stood otherwise.
    since: Option<Instant>,
}

/// All that is known.
#[derive(Default)]
pub(super) struct Known {
    entries: BTreeMap<Key, Entry>,
    has_begun: bool,
    is_making: bool,
}

fn key(owner: &Owner) -> Key {
    (owner.network.clone(), owner.container_id.clone(), owner.ifname.clone())
}

impl Known {
    /// Takes in what there is `now`.
    pub(super) fn update(
        &mut self,
        now: Instant,
        seen: impl Iterator<Item = Attachment>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let mut before = std::mem::take(&mut self.entries);
        self.is_making = false;
        for attachment in seen {
            let state = attachment.state;
            let entry = before.remove(&key(&attachment.owner));
            // What is being made is not there yet, and of what has been there a part may be missing
            // while it is removed.
            match state {
                State::LeaseOnly => {
                    events.extend(entry.map(gone));
                    continue;
                }
                State::HalfMade => {
                    self.is_making = true;
                    events.extend(entry.map(gone));
                    continue;
                }
                State::Attached | State::LinkGone | State::NamespaceGone => {}
            }
            let place = key(&attachment.owner);
            let mut entry = match entry {
                Some(entry) => Entry { attachment, ..entry },
                None => {
                    let began = !self.has_begun;
                    let what = if began { Happening::Present } else { Happening::Attached };
                    events.push(Event { what, attachment: attachment.clone() });
                    // Those that were there before say by their state what is wrong with them.
                    let said = if began { state } else { State::Attached };
                    Entry { attachment, said, since: None }
                }
            };
            if entry.said == state {
                entry.since = None;
            } else {
                let since = *entry.since.get_or_insert(now);
                if state == State::Attached || now.duration_since(since) >= PATIENCE {
                    entry.said = state;
                    entry.since = None;
                    let what = Happening::Changed(state);
                    events.push(Event { what, attachment: entry.attachment.clone() });
                }
            }
            self.entries.insert(place, entry);
        }
        events.extend(before.into_values().map(gone));
        self.has_begun = true;
        events
    }

    /// Whether something is being made, removed, or about to be said.
    pub(super) fn is_unsettled(&self) -> bool {
        self.is_making || self.entries.values().any(|entry| entry.since.is_some())
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn attachments(&self) -> impl Iterator<Item = (&Key, &Attachment)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.attachment))
    }
}

fn gone(entry: Entry) -> Event {
    Event { what: Happening::Detached, attachment: entry.attachment }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::inventory::Life;

    fn one(id: &str, state: State) -> Attachment {
        Attachment {
            owner: Owner { network: "pods".into(), container_id: id.into(), ifname: "eth0".into() },
            pod: None,
            addresses: Vec::new(),
            host_link: None,
            netns: None,
            life: Life::Unknown,
            since: None,
            state,
            records: Vec::new(),
            cached: None,
            leased: Vec::new(),
        }
    }

    /// The events of a look at `milliseconds`.
    fn look(
        known: &mut Known,
        start: Instant,
        milliseconds: u64,
        seen: &[Attachment],
    ) -> Vec<(&'static str, String)> {
        let now = start + Duration::from_millis(milliseconds);
        let events = known.update(now, seen.iter().cloned());
        events.into_iter().map(|one| (one.what.name(), one.attachment.owner.container_id)).collect()
    }

    #[test]
    fn attachments_come_and_go() {
        let (mut known, start) = (Known::default(), Instant::now());
        let says = |name, id: &str| vec![(name, id.to_owned())];
        let (a, b) = (one("a", State::Attached), one("b", State::Attached));
        assert_eq!(look(&mut known, start, 0, std::slice::from_ref(&a)), says("present", "a"));
        assert_eq!(look(&mut known, start, 10, std::slice::from_ref(&a)), []);
        // An ADD under way is not there yet.
        let half = one("b", State::HalfMade);
        assert_eq!(look(&mut known, start, 20, &[a.clone(), half]), []);
        assert!(known.is_unsettled());
        assert_eq!(look(&mut known, start, 30, &[a.clone(), b.clone()]), says("attached", "b"));
        assert!(!known.is_unsettled());
        assert_eq!(look(&mut known, start, 40, &[b]), says("detached", "a"));
        assert_eq!(look(&mut known, start, 50, &[]), says("detached", "b"));
    }

    #[test]
    fn what_is_wrong_is_said_once_and_not_at_once() {
        let (mut known, start) = (Known::default(), Instant::now());
        let good = one("a", State::Attached);
        let bad = one("a", State::LinkGone);
        look(&mut known, start, 0, std::slice::from_ref(&good));
        // A DEL has removed the link, and then the rest.
        assert_eq!(look(&mut known, start, 100, std::slice::from_ref(&bad)), []);
        assert!(known.is_unsettled());
        assert_eq!(look(&mut known, start, 200, std::slice::from_ref(&good)), []);
        // Somebody else has removed the link.
        assert_eq!(look(&mut known, start, 300, std::slice::from_ref(&bad)), []);
        let said = look(&mut known, start, 1300, std::slice::from_ref(&bad));
        assert_eq!(said, [("link-gone", "a".to_owned())]);
        assert_eq!(look(&mut known, start, 9000, std::slice::from_ref(&bad)), []);
        let said = look(&mut known, start, 9100, &[good]);
        assert_eq!(said, [("restored", "a".to_owned())]);
    }

    #[test]
    fn what_was_wrong_before_is_present() {
        let (mut known, start) = (Known::default(), Instant::now());
        let dead = one("a", State::NamespaceGone);
        let said = look(&mut known, start, 0, std::slice::from_ref(&dead));
        assert_eq!(said, [("present", "a".to_owned())]);
        assert_eq!(look(&mut known, start, 5000, &[dead]), []);
    }
}
