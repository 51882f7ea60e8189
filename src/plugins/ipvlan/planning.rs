//! From configuration, facts, lease and the result before to a plan: pure.

use super::settings::Settings;
use crate::engine::Owner;
use crate::plugins::container_link::{self, Addressing, Facts, Wanted};
use crate::plugins::inside::Telling;
use crate::plugins::master::Master;
use crate::plugins::{Error, Given, Plan};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

pub(super) fn plan(
    settings: &Settings,
    request: &Request,
    owner: &Owner,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Plan, Error> {
    let master = match &facts.attached {
        Some(_) => facts.master.clone(),
        None => Some(master(settings, facts, given)?),
    };
    let wanted = Wanted {
        variety: settings.variety(),
        master: master.as_ref(),
        mtu: settings.mtu,
        mac: None,
        telling: Telling::ByKernel,
    };
    let addressing = addressing(request, facts, given)?;
    container_link::plan(request, owner, &wanted, facts.attached.as_ref(), addressing)
}

/// The link that the ipvlan is made on: the one that was found, unless the result before names one
/// that could not be known by then.
fn master(settings: &Settings, facts: &Facts, given: &Given<'_>) -> Result<Master, Error> {
    let named = match (&settings.master.name, given.previous) {
        (None, Some(previous)) => Some(single(previous)?),
        (name, _) => name.as_deref(),
    };
    match (&facts.master, named) {
        (Some(found), Some(name)) if found.name != name => {
            Ok(Master::to_come(name, settings.master.side))
        }
        (Some(found), _) => Ok(found.clone()),
        (None, Some(name)) => Ok(Master::to_come(name, settings.master.side)),
        (None, None) => Err(Error::config(
            "master",
            "is not given, and neither a default route nor prevResult tells: name a link",
        )),
    }
}

/// The one interface of the result before, on which the ipvlan is made.
pub(super) fn single(previous: &AddResult) -> Result<&str, Error> {
    match previous.interfaces.as_slice() {
        [one] if !one.name.is_empty() => Ok(&one.name),
        others => Err(Error::config(
            "master",
            format!(
                "is not given, and prevResult, which tells it then, lists {} interfaces, not one \
                 with a name: name a link",
                others.len()
            ),
        )),
    }
}

/// The lease or, without an address source, what the result before has; at CHECK, what is this
/// interface's of it.
fn addressing<'a>(
    request: &Request,
    facts: &Facts,
    given: &Given<'a>,
) -> Result<Addressing<'a>, Error> {
    let previous = given.previous.filter(|previous| !previous.ips.is_empty());
    let Some(previous) = previous.filter(|_| given.lease.is_none()) else {
        return Addressing::required(given.lease, "ipvlan without prevResult");
    };
    let ours = |index: Option<usize>| {
        index
            .and_then(|index| previous.interfaces.get(index))
            .is_none_or(|one| one.name == request.ifname)
    };
    let mut ips = previous.ips.clone();
    if facts.attached.is_some() {
        ips.retain(|ip| ours(ip.interface));
    }
    Ok(Addressing { lease: None, ips, routes: previous.routes.clone() })
}
