//! From configuration, facts and lease to a plan: pure.

use super::settings::Settings;
use crate::engine::Owner;
use crate::plugins::attached::PodEnd;
use crate::plugins::container_link::{self, Addressing, Facts, Wanted};
use crate::plugins::inside::Telling;
use crate::plugins::{Error, Given, Plan};
use crate::protocol::request::Request;

pub(super) fn plan(
    settings: &Settings,
    request: &Request,
    owner: &Owner,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Plan, Error> {
    if let Some(master) = facts.master.as_ref().filter(|master| master.is_down) {
        // The kernel brings no VLAN up on it (`vlan_dev_open`, net/8021q/vlan_dev.c).
        return Err(master.down("its VLANs cannot come up"));
    }
    let wanted = Wanted {
        variety: settings.variety(),
        master: facts.master.as_ref(),
        mtu: settings.mtu,
        mac: None,
        telling: Telling::Nobody,
    };
    // As with the reference plugin, CHECK falls back on the configuration.
    let attached = facts.attached.as_ref();
    let attached = attached.map(|told| PodEnd { mtu: told.mtu.or(settings.mtu), ..told.clone() });
    let addressing = Addressing::required(given.lease, "vlan")?;
    container_link::plan(request, owner, &wanted, attached.as_ref(), addressing)
}
