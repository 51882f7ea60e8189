//! From configuration, facts and lease to a plan: pure.

use super::settings::Settings;
use crate::engine::Owner;
use crate::kernel::link::Macvlan;
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
    // In mode passthru the kernel gives it the master's, whatever is asked for.
    let mac = match settings.mode {
        Macvlan::Passthru => None,
        _ => Some(settings.mac.unwrap_or_else(|| owner.mac())),
    };
    let wanted = Wanted {
        variety: settings.variety(),
        master: facts.master.as_ref(),
        mtu: settings.mtu,
        mac,
        telling: Telling::ByKernel,
    };
    let addressing = Addressing::of(given.lease)?;
    container_link::plan(request, owner, &wanted, facts.attached.as_ref(), addressing)
}
