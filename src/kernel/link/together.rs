//! Removing several links in one request, so that the kernel waits once.
//!
//! Before a link is gone the kernel waits until no processor can be using it, some ten milliseconds,
//! with one wait for all links of a request (`unregister_netdevice_many`, net/core/dev.c). The only
//! request that names several links is the one that names a group of them (`rtnl_group_dellink`,
//! net/core/rtnetlink.c), so they get a group of their own first.

use std::hash::{BuildHasher, Hasher, RandomState};

use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use nix::errno::Errno;
use rtnetlink::LinkUnspec;

use super::queue_remove;
use crate::kernel::error::Error;
use crate::kernel::netlink::RouteSocket;

/// `IFLA_PORT_SELF` of linux/if_link.h.
const PORT_SELF: u16 = 25;

/// The most links that go in one request: nobody else can change links until it is done.
const TOGETHER: usize = 256;

/// Links that are put into the group at once: fewer than fill a batch of the socket's, which would then be sent
/// without regard to what may be refused.
const BATCH: usize = 64;

/// A link that is to be removed: its index and its name.
pub type Leaving = (u32, String);

/// Removes links, after sending the batch; those that are gone already are fine. Several go in one
/// request where the kernel can do that, and else one by one.
///
/// # Errors
/// The first refusal, after every link has been tried.
pub fn remove_together(socket: &mut RouteSocket, links: &[Leaving]) -> Result<(), Error> {
    socket.flush()?;
    let mut first = None;
    for links in links.chunks(TOGETHER) {
        if links.len() > 1 && remove_as_group(socket, links, unlikely_group())? {
            continue;
        }
        for (index, name) in links {
            queue_remove(socket, *index, name)?;
            if let Err(error) = socket.flush_despite(Some(Errno::ENODEV)) {
                first.get_or_insert(error);
            }
        }
    }
    first.map_or(Ok(()), Err)
}

/// A group that nobody will have: people number theirs from the lower end.
fn unlikely_group() -> u32 {
    let random = RandomState::new().build_hasher().finish();
    // The kernel keeps it as a signed number, and some tools print it so.
    0x4000_0000 | (random as u32 >> 2)
}

/// Removes links in one request by having them in `group`, which nobody else may be in. Says whether
/// it worked; if not, the links are there still, but for their group as they were.
///
/// # Errors
/// A failing socket.
pub fn remove_as_group(
    socket: &mut RouteSocket,
    links: &[Leaving],
    group: u32,
) -> Result<bool, Error> {
    queue_probe(socket, group)?;
    for links in links.chunks(BATCH) {
        for (index, name) in links {
            let message = LinkUnspec::new_with_index(*index).link_group(group).build();
            let doing = format!("set the group of {name}");
            socket.queue(RouteNetlinkMessage::SetLink(message), 0, doing)?;
        }
        match socket.flush_despite(Some(Errno::ENODEV)) {
            Err(error @ Error::Socket { .. }) => return Err(error),
            Err(_) => return Ok(false),
            Ok(()) => {}
        }
    }
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Group(group));
    let names: Vec<_> = links.iter().map(|(_, name)| name.as_str()).collect();
    let doing = format!("remove links {}", names.join(", "));
    match socket.order(RouteNetlinkMessage::DelLink(message), 0, doing) {
        Ok(()) => Ok(true),
        // None is left in the group.
        Err(error) if error.is(Errno::ENODEV) => Ok(true),
        Err(error @ Error::Socket { .. }) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Queues a request that the kernel refuses if any link is in the group, and that changes nothing:
/// for each of them it has a port's profile set, which next to no driver can do (`do_setlink`,
/// net/core/rtnetlink.c), and here has nothing in it.
fn queue_probe(socket: &mut RouteSocket, group: u32) -> Result<(), Error> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Group(group));
    message.attributes.push(LinkAttribute::Other(DefaultNla::new(PORT_SELF, Vec::new())));
    let doing = format!("see that no link is in group {group}");
    socket.queue(RouteNetlinkMessage::NewLink(message), 0, doing)
}
