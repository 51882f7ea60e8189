//! From the host into a container.

use std::net::IpAddr;

use super::Case;
use super::end::{End, REPAIR};
use super::trail::Step;
use crate::engine::node::Side;
use crate::kernel::listening;
use crate::kernel::route::lookup::{Answer, way};

/// That the container has the address, knows a way back, and answers at the port.
pub(super) fn arrive(
    case: &mut Case<'_>,
    to: &mut End<'_>,
    source: IpAddr,
    address: IpAddr,
) -> Step<()> {
    to.require_address(case, address)?;
    if let Answer::None(errno) = way(&mut to.node.pod()?.route, source, None)? {
        let what = format!("it has no route back to {source} ({})", errno.desc());
        return Err(case.trail.stop(&to.name, what, REPAIR));
    }
    case.trail.pass(&to.name, format!("it knows a way back to {source}"));
    if let Some(port) = case.question.port {
        let transport = case.question.transport;
        let found = to.node.within(Side::Pod, || listening::at(transport, port))?;
        let name = to.name.clone();
        somebody_listens(case, &name, found, port, address)?;
    }
    Ok(())
}

/// That a program takes connections; `found` are the addresses at which one does.
pub(super) fn somebody_listens(
    case: &mut Case<'_>,
    place: &str,
    found: Option<Vec<IpAddr>>,
    port: u16,
    address: IpAddr,
) -> Step<()> {
    let transport = case.question.transport.name();
    let Some(found) = found else { return Ok(()) };
    let fits = |one: &IpAddr| *one == address || one.is_unspecified();
    if found.iter().any(fits) {
        case.trail.pass(place, format!("a program listens at {transport} port {port}"));
        return Ok(());
    }
    let (what, advice) = match found.first() {
        None => (
            format!("no program listens at {transport} port {port}"),
            "start it, or ask for another port",
        ),
        Some(other) => (
            format!("a program listens at {transport} port {port}, but only at {other}"),
            "have it listen at 0.0.0.0 or ::",
        ),
    };
    Err(case.trail.stop(place, what, advice))
}
