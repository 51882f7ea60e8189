//! Removing what limits a link that stays, if it is what is expected: somebody else may have put
//! something of his own in its place.

use nix::errno::Errno;

use super::found::{self, Filter};
use super::{LIMITING, REDIRECTING, queue_remove, queue_remove_redirect};
use crate::kernel::error::Error;
use crate::kernel::netlink::RouteSocket;

/// Removes the discipline `kind` that limits what a link sends.
///
/// # Errors
/// Any refusal but that it is gone.
pub fn remove_limit(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    kind: &str,
) -> Result<(), Error> {
    let root = found::root(socket, link)?;
    if root.is_none_or(|root| root.kind != kind || root.handle != LIMITING) {
        return Ok(());
    }
    queue_remove(socket, link, name, kind)?;
    settled(socket.flush())
}

/// Removes the redirection of what a link receives to an ifb device, which may be gone; with the
/// discipline that it is attached to unless others have filters there.
///
/// # Errors
/// Any refusal but that it is gone.
pub fn remove_redirect(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    ifb: Option<u32>,
) -> Result<(), Error> {
    let incoming = found::incoming(socket, link)?;
    if incoming.is_none_or(|one| one.kind != "ingress") {
        return Ok(());
    }
    let filters = found::redirecting(socket, link)?;
    let is_ours = |filter: &Filter| {
        let to_ifb = |to: &u32| *to == 0 || Some(*to) == ifb;
        filter.priority == REDIRECTING
            && !filter.redirects.is_empty()
            && filter.redirects.iter().all(to_ifb)
    };
    if filters.iter().all(is_ours) {
        queue_remove(socket, link, name, "ingress")?;
    } else if filters.iter().any(is_ours) {
        queue_remove_redirect(socket, link, name)?;
    }
    settled(socket.flush())
}

fn settled(answer: Result<(), Error>) -> Result<(), Error> {
    const GONE: [Errno; 3] = [Errno::ENOENT, Errno::EINVAL, Errno::ENODEV];
    match answer {
        Err(error) if GONE.iter().any(|errno| error.is(*errno)) => Ok(()),
        other => other,
    }
}
