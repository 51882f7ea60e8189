//! Attributes of the container's interface that another plugin, or an earlier entry of the same
//! list, has made.

pub mod backup;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::link::{self, Attributes, Link};
use backup::Backup;

/// Attributes of an interface, set in one request; what they were is put back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkAttributes {
    /// The interface.
    pub link: String,
    /// What is set.
    pub wanted: Attributes,
    /// What it was before. Absent when the interface is made in the same call, with which it goes,
    /// or by a foreign plugin that is yet to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Attributes>,
    /// Where the reference plugin would look for what it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
}

impl LinkAttributes {
    /// What of `wanted` is set. As with the reference plugin, promiscuous mode that is not asked
    /// for stays as it is.
    pub fn changes(wanted: &Attributes) -> Attributes {
        Attributes { promisc: wanted.promisc.filter(|on| *on), ..wanted.clone() }
    }

    /// What `link` has of the attributes that `some` names.
    pub fn of(link: &Link, some: &Attributes) -> Attributes {
        Attributes {
            mac: some.mac.and(link.mac),
            promisc: some.promisc.and(Some(link.set_promiscuous)),
            mtu: some.mtu.and(Some(link.mtu)),
            allmulti: some.allmulti.and(Some(link.all_multicast)),
            tx_queue_len: some.tx_queue_len.and(Some(link.tx_queue_len)),
        }
    }

    /// What is to be put back according to the record, which may be older than what somebody has
    /// set since: only what is still as ADD set it.
    fn recorded(&self, link: &Link) -> Attributes {
        let Some(original) = &self.original else { return Attributes::default() };
        let is = Self::of(link, original);
        let wanted = &self.wanted;
        fn ours<T: Copy + PartialEq>(was: Option<T>, is: Option<T>, set: Option<T>) -> Option<T> {
            was.filter(|_| is == set && is != was)
        }
        Attributes {
            mac: ours(original.mac, is.mac, wanted.mac),
            promisc: ours(original.promisc, is.promisc, wanted.promisc),
            mtu: ours(original.mtu, is.mtu, wanted.mtu),
            allmulti: ours(original.allmulti, is.allmulti, wanted.allmulti),
            tx_queue_len: ours(original.tx_queue_len, is.tx_queue_len, wanted.tx_queue_len),
        }
    }

    fn find(&self, node: &mut Node<'_>) -> Result<Option<Link>, Error> {
        match &mut node.pod {
            Some(pod) => Ok(link::find(&mut pod.route, &self.link)?),
            None => Ok(None),
        }
    }
}

impl Kind for LinkAttributes {
    fn describe(&self) -> String {
        let set = &self.wanted;
        if set.is_empty() {
            return format!("put the attributes of {} back as they were", self.link);
        }
        format!("set {set} of {} in the container", self.link)
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let changes = Self::changes(&self.wanted);
        node.host.flush()?;
        if let Some(backup) = &self.backup {
            match &self.original {
                Some(original) => backup.write(original)?,
                None => {
                    if let Some(link) = self.find(node)? {
                        backup.write(&Self::of(&link, &changes))?;
                    }
                }
            }
        }
        let pod = node.pod()?;
        if !changes.is_empty() {
            // What was queued for the link before comes first, and must have worked.
            pod.route.flush()?;
            link::queue_attributes(&mut pod.route, &self.link, &changes)?;
            pod.route.flush()?;
        }
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        node.pod()?;
        let name = &self.link;
        let Some(link) = self.find(node)? else {
            return Ok(vec![format!("interface {name} is not in the container")]);
        };
        let set = &self.wanted;
        let mut wrong = Vec::new();
        if let Some(mac) = set.mac.filter(|mac| link.mac != Some(*mac)) {
            let is = link.mac.map_or("none".to_owned(), |mac| mac.to_string());
            wrong.push(format!("interface {name} has hardware address {is}, not {mac}"));
        }
        match set.promisc {
            Some(true) if !link.promiscuous => {
                wrong.push(format!("interface {name} is not promiscuous and should be"));
            }
            // Somebody who captures packets there does no harm.
            Some(false) if link.set_promiscuous => {
                wrong.push(format!("interface {name} is promiscuous and should not be"));
            }
            _ => {}
        }
        if let Some(mtu) = set.mtu.filter(|mtu| link.mtu != *mtu) {
            wrong.push(format!("interface {name} has MTU {}, not {mtu}", link.mtu));
        }
        if let Some(on) = set.allmulti.filter(|on| link.all_multicast != *on) {
            let (is, should) =
                if on { ("does not take", "should") } else { ("takes", "should not") };
            wrong.push(format!("interface {name} {is} every multicast packet and {should}"));
        }
        if let Some(length) = set.tx_queue_len.filter(|length| link.tx_queue_len != *length) {
            wrong.push(format!(
                "interface {name} has a transmit queue of {} packets, not {length}",
                link.tx_queue_len
            ));
        }
        Ok(wrong)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        let kept = self.backup.as_ref().map(Backup::read).transpose()?.flatten();
        if let Some(link) = self.find(node)? {
            let back = match kept {
                Some(kept) => kept,
                None => self.recorded(&link),
            };
            if !back.is_empty()
                && let Some(pod) = &mut node.pod
            {
                link::queue_attributes(&mut pod.route, &self.link, &back)?;
                match pod.route.flush() {
                    Err(error) if error.is(Errno::ENODEV) => {}
                    other => other?,
                }
            }
        }
        self.backup.as_ref().map_or(Ok(()), Backup::remove)
    }

    fn outlives_namespace(&self) -> bool {
        self.backup.is_some() || self.original.is_some()
    }
}
