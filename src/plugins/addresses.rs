//! What the plugins do alike that only hand out addresses, below another program's plugin.

use super::{Given, Plan};
use crate::engine::resource::lease::Lease;
use crate::protocol::result::AddResult;

/// The plan of an address source by itself: what it gave is the result.
pub(super) fn plan_of(given: &Given<'_>) -> Plan {
    let Some(lease) = given.lease else {
        return Plan { resources: Vec::new(), result: AddResult::default() };
    };
    let addresses = lease.ips.iter().map(|ip| ip.address).collect();
    Plan {
        resources: vec![Lease { source: lease.source.clone(), addresses }.into()],
        result: AddResult {
            interfaces: Vec::new(),
            ips: lease.ips.clone(),
            routes: lease.routes.clone(),
            dns: lease.dns.clone(),
        },
    }
}
