//! What is not as it should be, as a check has found it.

use std::fmt;

/// Something that is missing or different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What, in words.
    pub what: String,
    /// Whether it is there, but another attachment's: to put it back would take it from that one.
    pub taken: bool,
}

impl Difference {
    /// What has another owner than it should; an empty one is nobody.
    pub fn taken(what: impl fmt::Display, owner: Option<&str>) -> Self {
        Self { what: format!("{what} belongs to {}", owner.unwrap_or("nobody")), taken: true }
    }
}

impl From<String> for Difference {
    fn from(what: String) -> Self {
        Self { what, taken: false }
    }
}

impl PartialEq<&str> for Difference {
    fn eq(&self, other: &&str) -> bool {
        self.what == *other
    }
}

/// The words alone.
pub fn in_words(differences: Vec<Difference>) -> Vec<String> {
    differences.into_iter().map(|difference| difference.what).collect()
}
