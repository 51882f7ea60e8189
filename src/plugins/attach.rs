//! ADD: observe, lease, plan, record, apply, answer (CNI spec 1.1.0, section 2, "ADD").
//!
//! An address source that needs the container's interface is asked when that is made: the plan is then
//! carried out in two parts, first what it would be without addresses, then what the lease adds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::call::{Call, Deliver, home, is_abandoned, keeper, observe};
use super::chain::{Foreign, Member};
use super::inside::default_route;
use super::{Error, Plan, Role, Step, limits};
use crate::delegate;
use crate::engine::apply::{self, Application};
use crate::engine::journal::{Journal, Record, boot_id};
use crate::engine::node::{LeaseKeeper, Side};
use crate::engine::resource::slaac::Slaac;
use crate::engine::resource::{foreign, lease::Lease};
use crate::engine::shared_lock::SharedLock;
use crate::engine::{Node, Owner, Resource};
use crate::ipam::host_local::Holder;
use crate::ipam::{self, Leased, Source};
use crate::protocol::request::{Request, Verb};
use crate::protocol::result::{AddResult, Interface, IpConfig, Route};

/// Makes an attachment, whole or not at all.
pub(super) fn add(mut call: Call<'_>, out: &mut dyn Deliver) -> Result<(), Error> {
    for (place, member) in call.members.iter().enumerate() {
        if let Member::Foreign(foreign) = member {
            foreign.program().map_err(|error| call.located(place, error))?;
        }
    }
    if let Some(source) = &call.source {
        source.reach()?;
    }
    let home = home()?;
    let pod = call.namespace(&home)?;
    limits::keep_what_is_needed(&call, None);
    call.lock(&pod)?;
    let keeper = keeper(&call.source, &call.owner);
    let keeper = keeper.as_ref().map(|keeper| keeper as &dyn LeaseKeeper);
    let mut node = Node::open(home, Some(pod), keeper)?;
    let journal = call.journal();
    let lock = SharedLock::take(call.request.config.state_dir.as_deref())?;

    // An interface that is there says that the attachment may be in use; without a plugin that makes
    // it nothing does, and what an earlier ADD changed must be put back before one looks.
    if call.has(Role::Interface) {
        observe(call.name, &mut call.members, &call.owner, &mut node)?;
        clear(&call, &journal, &mut node)?;
    } else {
        clear(&call, &journal, &mut node)?;
        observe(call.name, &mut call.members, &call.owner, &mut node)?;
    }

    let lease = match &call.source {
        Some(source) if !source.needs_link() => Some(lease(&call, source, &journal)?),
        _ => None,
    };
    let mut attempt = Attempt::new(&call);
    let done = attempt.attach(&call, lease, &journal, &mut node).and_then(|result| {
        let text = result.to_json(call.request.config.version)?;
        out.deliver(&text).map_err(Error::Undelivered)
    });
    match done {
        Ok(()) => Ok(()),
        Err(error) => Err(attempt.undo(&call, error, &journal, &lock, &mut node)),
    }
}

/// Removes what an ADD that was killed has left; nothing of it is in use, or `observe` had refused.
fn clear(call: &Call<'_>, journal: &Journal, node: &mut Node<'_>) -> Result<(), Error> {
    let Some(record) = journal.read(&call.owner, call.name)? else { return Ok(()) };
    if call.has(Role::Addresses) && !record.is_abandoned(boot_id()) {
        return Err(already_leased(&call.owner));
    }
    log::warn!("clearing what an earlier ADD of {} has left", call.owner.text());
    apply::remove(&record.resources, node)?;
    Ok(journal.remove(&call.owner, call.name)?)
}

fn already_leased(owner: &Owner) -> Error {
    Error::AlreadyAttached(format!(
        "container {} already holds a lease for {} on network {}; release it first (DEL)",
        owner.container_id, owner.ifname, owner.network
    ))
}

/// Leases addresses. When the attachment already holds some although it has no interface, an ADD
/// was killed before its record was written: they are given back first. As an IPAM plugin by
/// itself this program cannot know, and refuses as the reference does.
fn lease(call: &Call<'_>, source: &Source, journal: &Journal) -> Result<Leased, Error> {
    let mut abandoned = |holder: Holder<'_>| is_abandoned(holder, journal);
    match source.lease(&call.owner, &mut abandoned) {
        Err(ipam::Error::HostLocal(ipam::host_local::Error::AlreadyLeased { .. }))
            if call.has(Role::Interface) =>
        {
            source.release(&call.owner)?;
            Ok(source.lease(&call.owner, &mut abandoned)?)
        }
        other => Ok(other?),
    }
}

fn kubernetes_pod(request: &Request) -> Option<String> {
    let pod = &request.args.kubernetes;
    Some(format!("{}/{}", pod.pod_namespace.as_deref()?, pod.pod_name.as_deref()?))
}

/// An ADD under way.
struct Attempt {
    record: Record,
    recorded: bool,
    application: Application,
}

impl Attempt {
    fn new(call: &Call<'_>) -> Self {
        let record = Record {
            version: 1,
            owner: call.owner.clone(),
            plugin: call.name.to_owned(),
            boot: boot_id().to_owned(),
            netns: call.request.netns.clone(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()),
            pod: kubernetes_pod(call.request),
            resources: Vec::new(),
        };
        Self { record, recorded: false, application: Application::default() }
    }

    /// Carries the plugins out in order and gives their result. Usually all are planned before
    /// anything is made; only what follows a foreign plugin has to wait for that one's result.
    fn attach(
        &mut self,
        call: &Call<'_>,
        mut lease: Option<Leased>,
        journal: &Journal,
        node: &mut Node<'_>,
    ) -> Result<AddResult, Error> {
        let mut result = call.request.config.prev_result.clone();
        for (place, member) in call.members.iter().enumerate() {
            match member {
                Member::Own(step) => {
                    let before = self.record.resources.len();
                    if let Some(source) = self.waits_for_link(call, &**step)? {
                        self.make_link(call, place, &**step, result.as_ref())?;
                        self.make(journal, node)?;
                        lease = Some(self::lease(call, source, journal)?);
                    }
                    let planned = self.record.resources.get(..before).unwrap_or_default();
                    let previous = result.as_ref();
                    let mut plan = call.plan(place, &**step, lease.as_ref(), previous, planned)?;
                    self.leave_out_made(before, &mut plan);
                    self.record.resources.extend(plan.resources);
                    let made = self.record.resources.get(before..).unwrap_or_default();
                    let waits = made.iter().any(|one| matches!(one, Resource::Slaac(_)));
                    result = Some(plan.result);
                    if waits && let Some(result) = &mut result {
                        // Those that follow plan on the address.
                        self.make(journal, node)?;
                        complete(result, &self.record.resources, node)?;
                    }
                }
                Member::Foreign(foreign) => {
                    self.make(journal, node)?;
                    if let Some(result) = &mut result {
                        complete(result, &self.record.resources, node)?;
                    }
                    let answer = self.run(foreign, result.as_ref(), journal, node);
                    result = Some(answer.map_err(|error| call.located(place, error))?);
                }
            }
        }
        self.make(journal, node)?;
        let mut result = result.unwrap_or_default();
        complete(&mut result, &self.record.resources, node)?;
        Ok(result)
    }

    /// The address source of a plugin, when it could not be asked yet.
    fn waits_for_link<'c>(
        &self,
        call: &'c Call<'_>,
        step: &dyn Step,
    ) -> Result<Option<&'c Source>, Error> {
        let source = call.source.as_ref().filter(|source| source.needs_link());
        Ok(if source.is_some() && step.source()?.is_some() { source } else { None })
    }

    /// Plans what a plugin makes without addresses, and that a lease may be held from then on: a kill
    /// while the source is asked must not leave one.
    fn make_link(
        &mut self,
        call: &Call<'_>,
        place: usize,
        step: &dyn Step,
        previous: Option<&AddResult>,
    ) -> Result<(), Error> {
        if step.role() == Role::Interface {
            let plan = call.plan(place, step, None, previous, &self.record.resources)?;
            self.record.resources.extend(plan.resources);
        }
        let source = call.source.as_ref().map(|source| source.name().to_owned());
        let lease = Lease { source: source.unwrap_or_default(), addresses: Vec::new() };
        self.record.resources.push(lease.into());
        Ok(())
    }

    /// Takes what was made in the first part out of the whole plan. The lease stands in the record
    /// already, and gets its addresses there.
    fn leave_out_made(&mut self, before: usize, plan: &mut Plan) {
        let made = self.record.resources.get_mut(before..).unwrap_or_default();
        if made.is_empty() {
            return;
        }
        plan.resources.retain(|resource| !made.contains(resource));
        let held = made.iter_mut().find_map(|resource| match resource {
            Resource::Lease(lease) => Some(lease),
            _ => None,
        });
        let Some(held) = held else { return };
        plan.resources.retain(|resource| match resource {
            Resource::Lease(lease) => {
                held.addresses.clone_from(&lease.addresses);
                false
            }
            _ => true,
        });
    }

    /// Writes the record and makes what of it has not been made yet.
    fn make(&mut self, journal: &Journal, node: &mut Node<'_>) -> Result<(), Error> {
        if self.record.resources.iter().any(|one| one.kind().outlives_namespace()) {
            journal.write(&self.record)?;
            self.recorded = true;
        }
        Ok(self.application.go_on(&self.record.resources, node)?)
    }

    /// Runs a foreign plugin as a runtime would.
    fn run(
        &mut self,
        foreign: &Foreign<'_>,
        previous: Option<&AddResult>,
        journal: &Journal,
        node: &mut Node<'_>,
    ) -> Result<AddResult, Error> {
        let resource = foreign_resource(foreign, previous)?;
        let (program, stdin) = (resource.program.clone(), resource.config.to_string());
        self.record.resources.push(resource.into());
        self.make(journal, node)?;
        let answer = delegate::run(Verb::Add, &program, stdin.as_bytes())?;
        Ok(AddResult::read(&delegate::parse_result(&program, &answer)?)?)
    }

    /// Undoes everything and says why. The record stays if something is left.
    fn undo(
        self,
        call: &Call<'_>,
        error: Error,
        journal: &Journal,
        lock: &SharedLock,
        node: &mut Node<'_>,
    ) -> Error {
        if self.record.resources.is_empty()
            && let Some(source) = &call.source
            && let Err(failure) = source.release(&call.owner)
        {
            // There is no plan yet that would give the lease back.
            return Error::NotUndone { error: Box::new(error), left: vec![failure.to_string()] };
        }
        if let Err(left) = self.application.undo(&self.record.resources, node, lock) {
            return Error::NotUndone { error: Box::new(error), left };
        }
        if self.recorded
            && let Err(failure) = journal.remove(&call.owner, call.name)
        {
            let left = vec![failure.to_string()];
            return Error::NotUndone { error: Box::new(error), left };
        }
        error
    }
}

/// The resource that stands for a foreign plugin in plans and records.
pub(super) fn foreign_resource(
    foreign: &Foreign<'_>,
    previous: Option<&AddResult>,
) -> Result<foreign::Foreign, Error> {
    let request = foreign.request;
    let text = |value: &std::path::Path| value.to_string_lossy().into_owned();
    let path: Vec<_> = request.path.iter().map(|folder| text(folder)).collect();
    let mut environment = BTreeMap::from([
        ("CNI_CONTAINERID".to_owned(), request.container_id.clone()),
        ("CNI_IFNAME".to_owned(), request.ifname.clone()),
        ("CNI_PATH".to_owned(), path.join(":")),
    ]);
    if let Some(netns) = &request.netns {
        environment.insert("CNI_NETNS".to_owned(), text(netns));
    }
    Ok(foreign::Foreign {
        program: foreign.program()?,
        environment,
        config: foreign.stdin(previous)?,
    })
}

/// Fills in what the kernel chose for links that were made: hardware addresses and MTUs, and what it got
/// from routers.
fn complete(result: &mut AddResult, made: &[Resource], node: &mut Node<'_>) -> Result<(), Error> {
    let mut pod_mtu = None;
    let new =
        |one: &&mut Interface| one.sandbox.is_empty() && one.mac.is_empty() && one.mtu.is_none();
    for interface in result.interfaces.iter_mut().filter(new) {
        if let Some(link) = node.host_link(&interface.name)? {
            // A link without hardware addresses, such as netkit's in mode L3, has one of zeros.
            let mac = link.mac.filter(|mac| mac.is_unicast());
            interface.mac = mac.map(|mac| mac.to_string()).unwrap_or_default();
            interface.mtu = Some(link.mtu);
            if link.is_end_of_pair() {
                pod_mtu.get_or_insert(link.mtu);
            }
        }
    }
    for interface in result.interfaces.iter_mut().filter(|interface| !interface.sandbox.is_empty())
    {
        interface.mtu = interface.mtu.or(pod_mtu);
        let made_inside = made
            .iter()
            .any(|one| matches!(one, Resource::ContainerLink(link) if link.name == interface.name));
        if made_inside && (interface.mac.is_empty() || interface.mtu.is_none()) {
            let link = node.link(Side::Pod, &interface.name)?;
            interface.mtu = interface.mtu.or(Some(link.mtu));
            if interface.mac.is_empty() {
                interface.mac = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
            }
        }
    }
    for one in made {
        if let Resource::Slaac(slaac) = one {
            report(result, slaac, node)?;
        }
    }
    Ok(())
}

/// Adds what routers gave, unless it is in the result already.
fn report(result: &mut AddResult, slaac: &Slaac, node: &mut Node<'_>) -> Result<(), Error> {
    let given = slaac.given(node)?;
    let inside = |one: &Interface| !one.sandbox.is_empty() && one.name == slaac.link;
    let interface = result.interfaces.iter().position(inside);
    let router = given.routers.first().copied().map(IpAddr::from);
    for address in given.addresses {
        if !result.ips.iter().any(|ip| ip.address == address) {
            result.ips.push(IpConfig { interface, address, gateway: router });
        }
    }
    let default = default_route(true)?;
    for router in given.routers {
        let route = Route { gw: Some(router.into()), ..default.clone() };
        if !result.routes.contains(&route) {
            result.routes.push(route);
        }
    }
    Ok(())
}
