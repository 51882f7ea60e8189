//! The verbs, written once for every plugin (CNI spec 1.1.0, section 2).

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::stale;
use super::{Error, Plan, Plugin, TYPES};
use crate::engine::apply::{self, Application};
use crate::engine::journal::{Journal, Record, boot_id};
use crate::engine::node::LeaseKeeper;
use crate::engine::shared_lock::SharedLock;
use crate::engine::{self, Node, Owner};
use crate::ipam::host_local::Holder;
use crate::ipam::{self, Keeper, Leased, Source};
use crate::kernel::netns::{self, Namespace};
use crate::protocol::request::{Request, Verb};
use crate::protocol::result::AddResult;
use crate::protocol::version::version_reply;

/// Where an answer goes. An ADD whose answer cannot be delivered is undone.
pub trait Deliver {
    /// Hands an answer over, whole.
    ///
    /// # Errors
    /// When nobody takes it.
    fn deliver(&mut self, text: &str) -> io::Result<()>;
}

/// Carries a request out.
///
/// # Errors
/// Whatever went wrong; then nothing is left of it.
pub fn run<P: Plugin>(request: &Request, out: &mut dyn Deliver) -> Result<(), Error> {
    match request.verb {
        Verb::Add => add::<P>(request, out),
        Verb::Del => del::<P>(request),
        Verb::Check => check::<P>(request),
        Verb::Gc => stale::collect::<P>(request),
        Verb::Status => status::<P>(request),
        Verb::Version => {
            let reply = version_reply(request.config.given_version())?;
            out.deliver(&reply).map_err(undelivered)
        }
    }
}

/// What ADD would do, one line a step.
///
/// # Errors
/// What ADD would fail with before it changes anything.
pub fn explain<P: Plugin>(request: &Request) -> Result<Plan, Error> {
    let plugin = P::configure(request)?;
    let owner = owner(request);
    let source = source(&plugin, request)?;
    let home = home()?;
    let pod = namespace(request, &home)?;
    let mut node = Node::open(home, Some(pod), None)?;
    let facts = plugin.observe(request, &owner, &mut node)?;
    let lease = source.map(|source| source.preview(&owner)).transpose()?;
    plugin.plan(request, &owner, &facts, lease.as_ref())
}

fn add<P: Plugin>(request: &Request, out: &mut dyn Deliver) -> Result<(), Error> {
    let plugin = P::configure(request)?;
    let owner = owner(request);
    let source = source(&plugin, request)?;
    let keeper = source.as_ref().map(|source| Keeper { source, owner: &owner });
    let keeper = keeper.as_ref().map(|keeper| keeper as &dyn LeaseKeeper);
    let home = home()?;
    let pod = namespace(request, &home)?;
    if P::MAKES_LINKS {
        pod.lock().map_err(crate::kernel::Error::from)?;
    }
    let mut node = Node::open(home, Some(pod), keeper)?;
    let journal = journal(request);
    let lock = SharedLock::take(request.config.state_dir.as_deref())?;

    let facts = plugin.observe(request, &owner, &mut node)?;
    // What an ADD that was killed has left; nothing of it is in use, or `observe` had refused.
    if let Some(record) = journal.read(&owner, P::TYPE)? {
        if !P::MAKES_LINKS && !record.is_abandoned(boot_id()) {
            return Err(already_leased(&owner));
        }
        log::warn!("clearing what an earlier ADD of {} has left", owner.text());
        apply::remove(&record.resources, &mut node)?;
        journal.remove(&owner, P::TYPE)?;
    }

    let lease = match &source {
        Some(source) => Some(lease::<P>(source, &owner, &journal)?),
        None => None,
    };
    match plugin.plan(request, &owner, &facts, lease.as_ref()) {
        Ok(plan) => attach::<P>(request, &owner, plan, &journal, &lock, &mut node, out),
        Err(error) => {
            // There is no plan yet whose undoing would give the lease back.
            if let Some(Err(failure)) = source.map(|source| source.release(&owner)) {
                log::error!("the lease of {} could not be given back: {failure}", owner.text());
            }
            Err(error)
        }
    }
}

fn already_leased(owner: &Owner) -> Error {
    Error::AlreadyAttached(format!(
        "container {} already holds a lease for {} on network {}; release it first (DEL)",
        owner.container_id, owner.ifname, owner.network
    ))
}

fn attach<P: Plugin>(
    request: &Request,
    owner: &Owner,
    plan: Plan,
    journal: &Journal,
    lock: &SharedLock,
    node: &mut Node<'_>,
    out: &mut dyn Deliver,
) -> Result<(), Error> {
    let Plan { resources, mut result } = plan;
    let record = Record {
        version: 1,
        owner: owner.clone(),
        plugin: P::TYPE.to_owned(),
        boot: boot_id().to_owned(),
        netns: request.netns.clone(),
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()),
        pod: kubernetes_pod(request),
        resources,
    };
    let recorded = record.resources.iter().any(|one| one.kind().outlives_namespace());
    if recorded && let Err(failure) = journal.write(&record) {
        apply::remove(&record.resources, node)?;
        return Err(failure.into());
    }
    let application = match Application::run(&record.resources, node, lock) {
        Ok(application) => application,
        Err(failure) => {
            if !matches!(failure, engine::Error::UndoFailed { .. }) {
                journal.remove(owner, P::TYPE)?;
            }
            return Err(failure.into());
        }
    };
    let delivered = complete(&mut result, node)
        .and_then(|()| Ok(result.to_json(request.config.version)?))
        .and_then(|text| out.deliver(&text).map_err(undelivered));
    if let Err(failure) = delivered {
        application.undo(node, lock).map_err(engine::Error::Incomplete)?;
        journal.remove(owner, P::TYPE)?;
        return Err(failure);
    }
    Ok(())
}

fn undelivered(source: io::Error) -> Error {
    Error::Undelivered(source)
}

/// Fills in what the kernel chose: hardware addresses and MTUs.
fn complete(result: &mut AddResult, node: &mut Node<'_>) -> Result<(), Error> {
    let mut pod_mtu = None;
    for interface in result.interfaces.iter_mut().filter(|interface| interface.sandbox.is_empty()) {
        if let Some(link) = node.host_link(&interface.name)? {
            interface.mac = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
            interface.mtu = Some(link.mtu);
            if link.kind == "veth" {
                pod_mtu.get_or_insert(link.mtu);
            }
        }
    }
    for interface in result.interfaces.iter_mut().filter(|interface| !interface.sandbox.is_empty())
    {
        interface.mtu = interface.mtu.or(pod_mtu);
    }
    Ok(())
}

/// Leases addresses. When the attachment already holds some although it has no interface, an ADD
/// was killed before its record was written: they are given back first. As an IPAM plugin by
/// itself this program cannot know, and refuses as the reference does.
fn lease<P: Plugin>(source: &Source, owner: &Owner, journal: &Journal) -> Result<Leased, Error> {
    let mut abandoned = |holder: Holder<'_>| is_abandoned(holder, journal);
    match source.lease(owner, &mut abandoned) {
        Err(ipam::Error::HostLocal(ipam::host_local::Error::AlreadyLeased { .. }))
            if P::MAKES_LINKS =>
        {
            source.release(owner)?;
            Ok(source.lease(owner, &mut abandoned)?)
        }
        other => Ok(other?),
    }
}

/// Whether the journal proves that a lease's holder is nobody any more: of an earlier boot, with its
/// namespace gone.
fn is_abandoned(holder: Holder<'_>, journal: &Journal) -> bool {
    let types = TYPES.each_ref().map(|known| known.name);
    let records = journal.of_attachment(holder.container_id, holder.ifname, &types);
    let records = records.unwrap_or_default();
    !records.is_empty() && records.iter().all(|record| record.is_abandoned(boot_id()))
}

fn del<P: Plugin>(request: &Request) -> Result<(), Error> {
    let plugin = P::configure(request)?;
    let owner = owner(request);
    let source = source(&plugin, request)?;
    let keeper = source.as_ref().map(|source| Keeper { source, owner: &owner });
    let keeper = keeper.as_ref().map(|keeper| keeper as &dyn LeaseKeeper);
    let home = home()?;
    let pod = namespace_if_there(request, &home)?;
    if let Some(pod) = pod.as_ref().filter(|_| P::MAKES_LINKS) {
        pod.lock().map_err(crate::kernel::Error::from)?;
    }
    let mut node = Node::open(home, pod, keeper)?;
    let journal = journal(request);

    let record = journal.read(&owner, P::TYPE)?;
    let recorded = record.is_some();
    let mut resources = plugin.traces(request, &owner);
    if let Some(record) = record {
        // The specification's promise that the interface is gone holds whatever the record says.
        resources.truncate(1);
        resources.extend(record.resources);
    }
    apply::remove(&resources, &mut node)?;
    if !recorded {
        stale::remove_unrecorded_rules(&plugin, &owner, &mut node)?;
        if let Some(source) = &source {
            source.release(&owner)?;
        }
    }
    Ok(journal.remove(&owner, P::TYPE)?)
}

fn check<P: Plugin>(request: &Request) -> Result<(), Error> {
    let plugin = P::configure(request)?;
    let owner = owner(request);
    let source = source(&plugin, request)?;
    let keeper = source.as_ref().map(|source| Keeper { source, owner: &owner });
    let keeper = keeper.as_ref().map(|keeper| keeper as &dyn LeaseKeeper);
    let needs_result = P::TYPE == super::bridge::Bridge::TYPE;
    let result = match &request.config.prev_result {
        Some(result) => result.clone(),
        None if needs_result => {
            return Err(Error::Foreign("is missing, and CHECK compares with it".into()));
        }
        None => AddResult::default(),
    };
    let facts = plugin.attached(request, &result)?;
    let home = home()?;
    let pod = namespace(request, &home)?;
    let mut node = Node::open(home, Some(pod), keeper)?;
    let lease = source.as_ref().map(|_| leased_before(&result, request));
    let plan = plugin.plan(request, &owner, &facts, lease.as_ref())?;
    Ok(apply::verify(&plan.resources, &mut node)?)
}

/// The lease that an ADD had, as prevResult tells it.
fn leased_before(result: &AddResult, request: &Request) -> Leased {
    let ours = |index: Option<usize>| {
        index
            .and_then(|index| result.interfaces.get(index))
            .is_none_or(|one| one.name == request.ifname)
    };
    Leased {
        source: request
            .config
            .ipam
            .as_ref()
            .and_then(|ipam| crate::protocol::keys::member(ipam, "type"))
            .and_then(|name| name.as_str())
            .unwrap_or_default()
            .to_owned(),
        ips: result.ips.iter().filter(|ip| ours(ip.interface)).cloned().collect(),
        routes: result.routes.clone(),
        dns: result.dns.clone(),
    }
}

fn status<P: Plugin>(request: &Request) -> Result<(), Error> {
    let plugin = P::configure(request)?;
    if let Some(source) = source(&plugin, request)? {
        let journal = journal(request);
        match source.room(&mut |holder| is_abandoned(holder, &journal)) {
            Err(ipam::Error::HostLocal(error)) => {
                return Err(Error::NotAvailable(error.to_string()));
            }
            other => other?,
        }
    }
    if plugin.uses_rules() {
        let mut node = Node::open(home()?, None, None)?;
        if let Err(error) = stale::probe_rules(&mut node) {
            return Err(Error::NotAvailable(error.to_string()));
        }
    }
    Ok(())
}

pub(super) fn owner(request: &Request) -> Owner {
    Owner {
        network: request.config.name.clone(),
        container_id: request.container_id.clone(),
        ifname: request.ifname.clone(),
    }
}

pub(super) fn journal(request: &Request) -> Journal {
    Journal::of(request.config.state_dir.as_deref(), &request.config.name)
}

pub(super) fn source<P: Plugin>(plugin: &P, request: &Request) -> Result<Option<Source>, Error> {
    if plugin.uses_ipam() { Ok(Source::of(request)?) } else { Ok(None) }
}

fn kubernetes_pod(request: &Request) -> Option<String> {
    let pod = &request.args.kubernetes;
    Some(format!("{}/{}", pod.pod_namespace.as_deref()?, pod.pod_name.as_deref()?))
}

/// The container's namespace, which must be there and not be the host's.
fn namespace(request: &Request, home: &Namespace) -> Result<Namespace, Error> {
    let path = request.netns.as_deref().unwrap_or(Path::new(""));
    let wrong = |problem: String| Error::Environment { variable: "CNI_NETNS", problem };
    let namespace = Namespace::open(path).map_err(|error| wrong(error.to_string()))?;
    if !request.netns_override && namespace.is_same(home) {
        return Err(wrong(format!(
            "{} is the namespace that the plugin itself runs in; give the container's, \
             or set CNI_NETNS_OVERRIDE=1 if that is meant",
            path.display()
        )));
    }
    Ok(namespace)
}

/// The container's namespace for DEL, which goes on without when it is gone or was never one.
fn namespace_if_there(request: &Request, home: &Namespace) -> Result<Option<Namespace>, Error> {
    let Some(path) = request.netns.as_deref() else { return Ok(None) };
    match Namespace::open(path) {
        Ok(namespace) if !request.netns_override && namespace.is_same(home) => {
            Err(Error::Environment {
                variable: "CNI_NETNS",
                problem: format!(
                    "{} is the namespace that the plugin itself runs in; nothing was removed",
                    path.display()
                ),
            })
        }
        Ok(namespace) => Ok(Some(namespace)),
        Err(netns::Error::Gone { .. }) => Ok(None),
        Err(error) => {
            log::warn!("CNI_NETNS: {error}; going on as if the namespace were gone");
            Ok(None)
        }
    }
}

/// The namespace that this program was called in.
pub(super) fn home() -> Result<Namespace, Error> {
    Ok(Namespace::current().map_err(crate::kernel::Error::from)?)
}
