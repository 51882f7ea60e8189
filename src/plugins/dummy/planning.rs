//! From lease to a plan: pure.

use crate::engine::Owner;
use crate::kernel::link::Variety;
use crate::plugins::container_link::{self, Addressing, Facts, Wanted};
use crate::plugins::inside::Telling;
use crate::plugins::{Error, Given, Plan};
use crate::protocol::request::Request;

pub(super) fn plan(
    request: &Request,
    owner: &Owner,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Plan, Error> {
    let wanted = Wanted {
        variety: Variety::Dummy,
        master: None,
        mtu: None,
        mac: Some(owner.mac()),
        telling: Telling::Nobody,
    };
    let addressing = Addressing::required(given.lease, "dummy")?;
    container_link::plan(request, owner, &wanted, facts.attached.as_ref(), addressing)
}
