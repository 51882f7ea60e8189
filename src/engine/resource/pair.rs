//! What pairs of links have in common, whatever their kind: one end on the host, which bears the
//! owner as its alias, one in the container.

use crate::engine::{Error, Node};
use crate::kernel::link::{self, Link};

/// A pair that is there, or should be.
pub(super) struct Pair<'a> {
    /// The kernel's name of its kind: "veth".
    pub kind: &'static str,
    /// The host end's name.
    pub host: &'a str,
    /// The container end's name.
    pub pod: &'a str,
    /// The container end's hardware address in colon form; empty when any will do.
    pub mac: &'a str,
    /// Bytes.
    pub mtu: Option<u32>,
    /// The container end stays down.
    pub leave_down: bool,
    /// The host end's alias.
    pub owner: &'a str,
}

impl Pair<'_> {
    /// The host end, if it is there and ours. The alias is set after the pair is made, so one without
    /// any, under a name that follows from the owner, was left by a kill in between.
    fn own(&self, node: &mut Node<'_>) -> Result<Option<Link>, Error> {
        let found = node.look_at(self.host)?;
        Ok(found.filter(|link| {
            link.kind == self.kind && (link.alias == self.owner || link.alias.is_empty())
        }))
    }

    /// Looks at both ends and adds what is wrong; gives the host end if it is there.
    pub fn check(
        &self,
        node: &mut Node<'_>,
        wrong: &mut Vec<String>,
    ) -> Result<Option<Link>, Error> {
        let Some(inside) = self.check_pod_end(node, wrong)? else { return Ok(None) };
        // By index, not by name: pairs of the reference plugin have random names.
        let outside = match inside.peer {
            Some(index) => link::find_index(&mut node.host, index)?,
            None => None,
        };
        let outside =
            outside.filter(|link| link.kind == self.kind && link.peer == Some(inside.index));
        match &outside {
            None => wrong.push(format!("the host end of {} is not on the host", self.pod)),
            Some(link) if !link.up => wrong.push(format!("{} on the host is down", link.name)),
            Some(_) => {}
        }
        Ok(outside)
    }

    fn check_pod_end(
        &self,
        node: &mut Node<'_>,
        wrong: &mut Vec<String>,
    ) -> Result<Option<Link>, Error> {
        let found = link::find(&mut node.pod()?.route, self.pod)?;
        match &found {
            None => wrong.push(format!("interface {} is not in the container", self.pod)),
            Some(link) if link.kind != self.kind => {
                wrong.push(format!("interface {} in the container is no {}", self.pod, self.kind));
            }
            Some(link) => {
                if !link.up && !self.leave_down {
                    wrong.push(format!("interface {} in the container is down", self.pod));
                }
                if let Some(mtu) = self.mtu.filter(|mtu| *mtu != link.mtu) {
                    wrong.push(format!(
                        "interface {} in the container has MTU {}, not {mtu}",
                        self.pod, link.mtu
                    ));
                }
                let is = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
                if !self.mac.is_empty() && !is.eq_ignore_ascii_case(self.mac) {
                    wrong.push(format!(
                        "interface {} in the container has hardware address {is}, not {}",
                        self.pod, self.mac
                    ));
                }
            }
        }
        Ok(found)
    }

    /// Removes the pair by its host end, if that is ours.
    pub fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        let Some(link) = self.own(node)? else { return Ok(()) };
        node.remove_link(&link);
        Ok(())
    }
}
