//! Devices as sysfs shows them: which network device is behind a PCI address, an auxiliary device or
//! a path, and whose driver has it.
//!
//! What is below `net` folders depends on the namespace that sysfs was mounted in: a network device
//! that is in another namespace is not shown.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where sysfs is mounted.
pub const ROOT: &str = "/sys";

/// Drivers that hand a device to a program in user space, so that the kernel has no network device
/// for it (DPDK).
const USER_SPACE: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/// Why no network device was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The device itself is not there.
    #[error("there is no {}", .0.display())]
    NoDevice(PathBuf),
    /// It has no driver.
    #[error("{} has no driver bound to it", .0.display())]
    NoDriver(PathBuf),
    /// It is there, but has no network device, or none in this namespace.
    #[error(
        "{} has no network interface here: it is in another namespace, or the driver makes none",
        .0.display()
    )]
    NoInterface(PathBuf),
    /// It could not be looked at.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// The file operation's error.
        reason: String,
    },
}

/// A tree of devices.
#[derive(Debug, Clone)]
pub struct Sysfs {
    root: PathBuf,
}

impl Default for Sysfs {
    fn default() -> Self {
        Self::at(ROOT)
    }
}

impl Sysfs {
    /// The tree below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder of a device of a bus, such as "pci", whether it is there or not.
    fn device(&self, bus: &str, name: &str) -> PathBuf {
        self.root.join("bus").join(bus).join("devices").join(name)
    }

    /// Whether a bus has a device of this name.
    pub fn has(&self, bus: &str, name: &str) -> bool {
        !name.is_empty() && self.device(bus, name).exists()
    }

    /// Whether `parent`, the device right behind a network device, is the PCI or auxiliary device `id`
    /// or, as with virtio, in it.
    pub fn is_behind(&self, id: &str, parent: &str) -> bool {
        !parent.is_empty() && (id == parent || self.device("pci", id).join(parent).exists())
    }

    /// Whether the driver of a PCI device hands it to user space.
    ///
    /// # Errors
    /// [`Problem::NoDevice`], [`Problem::NoDriver`].
    pub fn is_for_user_space(&self, address: &str) -> Result<bool, Problem> {
        let device = self.device("pci", address);
        if !device.exists() {
            return Err(Problem::NoDevice(device));
        }
        let driver = fs::canonicalize(device.join("driver"))
            .map_err(|_| Problem::NoDriver(device.clone()))?;
        let name = driver.file_name().unwrap_or_default();
        Ok(USER_SPACE.iter().any(|driver| name == *driver))
    }

    /// The network device of a PCI device, which with virtio is one folder deeper.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn interface_of_pci(&self, address: &str) -> Result<String, Problem> {
        let device = self.device("pci", address);
        if !device.exists() {
            return Err(Problem::NoDevice(device));
        }
        if device.join("net").exists() {
            return interface_below(&device);
        }
        let virtio = list(&device)?
            .into_iter()
            .find(|name| name.starts_with("virtio") && device.join(name).join("net").exists());
        match virtio {
            Some(name) => interface_below(&device.join(name)),
            None => Err(Problem::NoInterface(device)),
        }
    }

    /// The network device of an auxiliary device, such as a scalable function's.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn interface_of_auxiliary(&self, name: &str) -> Result<String, Problem> {
        let device = self.device("auxiliary", name);
        if device.exists() { interface_below(&device) } else { Err(Problem::NoDevice(device)) }
    }

    /// The network device of the device whose folder `path` is, which begins with `/sys`.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn interface_of_path(&self, path: &Path) -> Result<String, Problem> {
        let below = path.strip_prefix(ROOT).unwrap_or(path);
        let device = self.root.join(below);
        if device.exists() { interface_below(&device) } else { Err(Problem::NoDevice(device)) }
    }
}

/// The first network device in the folder `net` of a device.
fn interface_below(device: &Path) -> Result<String, Problem> {
    let none = || Problem::NoInterface(device.to_owned());
    list(&device.join("net"))?.into_iter().next().ok_or_else(none)
}

/// The names in a folder, sorted; none when it is not there.
fn list(folder: &Path) -> Result<Vec<String>, Problem> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other,
    };
    let unreadable = |error: io::Error| Problem::Unreadable {
        path: folder.to_owned(),
        reason: error.to_string(),
    };
    let mut names = Vec::new();
    for entry in entries.map_err(unreadable)? {
        names.push(entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A tree that goes with the test.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, folders: &[&str], links: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("sysfs-{name}-{}", std::process::id()));
            for folder in folders {
                fs::create_dir_all(root.join(folder)).unwrap();
            }
            for (link, to) in links {
                fs::create_dir_all(root.join(link).parent().unwrap()).unwrap();
                symlink(to, root.join(link)).unwrap();
            }
            Self(root)
        }

        fn sysfs(&self) -> Sysfs {
            Sysfs::at(&self.0)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const NIC: &str = "bus/pci/devices/0000:03:00.0";

    fn tree(name: &str) -> Tree {
        Tree::new(
            name,
            &[
                "bus/pci/devices/0000:03:00.0/net/enp3s0",
                "bus/pci/devices/0000:03:00.0/net/enp3s0d1",
                "bus/pci/devices/0000:04:00.0/virtio7/net/eth7",
                "bus/pci/devices/0000:05:00.0/net",
                "bus/pci/devices/0000:06:00.0",
                "bus/pci/devices/0000:07:00.0/virtio8/block",
                "bus/auxiliary/devices/mlx5_core.sf.2/net/sf0",
                "bus/auxiliary/devices/mlx5_core.eth.2",
                "bus/pci/drivers/ixgbe",
                "bus/pci/drivers/vfio-pci",
                "devices/pci0000:00/0000:03:00.0/net/enp3s0",
            ],
            &[
                ("bus/pci/devices/0000:03:00.0/driver", "../../drivers/ixgbe"),
                ("bus/pci/devices/0000:05:00.0/driver", "../../drivers/vfio-pci"),
                ("bus/pci/devices/0000:07:00.0/driver", "../../drivers/gone"),
            ],
        )
    }

    #[test]
    fn the_first_interface_of_a_device_is_found() {
        let tree = tree("found");
        let sysfs = tree.sysfs();
        assert_eq!(sysfs.interface_of_pci("0000:03:00.0"), Ok("enp3s0".into()));
        assert_eq!(sysfs.interface_of_pci("0000:04:00.0"), Ok("eth7".into()));
        assert_eq!(sysfs.interface_of_auxiliary("mlx5_core.sf.2"), Ok("sf0".into()));
        let path = Path::new("/sys/devices/pci0000:00/0000:03:00.0");
        assert_eq!(sysfs.interface_of_path(path), Ok("enp3s0".into()));
        assert!(sysfs.has("pci", "0000:03:00.0") && sysfs.has("auxiliary", "mlx5_core.sf.2"));
        assert!(!sysfs.has("pci", "mlx5_core.sf.2") && !sysfs.has("pci", ""));
        assert!(sysfs.is_behind("0000:04:00.0", "virtio7"));
        assert!(sysfs.is_behind("0000:03:00.0", "0000:03:00.0"));
        assert!(
            !sysfs.is_behind("0000:03:00.0", "virtio7") && !sysfs.is_behind("0000:03:00.0", "")
        );
    }

    #[test]
    fn what_is_not_there_is_named() {
        let tree = tree("missing");
        let sysfs = tree.sysfs();
        let of = |path: &str| tree.0.join(path);
        let none = |path: &str| Err(Problem::NoInterface(of(path)));
        assert_eq!(sysfs.interface_of_pci("0000:05:00.0"), none("bus/pci/devices/0000:05:00.0"));
        assert_eq!(sysfs.interface_of_pci("0000:06:00.0"), none("bus/pci/devices/0000:06:00.0"));
        assert_eq!(sysfs.interface_of_pci("0000:07:00.0"), none("bus/pci/devices/0000:07:00.0"));
        let missing = |path: &str| Err(Problem::NoDevice(of(path)));
        assert_eq!(sysfs.interface_of_pci("0000:99:00.0"), missing("bus/pci/devices/0000:99:00.0"));
        assert_eq!(sysfs.interface_of_auxiliary("x.sf.1"), missing("bus/auxiliary/devices/x.sf.1"));
        let path = Path::new("/sys/devices/none");
        assert_eq!(sysfs.interface_of_path(path), missing("devices/none"));
    }

    #[test]
    fn drivers_of_user_space_are_known() {
        let tree = tree("drivers");
        let sysfs = tree.sysfs();
        assert_eq!(sysfs.is_for_user_space("0000:03:00.0"), Ok(false));
        assert_eq!(sysfs.is_for_user_space("0000:05:00.0"), Ok(true));
        let of = |path: &str| tree.0.join(path);
        for (address, path) in [("0000:06:00.0", "06"), ("0000:07:00.0", "07")] {
            let path = of(NIC).with_file_name(format!("0000:{path}:00.0"));
            assert_eq!(sysfs.is_for_user_space(address), Err(Problem::NoDriver(path)));
        }
        let missing = of(NIC).with_file_name("0000:99:00.0");
        assert_eq!(sysfs.is_for_user_space("0000:99:00.0"), Err(Problem::NoDevice(missing)));
    }
}
