//! The namespace that a person means: a name, a path, a process, or a new one.

use std::path::{Component, Path, PathBuf};

use crate::cli::error::Error;
use crate::cli::netns::of_process;
use crate::kernel::link;
use crate::kernel::netlink::RouteSocket;
use crate::kernel::netns::{self, DIRECTORY, Namespace};
use crate::kernel::sysctl;

/// Another path to the folder of names, on every usual node.
const OTHER_DIRECTORY: &str = "/var/run/netns";

/// What was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Target {
    /// Below /run/netns.
    Name(String),
    /// A path, made absolute as cnitool does it, so that the container ID is the same.
    Path(PathBuf),
    /// To be made.
    New,
}

impl Target {
    /// Reads `NETNS` of the command line.
    ///
    /// # Errors
    /// [`Error::Process`].
    pub(in crate::cli) fn read(text: &str) -> Result<Self, Error> {
        if text == "new" {
            return Ok(Self::New);
        }
        if let Some(path) = of_process(text)? {
            return Ok(Self::Path(path));
        }
        if text.contains('/') {
            return Ok(Self::Path(absolute(Path::new(text))));
        }
        Ok(Self::Name(text.to_owned()))
    }

    /// The paths that may have been given for it, the first of which is ours.
    pub(in crate::cli) fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Name(name) => [DIRECTORY, OTHER_DIRECTORY]
                .iter()
                .map(|folder| Path::new(folder).join(name))
                .collect(),
            Self::Path(path) => vec![path.clone()],
            Self::New => Vec::new(),
        }
    }

    /// The path, which must lead to a namespace.
    ///
    /// # Errors
    /// [`Error::Namespace`].
    pub(super) fn path_that_is_there(&self) -> Result<PathBuf, Error> {
        let path = self.paths().into_iter().next().unwrap_or_default();
        Namespace::open(&path)?;
        Ok(path)
    }

    /// Makes a namespace if a new one is meant, and gives its path.
    ///
    /// # Errors
    /// [`Error::Namespace`].
    pub(super) fn make(&self) -> Result<Option<PathBuf>, Error> {
        if *self != Self::New {
            return Ok(None);
        }
        let random = sysctl::read("kernel/random/uuid").unwrap_or_default();
        let random: String = random.chars().filter(char::is_ascii_hexdigit).take(8).collect();
        Ok(Some(netns::create(DIRECTORY.as_ref(), &format!("causeway-{random}"))?))
    }
}

/// The name below /run/netns that a path is.
///
/// # Errors
/// [`Error::NotByName`].
pub(super) fn kept_name(netns: Option<&Path>) -> Result<String, Error> {
    let netns = netns.unwrap_or(Path::new(""));
    let folder = netns.parent();
    let is_kept = [DIRECTORY, OTHER_DIRECTORY].iter().any(|known| folder == Some(Path::new(known)));
    match netns.file_name().and_then(|name| name.to_str()) {
        Some(name) if is_kept => Ok(name.to_owned()),
        _ => Err(Error::NotByName(netns.display().to_string())),
    }
}

/// Whether the namespace has an interface of that name.
///
/// # Errors
/// [`Error::Namespace`], [`Error::Kernel`].
pub(super) fn has_interface(netns: &Path, ifname: &str) -> Result<bool, Error> {
    let mut socket = Namespace::open(netns)?.enter(RouteSocket::open)??;
    Ok(link::find(&mut socket, ifname)?.is_some())
}

/// The path from the root on, without `.` and `..`: `filepath.Abs` of Go, which looks at no file.
fn absolute(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let mut whole = PathBuf::from("/");
    for part in here.join(path).components() {
        match part {
            Component::Normal(name) => whole.push(name),
            Component::ParentDir => {
                whole.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    whole
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_paths_and_processes_are_told_apart() {
        let path = |path: &str| Target::Path(path.into());
        assert_eq!(Target::read("blue").unwrap(), Target::Name("blue".to_owned()));
        assert_eq!(Target::read("new").unwrap(), Target::New);
        assert_eq!(Target::read("pid:12").unwrap(), path("/proc/12/ns/net"));
        assert_eq!(Target::read("/a/./b//../c/").unwrap(), path("/a/c"));
        assert_eq!(Target::read("/../a").unwrap(), path("/a"));
        let here = std::env::current_dir().unwrap();
        assert_eq!(Target::read("./a").unwrap(), Target::Path(here.join("a")));
        for text in ["pid:", "pid:x", "pid:-1"] {
            assert!(matches!(Target::read(text), Err(Error::Process(_))), "{text}");
        }
    }

    #[test]
    fn only_what_is_kept_by_name_has_a_name() {
        assert_eq!(kept_name(Some(Path::new("/run/netns/a"))).unwrap(), "a");
        assert_eq!(kept_name(Some(Path::new("/var/run/netns/a"))).unwrap(), "a");
        for path in ["/proc/1/ns/net", "/run/netns/a/b", "/run/netns"] {
            assert!(kept_name(Some(Path::new(path))).is_err(), "{path}");
        }
        assert!(kept_name(None).is_err());
    }
}
