//! What a call removes from the host, put off until it can go together: for each request that
//! removes links the kernel waits, and a link takes with it what limits it.

use super::Node;
use crate::kernel::Error;
use crate::kernel::link::{self, Link};
use crate::kernel::tc::removal;

/// What is to be removed.
#[derive(Default)]
pub(super) struct Leaving {
    links: Vec<link::Leaving>,
    limits: Vec<Limit>,
}

/// Something that limits a link.
struct Limit {
    link: link::Leaving,
    kind: Limiting,
}

/// What it is.
enum Limiting {
    /// A discipline for what the link sends.
    Discipline(&'static str),
    /// A redirection of what it receives to an ifb device, if that is there.
    Redirection(Option<u32>),
}

impl Node<'_> {
    /// Has a link of the host's removed with the others, by [`Node::remove_leaving`] or
    /// [`Node::flush`].
    pub fn remove_link(&mut self, link: &Link) {
        if !self.leaving.links.iter().any(|(index, _)| *index == link.index) {
            self.leaving.links.push((link.index, link.name.clone()));
        }
    }

    /// Has the discipline that limits what a link of the host's sends removed, if the link stays.
    pub fn remove_limit(&mut self, link: &Link, kind: &'static str) {
        self.remove_from(link, Limiting::Discipline(kind));
    }

    /// Has the redirection of what a link of the host's receives removed, if the link stays.
    pub fn remove_redirect(&mut self, link: &Link, ifb: Option<u32>) {
        self.remove_from(link, Limiting::Redirection(ifb));
    }

    fn remove_from(&mut self, link: &Link, kind: Limiting) {
        self.leaving.limits.push(Limit { link: (link.index, link.name.clone()), kind });
    }

    /// Removes now what was to be removed; rules go first, since they name links.
    ///
    /// # Errors
    /// The first refusal, after all has been tried.
    pub fn remove_leaving(&mut self) -> Result<(), Error> {
        if self.leaving.links.is_empty() && self.leaving.limits.is_empty() {
            return Ok(());
        }
        self.commit()?;
        let Leaving { links, limits } = std::mem::take(&mut self.leaving);
        let mut first = None;
        for Limit { link: (index, name), kind } in limits {
            if links.iter().any(|(leaving, _)| *leaving == index) {
                continue;
            }
            let removed = match kind {
                Limiting::Discipline(kind) => {
                    removal::remove_limit(&mut self.host, index, &name, kind)
                }
                Limiting::Redirection(ifb) => {
                    removal::remove_redirect(&mut self.host, index, &name, ifb)
                }
            };
            if let Err(error) = removed {
                first.get_or_insert(error);
            }
        }
        let removed = link::remove_together(&mut self.host, &links);
        for (_, name) in &links {
            self.forget(name);
        }
        match first {
            Some(error) => Err(error),
            None => removed,
        }
    }
}
