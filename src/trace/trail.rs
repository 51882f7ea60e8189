//! The hops that were followed, and the end of the way.

use serde::Serialize;

use crate::engine;
use crate::kernel;

/// How it went at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing stops the packet here.
    Passed,
    /// This stops it.
    Stopped,
    /// It depends on something that cannot be told by looking.
    Unknown,
    /// Worth knowing.
    Note,
}

/// One place on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// Where: a container's name, "host", "rules".
    pub place: String,
    /// How it went.
    pub state: State,
    /// What was found there.
    pub what: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// Why the way ends.
pub enum Halt {
    /// Something stops the packet, or it cannot be followed further.
    Stopped,
    /// The kernel could not be asked.
    Failed(engine::Error),
}

impl From<engine::Error> for Halt {
    fn from(error: engine::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<kernel::Error> for Halt {
    fn from(error: kernel::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<kernel::nft::Error> for Halt {
    fn from(error: kernel::nft::Error) -> Self {
        Self::Failed(kernel::Error::from(error).into())
    }
}

/// A step on the way.
pub type Step<T> = Result<T, Halt>;

/// The way so far.
#[derive(Debug, Default)]
pub struct Trail {
    /// The hops.
    pub hops: Vec<Hop>,
}

impl Trail {
    fn push(&mut self, place: &str, state: State, what: String, advice: Option<String>) {
        self.hops.push(Hop { place: place.to_owned(), state, what, advice });
    }

    /// Nothing stops it here.
    pub fn pass(&mut self, place: &str, what: impl Into<String>) {
        self.push(place, State::Passed, what.into(), None);
    }

    /// Worth knowing.
    pub fn note(&mut self, place: &str, what: impl Into<String>) {
        self.push(place, State::Note, what.into(), None);
    }

    /// It cannot be told; the way goes on.
    pub fn unknown(&mut self, place: &str, what: impl Into<String>, advice: impl Into<String>) {
        self.push(place, State::Unknown, what.into(), Some(advice.into()));
    }

    /// This stops it.
    pub fn stop(
        &mut self,
        place: &str,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Halt {
        self.push(place, State::Stopped, what.into(), Some(advice.into()));
        Halt::Stopped
    }

    /// Whether anything stops it.
    pub fn verdict(&self) -> State {
        let any = |state| self.hops.iter().any(|hop| hop.state == state);
        if any(State::Stopped) {
            State::Stopped
        } else if any(State::Unknown) {
            State::Unknown
        } else {
            State::Passed
        }
    }
}
