//! Reading all that tells of attachments.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::engine::journal::{self, Record};
use crate::ipam::host_local::{self, RangeSet, StoredLease};
use crate::kernel;
use crate::kernel::link::{self, Link};
use crate::kernel::netlink::RouteSocket;
use crate::kernel::netns::{self, Namespace};
use crate::libcni::cache::RESULT_DIRS;
use crate::libcni::{CONF_DIR, Cached, ConfDir, ConfError, NetworkList, cache};
use crate::protocol::config::{NetworkConfig, member};
use crate::protocol::request::Request;

use super::attachment::Life;

/// The type of the address source whose leases are looked at.
const HOST_LOCAL: &str = "host-local";

/// What can keep the node from being read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of configurations cannot be read.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// The kernel cannot be asked for links.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
}

/// Where to read.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Folders of causeway's records.
    pub state: Vec<PathBuf>,
    /// Folders of cached results.
    pub results: Vec<PathBuf>,
    /// Folders with a folder of leases for each network.
    pub leases: Vec<PathBuf>,
    /// The configuration lists of the node, and what of them could not be loaded.
    pub networks: Vec<NetworkList>,
    /// What of the configurations could not be loaded, in words.
    pub problems: Vec<String>,
}

impl Places {
    /// The places of a node: the usual ones, and those that `stateDir` and `dataDir` of its
    /// configurations name. `conf_dir` is the folder of these, by default /etc/cni/net.d.
    ///
    /// # Errors
    /// When that folder is there and cannot be read.
    pub fn of_node(conf_dir: Option<&Path>) -> Result<Self, Error> {
        let conf = ConfDir::load(conf_dir.unwrap_or(Path::new(CONF_DIR)))?;
        let mut places = Self {
            state: vec![journal::STATE_DIR.into()],
            results: RESULT_DIRS.iter().map(PathBuf::from).collect(),
            leases: vec![host_local::DATA_DIR.into()],
            problems: conf.broken.iter().map(ToString::to_string).collect(),
            networks: conf.lists,
        };
        for list in std::mem::take(&mut places.networks) {
            places.add_named_by(&list);
            places.networks.push(list);
        }
        Ok(places)
    }

    /// Adds the folders that `stateDir` and `dataDir` of a list name.
    fn add_named_by(&mut self, list: &NetworkList) {
        let outer = list.plugins.iter().map(|plugin| &plugin.config);
        for config in outer.chain(list.all_plugins()) {
            add_folder(&mut self.state, config, "stateDir");
            let ipam = config.iter().find(|(key, _)| key.eq_ignore_ascii_case("ipam"));
            if let Some(ipam) = ipam.and_then(|(_, ipam)| ipam.as_object()) {
                add_folder(&mut self.leases, ipam, "dataDir");
            }
        }
    }
}

fn add_folder(folders: &mut Vec<PathBuf>, config: &Map<String, Value>, key: &str) {
    let named = config.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    let named = named.and_then(|(_, value)| value.as_str()).map(Path::new);
    if let Some(folder) = named.filter(|folder| folder.is_absolute())
        && !folders.iter().any(|known| known == folder)
    {
        folders.push(folder.to_owned());
    }
}

/// The leases of one network.
#[derive(Debug, Clone)]
pub struct LeaseFolder {
    /// The network's name.
    pub network: String,
    /// The folder.
    pub path: PathBuf,
    /// The leases, by address.
    pub leases: Vec<StoredLease>,
    /// The ranges that the node's configuration has for the network; empty when it has none.
    pub sets: Vec<RangeSet>,
}

/// All that was read.
#[derive(Debug, Default)]
pub struct Sources {
    /// causeway's records.
    pub records: Vec<Record>,
    /// Cached results.
    pub cached: Vec<Cached>,
    /// Leases.
    pub leases: Vec<LeaseFolder>,
    /// The host's links.
    pub links: Vec<Link>,
    /// Whether the namespaces that records and results name are there.
    pub namespaces: HashMap<PathBuf, Life>,
    /// What could not be read or understood, in words with its path.
    pub problems: Vec<String>,
}

impl Sources {
    /// Reads the files. What cannot be read is among the problems, and hides nothing else.
    pub fn read(places: &Places) -> Self {
        let mut sources = Self { problems: places.problems.clone(), ..Self::default() };
        for results in &places.results {
            match cache::list(results) {
                Ok((cached, broken)) => {
                    sources.cached.extend(cached);
                    sources.problems.extend(broken.iter().map(ToString::to_string));
                }
                Err(error) => sources.problems.push(error.to_string()),
            }
        }
        // Attachments outlive their configuration; the one that they were made by was kept.
        let mut places = places.clone();
        let configured: HashSet<String> =
            places.networks.iter().map(|list| list.name.clone()).collect();
        for cached in sources.cached.iter().filter(|one| !configured.contains(&one.network)) {
            if let Ok(list) = NetworkList::parse(&cached.path, &cached.config) {
                places.add_named_by(&list);
            }
        }
        for state in &places.state {
            let (records, others) = journal::all(state).unwrap_or_else(|error| {
                sources.problems.push(error.to_string());
                Default::default()
            });
            sources.records.extend(records);
            sources.problems.extend(
                others.into_iter().map(|(path, why)| {
                    format!("{}: is no record of causeway: {why}", path.display())
                }),
            );
        }
        sources.read_leases(&places);
        sources
    }

    fn read_leases(&mut self, places: &Places) {
        let mut configured: HashMap<PathBuf, Vec<RangeSet>> = HashMap::new();
        let mut seen = HashSet::new();
        // Of two lists of one name the first counts.
        for list in places.networks.iter().filter(|list| seen.insert(list.name.as_str())) {
            match ranges_of(list) {
                Ok(found) => {
                    for (path, sets) in found {
                        configured.entry(path).or_default().extend(sets);
                    }
                }
                Err(why) => self.problems.push(format!("{}: {why}", list.path.display())),
            }
        }
        for folder in &places.leases {
            let networks = networks_in(folder).unwrap_or_else(|error| {
                let place = folder.display();
                self.problems.push(format!("{place}: cannot list the folder of leases: {error}"));
                Vec::new()
            });
            for network in networks {
                let path = folder.join(&network);
                let leases = host_local::stored(&path).unwrap_or_else(|error| {
                    self.problems.push(error.to_string());
                    Vec::new()
                });
                let sets = configured.remove(&path).unwrap_or_default();
                self.leases.push(LeaseFolder { network, path, leases, sets });
            }
        }
        // Networks of which nothing was leased yet.
        for (path, sets) in configured {
            let network = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.leases.push(LeaseFolder { network, path, leases: Vec::new(), sets });
        }
        self.leases
            .sort_by(|one, other| (&one.network, &one.path).cmp(&(&other.network, &other.path)));
    }

    /// Asks the kernel for the host's links, and looks whether namespaces are there.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub fn look_at_node(&mut self) -> Result<(), Error> {
        self.links = link::list(&mut RouteSocket::open()?)?;
        let of_records = self.records.iter().filter_map(|record| record.netns.as_ref());
        let of_results = self.cached.iter().filter_map(|cached| cached.netns.as_ref());
        let paths: BTreeSet<&PathBuf> = of_records.chain(of_results).collect();
        let home = Namespace::current().ok();
        let lives = paths.into_iter().map(|path| (path.clone(), life_of(path, home.as_ref())));
        self.namespaces = lives.collect();
        Ok(())
    }
}

/// A path such as /proc/1234/ns/net may lead to the host's own namespace by now, since the number is
/// another process's: then the container's is gone.
fn life_of(path: &Path, home: Option<&Namespace>) -> Life {
    match Namespace::open(path) {
        Ok(namespace) if home.is_some_and(|home| home.is_same(&namespace)) => Life::Gone,
        Ok(namespace) => Life::Alive(namespace.inode()),
        Err(netns::Error::Gone { .. } | netns::Error::NotANamespace { .. }) => Life::Gone,
        Err(_) => Life::Unknown,
    }
}

/// The folders of leases of a list's host-local sections, with their ranges; ranges that only the
/// runtime names are not known.
fn ranges_of(list: &NetworkList) -> Result<Vec<(PathBuf, Vec<RangeSet>)>, String> {
    let mut found = Vec::new();
    for plugin in list.all_plugins() {
        let value = Value::Object(plugin.clone());
        let ipam = member(&value, "ipam").and_then(|ipam| member(ipam, "type"));
        if ipam.and_then(Value::as_str) != Some(HOST_LOCAL) {
            continue;
        }
        let mut config = plugin.clone();
        config.insert("name".to_owned(), list.name.as_str().into());
        config.insert("cniVersion".to_owned(), list.cni_version.as_str().into());
        let bytes = Value::Object(config).to_string().into_bytes();
        let config = NetworkConfig::read(bytes).map_err(|error| error.to_string())?;
        let source = host_local::HostLocal::of(&Request::of_configuration(config));
        match source {
            Ok(source) => found.push((source.directory().to_owned(), source.sets().to_vec())),
            // The runtime gives them with each call.
            Err(host_local::Error::NoRanges) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(found)
}

fn networks_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if let (true, Some(name)) = (is_folder, entry.file_name().to_str()) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
