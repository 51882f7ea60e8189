//! From configuration, facts and prevResult to a plan: pure.

use std::fmt::Write as _;

use sha2::{Digest, Sha512};

use super::Facts;
use super::settings::Settings;
use crate::engine::host_end::HostEnd;
use crate::engine::resource::ifb::Ifb;
use crate::engine::resource::shaper::Shaper;
use crate::engine::{Owner, Resource};
use crate::plugins::{Error, Given, Plan};
use crate::protocol::names::INTERFACE_NAME_MAX;
use crate::protocol::request::Request;
use crate::protocol::result::Interface;

/// What the names of ifb devices begin with, the reference plugin's as well.
const PREFIX: &str = "bwp";
/// The transmit queue of an ifb device with htb, in packets, whose classes take theirs from it.
const CLASS_QUEUE: u32 = 1000;

/// The ifb device's name: the reference plugin's.
pub(super) fn ifb_name(owner: &Owner) -> String {
    let digest = Sha512::digest(format!("{}{}", owner.network, owner.container_id));
    let mut name = digest.iter().fold(PREFIX.to_owned(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    });
    name.truncate(INTERFACE_NAME_MAX);
    name
}

/// The resources that the limits need, for an end of the host's that may be known.
pub(super) fn resources(
    settings: &Settings,
    owner: &Owner,
    end: &HostEnd,
) -> impl Iterator<Item = Resource> {
    let text = owner.text();
    let shaper = |limit, ifb| -> Resource {
        let (end, subnets, owner) = (end.clone(), settings.subnets.clone(), text.clone());
        Shaper { end, limit, subnets, ifb, owner }.into()
    };
    let ingress = settings.ingress.map(|limit| shaper(limit, None));
    let through = settings.egress.map(|_| ifb(settings, owner, end, false).into());
    let egress = settings.egress.map(|limit| shaper(limit, Some(ifb_name(owner))));
    [ingress, through, egress].into_iter().flatten()
}

/// The ifb device; `any` for one that may be the reference plugin's.
pub(super) fn ifb(settings: &Settings, owner: &Owner, end: &HostEnd, any: bool) -> Ifb {
    Ifb {
        name: ifb_name(owner),
        mac: owner.ifb_mac().to_string(),
        end: end.clone(),
        queue_length: if settings.subnets.is_empty() { 0 } else { CLASS_QUEUE },
        owner: owner.text(),
        any,
    }
}

pub(super) fn plan(
    settings: &Settings,
    request: &Request,
    owner: &Owner,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Plan, Error> {
    let mut result = given.previous.cloned().unwrap_or_default();
    if settings.is_empty() {
        return Ok(Plan { resources: Vec::new(), result });
    }
    let ifname = &request.ifname;
    let wrong = |problem: String| Err(Error::config("prevResult", problem));
    let host = match (given.host_link(ifname), &facts.host) {
        (Some(planned), _) => Some(planned.to_owned()),
        (None, Some(found)) => {
            let is_it = |one: &Interface| one.sandbox.is_empty() && one.name == *found;
            if !result.interfaces.iter().any(is_it) {
                return wrong(format!(
                    "does not list {found}, the host's end of interface {ifname}; bandwidth needs \
                     the result of the plugin that made it"
                ));
            }
            Some(found.clone())
        }
        (None, None) if facts.attached || given.may_make(ifname) => None,
        (None, None) => {
            return wrong(format!(
                "interface {ifname} is not in the container; bandwidth limits what another plugin \
                 has made, so give it a place after that one in the list of plugins"
            ));
        }
    };
    let end = HostEnd { pod: ifname.clone(), host };
    if settings.egress.is_some() {
        result.interfaces.push(Interface {
            name: ifb_name(owner),
            mac: owner.ifb_mac().to_string(),
            ..Interface::default()
        });
    }
    Ok(Plan { resources: resources(settings, owner, &end).collect(), result })
}
