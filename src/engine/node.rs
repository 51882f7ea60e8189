//! The node as the engine sees it: sockets into the host's and the container's namespace.

use std::collections::HashMap;

use nix::errno::Errno;

use crate::kernel::link::{self, Link};
use crate::kernel::netlink::RouteSocket;
use crate::kernel::netns::Namespace;
use crate::kernel::{Error, conntrack, nft};

use super::leaving::Leaving;

/// On which side of the veth pair something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The runtime's own network namespace.
    Host,
    /// The container's namespace.
    Pod,
}

/// The container's namespace, open.
pub struct Pod {
    /// The namespace's file.
    pub namespace: Namespace,
    /// A socket inside it.
    pub route: RouteSocket,
}

/// Hands leases back and looks at them; what [`super::resource::lease`] needs of an address source.
pub trait LeaseKeeper {
    /// Gives the attachment's addresses back; none held is fine.
    ///
    /// # Errors
    /// A text for people.
    fn release(&self) -> Result<(), String>;

    /// Whether the attachment still holds its lease; an error says what is missing.
    ///
    /// # Errors
    /// A text for people.
    fn verify(&self) -> Result<(), String>;
}

/// Everything a plan is carried out on. Sockets are opened once and kept.
pub struct Node<'a> {
    /// A rtnetlink socket of the host's namespace.
    pub host: RouteSocket,
    /// The container's namespace; `None` when it is gone, as DEL may find it.
    pub pod: Option<Pod>,
    /// The rules to be changed with the next commit.
    pub rules: nft::Change,
    /// Who keeps the leases.
    pub leases: Option<&'a dyn LeaseKeeper>,
    /// UDP ports of which connections are to be forgotten with the next commit, of IPv4 and of IPv6.
    udp: [Vec<u16>; 2],
    /// What is to be removed from the host together.
    pub(super) leaving: Leaving,
    /// Whether the step under way has made, or may have made, something that attachments share, although
    /// it fails.
    pub(super) has_made: bool,
    home: Namespace,
    nft: Option<nft::Socket>,
    links: HashMap<String, Link>,
    pod_links: HashMap<String, u32>,
}

impl<'a> Node<'a> {
    /// Opens the sockets. `home` is the host's namespace, in which the calling thread is.
    ///
    /// # Errors
    /// When a socket cannot be opened or the namespace not be entered.
    pub fn open(
        home: Namespace,
        pod: Option<Namespace>,
        leases: Option<&'a dyn LeaseKeeper>,
    ) -> Result<Self, Error> {
        let pod = match pod {
            Some(namespace) => {
                let route = namespace.enter_from(&home, RouteSocket::open)??;
                Some(Pod { namespace, route })
            }
            None => None,
        };
        Ok(Self {
            host: RouteSocket::open()?,
            pod,
            rules: nft::Change::default(),
            leases,
            udp: Default::default(),
            leaving: Leaving::default(),
            has_made: false,
            home,
            nft: None,
            links: HashMap::new(),
            pod_links: HashMap::new(),
        })
    }

    /// The container's namespace, for a step that cannot do without.
    ///
    /// # Errors
    /// When it is gone.
    pub fn pod(&mut self) -> Result<&mut Pod, Error> {
        self.pod.as_mut().ok_or_else(gone)
    }

    /// The host's namespace.
    pub fn home(&self) -> &Namespace {
        &self.home
    }

    /// Goes on with another namespace as the container's, or with the container's when it was thought
    /// gone.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn take_pod(&mut self, namespace: Namespace) -> Result<(), Error> {
        let route = namespace.enter_from(&self.home, RouteSocket::open)??;
        self.pod = Some(Pod { namespace, route });
        self.pod_links.clear();
        Ok(())
    }

    /// Goes on without a container, for what has none any more.
    pub fn leave_pod(&mut self) {
        self.pod = None;
        self.pod_links.clear();
    }

    /// The socket of one side.
    ///
    /// # Errors
    /// When the container's namespace is gone.
    pub fn side(&mut self, side: Side) -> Result<&mut RouteSocket, Error> {
        match side {
            Side::Host => Ok(&mut self.host),
            Side::Pod => self.pod().map(|pod| &mut pod.route),
        }
    }

    /// Runs `work` with the thread in the given side's namespace.
    ///
    /// # Errors
    /// When the container's namespace is gone or cannot be entered.
    pub fn within<T>(&mut self, side: Side, work: impl FnOnce() -> T) -> Result<T, Error> {
        match side {
            Side::Host => Ok(work()),
            Side::Pod => match &self.pod {
                Some(pod) => Ok(pod.namespace.enter_from(&self.home, work)?),
                None => Err(gone()),
            },
        }
    }

    /// A link of the host's by name, remembered from the last look.
    ///
    /// # Errors
    /// Any refusal.
    pub fn host_link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        if let Some(link) = self.links.get(name) {
            return Ok(Some(link.clone()));
        }
        self.look_at(name)
    }

    /// A link of the host's by name, as it is now.
    ///
    /// # Errors
    /// Any refusal.
    pub fn look_at(&mut self, name: &str) -> Result<Option<Link>, Error> {
        let found = link::find(&mut self.host, name)?;
        match &found {
            Some(link) => self.links.insert(name.to_owned(), link.clone()),
            None => self.links.remove(name),
        };
        Ok(found)
    }

    /// Forgets a link that was made, changed or removed.
    pub fn forget(&mut self, name: &str) {
        self.links.remove(name);
    }

    /// Forgets every link, after somebody else may have changed them.
    pub fn forget_all(&mut self) {
        self.links.clear();
        self.pod_links.clear();
    }

    /// A link of one side that must be there.
    ///
    /// # Errors
    /// [`Error::Refused`] with `ENODEV` when it is not.
    pub fn link(&mut self, side: Side, name: &str) -> Result<Link, Error> {
        let found = match side {
            Side::Host => self.host_link(name)?,
            Side::Pod => link::find(&mut self.pod()?.route, name)?,
        };
        found.ok_or_else(|| absent(name))
    }

    /// The index of a link of the host's, as it is now.
    ///
    /// # Errors
    /// As [`Self::link`].
    pub fn host_index(&self, name: &str) -> Result<u32, Error> {
        link::index(&self.host, name)?.ok_or_else(|| absent(name))
    }

    /// The index of a link in the container, remembered from the last look.
    ///
    /// # Errors
    /// As [`Self::link`].
    pub fn pod_index(&mut self, name: &str) -> Result<u32, Error> {
        if let Some(index) = self.pod_links.get(name) {
            return Ok(*index);
        }
        let found = link::index(&self.pod()?.route, name)?;
        let index = found.ok_or_else(|| absent(name))?;
        self.pod_links.insert(name.to_owned(), index);
        Ok(index)
    }

    /// The nftables socket, opened at the first use.
    ///
    /// # Errors
    /// When the kernel has no nf_tables.
    pub fn nft(&mut self) -> Result<&mut nft::Socket, Error> {
        if self.nft.is_none() {
            self.nft = Some(nft::Socket::open()?);
        }
        self.nft.as_mut().ok_or(Error::Garbled("no nftables socket".into()))
    }

    /// Takes away the tables, sets and chains that this call has made for all and nobody uses.
    pub(super) fn take_back_tables(&mut self) {
        if let Some(socket) = &mut self.nft
            && let Err(error) = socket.take_back_founded()
        {
            log::warn!("tables of rules that were made for nothing stay: {error}");
        }
    }

    /// Carries out everything that was queued: link requests, then rules, in one transaction, then
    /// the removal of links.
    ///
    /// # Errors
    /// The first refusal.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.host.flush()?;
        if let Some(pod) = &mut self.pod {
            pod.route.flush()?;
        }
        self.commit()?;
        self.remove_leaving()
    }

    /// Has the kernel forget, once the rules are changed, its UDP connections to `ports` of the host:
    /// they would go on as before.
    pub fn forget_udp(&mut self, ports: &[u16], v6: bool) {
        let [of_v4, of_v6] = &mut self.udp;
        if v6 { of_v6 } else { of_v4 }.extend(ports);
    }

    /// Carries out the queued changes of rules.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn commit(&mut self) -> Result<(), Error> {
        if !self.rules.is_empty() {
            let change = std::mem::take(&mut self.rules);
            self.nft()?.commit(&change)?;
        }
        let [of_v4, of_v6] = std::mem::take(&mut self.udp);
        for (ports, v6) in [(of_v4, false), (of_v6, true)] {
            // New connections work all the same.
            if let Err(error) = conntrack::forget_udp(&ports, v6) {
                log::warn!("UDP connections of before may go astray for a while: {error}");
            }
        }
        Ok(())
    }
}

fn absent(name: &str) -> Error {
    Error::Refused { doing: format!("find link {name}"), errno: Errno::ENODEV, said: None }
}

fn gone() -> Error {
    Error::TimedOut("the container's namespace is gone".into())
}
