//! A first configuration for a node that has none: a bridge of its own, on networks that the node does
//! not use for anything else.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use sha2::{Digest, Sha256};

use super::bin_dir::{remove_if_there, write_new};
use super::record::NetworkMark;
use super::{Error, joined};
use crate::kernel::netlink::RouteSocket;
use crate::kernel::{addr, link, route};
use crate::libcni::ConfDir;

/// The configuration's name in its folder.
const FILE: &str = "10-pods.conflist";
/// While it is written; no runtime takes this ending for a configuration.
const ASIDE: &str = ".10-pods.conflist.new";

/// A configuration that is to be written.
pub(super) struct FirstNetwork {
    conf: PathBuf,
    choice: Choice,
}

/// What no other part of the node uses.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    bridge: String,
    v4: Ipv4Network,
    v6: Option<Ipv6Network>,
}

impl FirstNetwork {
    /// The configuration that is to be written; none where there is any already.
    ///
    /// # Errors
    /// [`Error::NoFolder`], [`Error::NoSubnet`], and what folder or kernel answer.
    pub(super) fn wanted(conf: &Path) -> Result<Option<Self>, Error> {
        match fs::metadata(conf) {
            Ok(found) if found.is_dir() => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::at("look at", conf)(error));
            }
            _ => return Err(Error::NoFolder { path: conf.to_owned(), option: "--conf-dir" }),
        }
        let present = ConfDir::load(conf)?;
        // One that cannot be read may be one that a person is writing.
        if !present.lists.is_empty() || !present.broken.is_empty() {
            return Ok(None);
        }
        let node = Taken::read()?;
        let v4 = free_v4(&node.networks).ok_or(Error::NoSubnet)?;
        let v6 = has_ipv6().then(|| free_v6(&node.networks, &node_seed())).flatten();
        let bridge = free_bridge(&node.links);
        Ok(Some(Self { conf: conf.to_owned(), choice: Choice { bridge, v4, v6 } }))
    }

    /// What the record keeps of it.
    pub(super) fn mark(&self) -> NetworkMark {
        let sha256 = hash(self.choice.to_string().as_bytes());
        NetworkMark { file: FILE.to_owned(), sha256 }
    }

    /// Writes it, whole or not at all; a file that somebody has put there meanwhile stays.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn write(&self) -> Result<(), Error> {
        let (path, aside) = (self.conf.join(FILE), self.conf.join(ASIDE));
        let written = remove_if_there(&aside)
            .and_then(|()| write_new(&aside, self.choice.to_string().as_bytes(), 0o644))
            .and_then(|()| fs::hard_link(&aside, &path));
        let _ = fs::remove_file(&aside);
        written.map_err(Error::at("write", &path))?;
        let folder = fs::File::open(&self.conf).and_then(|folder| folder.sync_all());
        folder.map_err(Error::at("sync", &self.conf))
    }

    /// What was done, or would be.
    pub(super) fn describe(&self, dry_run: bool) -> String {
        let Choice { bridge, v4, v6 } = &self.choice;
        let v6 = v6.map(|v6| format!(" and {v6}")).unwrap_or_default();
        format!(
            "{} {} a first network, pods: the bridge {bridge} with {v4}{v6}, which nothing on this \
             node uses",
            joined(&self.conf, FILE),
            if dry_run { "would be" } else { "is new:" }
        )
    }
}

/// Removes the configuration that was written, unless a person has changed it. Gives the number of
/// changes.
///
/// # Errors
/// What the file system answers.
pub(super) fn remove(
    conf: &Path,
    mark: &NetworkMark,
    dry_run: bool,
    say: &mut dyn FnMut(String),
) -> Result<usize, Error> {
    let path = conf.join(&mark.file);
    match fs::read(&path) {
        Ok(bytes) if hash(&bytes) == mark.sha256 => {
            if !dry_run {
                remove_if_there(&path).map_err(Error::at("remove", &path))?;
            }
            let would = if dry_run { "would be" } else { "is" };
            say(format!("{} {would} removed", path.display()));
            Ok(1)
        }
        Ok(_) => {
            say(format!("{} has been changed since: left alone", path.display()));
            Ok(0)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(Error::at("read", &path)(source)),
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bridge, v4, v6 } = self;
        let (ranges, routes) = match v6 {
            Some(v6) => (
                format!(r#"[{{ "subnet": "{v4}" }}], [{{ "subnet": "{v6}" }}]"#),
                r#"{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }"#,
            ),
            None => (format!(r#"[{{ "subnet": "{v4}" }}]"#), r#"{ "dst": "0.0.0.0/0" }"#),
        };
        write!(
            out,
            r#"{{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {{
      "type": "bridge",
      "bridge": "{bridge}",
      "isDefaultGateway": true,
      "ipMasq": true,
      "hairpinMode": true,
      "capabilities": {{ "mac": true, "ips": true }},
      "ipam": {{
        "type": "host-local",
        "ranges": [{ranges}],
        "routes": [{routes}]
      }}
    }},
    {{ "type": "portmap", "capabilities": {{ "portMappings": true }} }},
    {{ "type": "firewall" }},
    {{ "type": "bandwidth", "capabilities": {{ "bandwidth": true }} }}
  ]
}}
"#
        )
    }
}

/// What the node uses.
struct Taken {
    links: Vec<String>,
    networks: Vec<IpNetwork>,
}

impl Taken {
    /// Reads addresses and routes of all links and tables, containers' as well.
    fn read() -> Result<Self, Error> {
        let mut socket = RouteSocket::open()?;
        let links = link::list(&mut socket)?;
        let mut networks = Vec::new();
        for link in &links {
            let addresses = addr::list(&mut socket, link.index)?;
            networks.extend(addresses.into_iter().map(|address| address.network));
        }
        for v6 in [false, true] {
            networks.extend(route::list(&mut socket, v6)?.into_iter().map(|route| route.to));
        }
        // A default route leads to all that is not here.
        networks.retain(|network| network.prefix() != 0);
        Ok(Self { links: links.into_iter().map(|link| link.name).collect(), networks })
    }
}

/// Private networks in the order in which they are tried. Left out are those that other software takes
/// for granted before an interface has them: 10.42 and 10.43 (k3s), 10.85 (CRI-O), 10.88 and 10.89
/// (podman), 10.96 to 10.111 (services of kubeadm), 10.244 (flannel), 172.17 (Docker), 192.168.0 and
/// 192.168.1 (homes and offices).
fn candidates() -> impl Iterator<Item = Ipv4Network> {
    let ten = (64..=84).chain(112..=127).map(|second| (Ipv4Addr::new(10, second, 0, 0), 16));
    let twelve = (24..=31).map(|second| (Ipv4Addr::new(172, second, 0, 0), 16));
    let small = (2..=255).map(|third| (Ipv4Addr::new(192, 168, third, 0), 24));
    ten.chain(twelve).chain(small).filter_map(|(ip, prefix)| Ipv4Network::new(ip, prefix).ok())
}

fn free_v4(taken: &[IpNetwork]) -> Option<Ipv4Network> {
    candidates().find(|candidate| !taken.iter().any(|taken| touch(*taken, (*candidate).into())))
}

/// A unique local network (RFC 4193) that follows from the node, so that two nodes have different ones.
fn free_v6(taken: &[IpNetwork], seed: &[u8]) -> Option<Ipv6Network> {
    (0..16u8).find_map(|turn| {
        let digest = Sha256::new().chain_update(seed).chain_update([turn]).finalize();
        let mut bytes = [0; 16];
        let (prefix, rest) = bytes.split_at_mut(1);
        prefix.fill(0xfd);
        for (to, from) in rest.iter_mut().zip(digest.iter().take(5)) {
            *to = *from;
        }
        let candidate = Ipv6Network::new(Ipv6Addr::from(bytes), 64).ok()?;
        (!taken.iter().any(|taken| touch(*taken, candidate.into()))).then_some(candidate)
    })
}

fn free_bridge(links: &[String]) -> String {
    let is_free = |name: &String| !links.contains(name);
    let names = (0..).map(|number| format!("cni{number}"));
    names.take(links.len() + 1).find(is_free).unwrap_or_else(|| "cni0".to_owned())
}

/// Whether two networks have an address in common.
fn touch(one: IpNetwork, other: IpNetwork) -> bool {
    let within = |outer: IpNetwork, ip: IpAddr| outer.contains(ip);
    within(one, other.network()) || within(other, one.network())
}

/// What tells this node from others: the machine's ID and its name.
fn node_seed() -> Vec<u8> {
    let mut seed = fs::read("/etc/machine-id").unwrap_or_default();
    seed.extend(fs::read("/proc/sys/kernel/hostname").unwrap_or_default());
    seed
}

/// Whether new links can have IPv6 addresses.
fn has_ipv6() -> bool {
    ["all", "default"].iter().all(|links| {
        fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{links}/disable_ipv6"))
            .is_ok_and(|value| value.trim() == "0")
    })
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNetwork> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_subnet_touches_nothing_of_the_node() {
        for (taken, free) in [
            (&[][..], Some("10.64.0.0/16")),
            (&["10.64.3.1/24"], Some("10.65.0.0/16")),
            (&["10.64.0.0/15", "10.66.255.255/32", "fd00::/8"], Some("10.67.0.0/16")),
            (&["10.0.0.0/8"], Some("172.24.0.0/16")),
            (&["10.0.0.0/8", "172.16.0.0/12"], Some("192.168.2.0/24")),
            (&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"], None),
        ] {
            let found = free_v4(&networks(taken)).map(|found| found.to_string());
            assert_eq!(found.as_deref(), free, "{taken:?}");
        }
    }

    #[test]
    fn a_unique_local_network_follows_from_the_node() {
        let one = free_v6(&[], b"one").unwrap();
        assert_eq!(free_v6(&[], b"one"), Some(one));
        assert_ne!(free_v6(&[], b"other"), Some(one));
        assert!(networks(&["fd00::/8"])[0].contains(one.ip().into()) && one.prefix() == 64);
        let next = free_v6(&[one.into()], b"one").unwrap();
        assert_ne!(next, one);
        assert_eq!(free_v6(&networks(&["fc00::/7"]), b"one"), None);
    }

    #[test]
    fn the_bridge_has_a_name_of_its_own() {
        let links = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(free_bridge(&links(&["lo", "eth0"])), "cni0");
        assert_eq!(free_bridge(&links(&["cni0", "cni1"])), "cni2");
    }

    #[test]
    fn the_text_is_a_configuration() {
        for v6 in [None, Some("fd12:3456:789a::/64".parse().unwrap())] {
            let v4 = "10.64.0.0/16".parse().unwrap();
            let choice = Choice { bridge: "cni0".into(), v4, v6 };
            let value: serde_json::Value = serde_json::from_str(&choice.to_string()).unwrap();
            let ranges = value["plugins"][0]["ipam"]["ranges"].as_array().unwrap().len();
            assert_eq!(ranges, 1 + usize::from(v6.is_some()));
            assert!(choice.to_string().ends_with("}\n"));
        }
    }
}
