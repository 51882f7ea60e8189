//! The private "host" that a case happens in.

use std::env;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::Error;
use crate::network::{IFNAME, Kind, Network, Pod, VLAN};

const NETNS: &str = "/run/netns";
const LEASES: &str = "/var/lib/cni/networks";
const PRIVATE: [&str; 2] = ["/run", "/var/lib/cni"];

/// Where this process came from, before it moved into a host.
static HOME: OnceLock<Home> = OnceLock::new();

struct Home {
    place: Place,
    directory: PathBuf,
}

/// A network and a mount namespace that this process was in.
struct Place {
    network: File,
    mounts: File,
}

impl Place {
    /// Where this process is.
    fn here() -> Result<Self, Error> {
        let open = |path| File::open(path).map_err(Error::io("open the own namespace"));
        Ok(Self { network: open("/proc/self/ns/net")?, mounts: open("/proc/self/ns/mnt")? })
    }

    /// Moves this process there. Its working directory is the same as ever: it lies in files that all
    /// hosts share.
    fn enter(&self) -> Result<(), Error> {
        let home = home()?;
        setns(&self.network, CloneFlags::CLONE_NEWNET).map_err(Error::io("enter a namespace"))?;
        // The kernel refuses as long as a thread is there, also one that has been joined and is about
        // to go.
        let start = Instant::now();
        while let Err(errno) = setns(&self.mounts, CloneFlags::CLONE_NEWNS) {
            if start.elapsed() > Duration::from_secs(1) {
                return Err(Error::io("enter a mount namespace")(errno));
            }
            thread::sleep(Duration::from_millis(1));
        }
        env::set_current_dir(&home.directory).map_err(Error::io("enter the working directory"))
    }
}

fn home() -> Result<&'static Home, Error> {
    if let Some(home) = HOME.get() {
        return Ok(home);
    }
    let directory = env::current_dir().map_err(Error::io("find the working directory"))?;
    let place = Place::here()?;
    Ok(HOME.get_or_init(|| Home { place, directory }))
}

/// A network namespace, with /run and /var/lib/cni of its own. The kernel takes it away when it is
/// dropped or the process ends.
pub struct Host {
    place: Place,
}

impl Host {
    /// Makes one and moves this process, which must have one thread, into it.
    pub fn new() -> Result<Self, Error> {
        // Not from another host: the mounts of its namespaces would be copied, and keep them.
        home()?.place.enter()?;
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
            .map_err(Error::io("make namespaces (this needs root)"))?;
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .map_err(Error::io("make the mounts private"))?;
        for path in PRIVATE {
            mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), none)
                .map_err(Error::io(format!("mount a tmpfs on {path}")))?;
        }
        fs::create_dir(NETNS).map_err(Error::io("make /run/netns"))?;
        ip(&["link", "set", "lo", "up"])?;
        Ok(Self { place: Place::here()? })
    }

    /// Moves this process, which must have one thread, into it, if it is not there.
    pub fn enter(&self) -> Result<(), Error> {
        let inode = |file: &File| file.metadata().map(|metadata| metadata.ino()).ok();
        if inode(&self.place.mounts) == inode(&Place::here()?.mounts) {
            return Ok(());
        }
        self.place.enter()
    }

    /// Makes a namespace for a pod and gives its path.
    pub fn make_pod_namespace(&self, name: &str) -> Result<String, Error> {
        let path = format!("{NETNS}/{name}");
        File::create(&path).map_err(Error::io(format!("make {path}")))?;
        let none: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNET).map_err(Error::io("make a namespace"))?;
        let mounted = mount(Some("/proc/self/ns/net"), path.as_str(), none, MsFlags::MS_BIND, none);
        setns(&self.place.network, CloneFlags::CLONE_NEWNET).map_err(Error::io("come back"))?;
        mounted.map_err(Error::io(format!("mount {path}")))?;
        Ok(path)
    }

    /// Makes the bridge, with the gateways' addresses, for who does not make it.
    pub fn make_bridge(&self, network: &Network) -> Result<(), Error> {
        let bridge = network.bridge.as_str();
        ip(&["link", "add", bridge, "type", "bridge"])?;
        give_gateways(network, bridge)
    }

    /// Makes a link with the gateways at the other end of its wire, where the plugin finds one: a
    /// master, or a device to be moved.
    pub fn make_link(&self, network: &Network) -> Result<(), Error> {
        let link = network.bridge.as_str();
        let far = format!("w{}", network.number);
        ip(&["link", "add", link, "type", "veth", "peer", "name", &far])?;
        ip(&["link", "set", link, "up"])?;
        if network.shape.kind == Kind::Vlan {
            return ip(&["link", "set", &far, "up"]);
        }
        give_gateways(network, &far)
    }

    /// Gives the gateways of VLANs to the other end of the wire.
    pub fn make_vlan_gateways(&self, network: &Network) -> Result<(), Error> {
        let far = format!("w{}", network.number);
        let tagged = format!("{far}.{VLAN}");
        ip(&["link", "add", &tagged, "link", &far, "type", "vlan", "id", &VLAN.to_string()])?;
        give_gateways(network, &tagged)
    }

    /// Makes the interface that a chained plugin finds in the pod, and says its hardware addresses,
    /// of the host's end first.
    pub fn make_interface(&self, network: &Network, pod: &Pod) -> Result<(String, String), Error> {
        let (host_end, inside) = (network.host_end(pod), pod.container_id.as_str());
        let number = pod.number;
        let mac = |end: u8| {
            format!(
                "02:{end:02x}:{:02x}:00:{:02x}:{:02x}",
                network.number,
                number / 256,
                number % 256
            )
        };
        let macs = (mac(0), mac(1));
        ip(&[
            "link", "add", &host_end, "address", &macs.0, "type", "veth", "peer", "name", IFNAME,
            "address", &macs.1, "netns", inside,
        ])?;
        ip(&["link", "set", &host_end, "up"])?;
        for address in network.addresses(number) {
            ip(&["-n", inside, "address", "add", &address, "dev", IFNAME])?;
        }
        ip(&["-n", inside, "link", "set", IFNAME, "up"])?;
        for (gateway, address) in network.gateways().iter().zip(network.addresses(number)) {
            ip(&["-n", inside, "route", "add", "default", "via", gateway])?;
            let address = address.split('/').next().unwrap_or_default();
            ip(&["route", "add", address, "dev", &host_end])?;
        }
        Ok(macs)
    }

    /// Writes `count` leases of other pods, from the first address after the gateway on, and that
    /// the last of them was handed out last, or with `is_turn_over` the address behind it.
    pub fn write_leases(
        &self,
        network: &Network,
        count: u32,
        is_turn_over: bool,
    ) -> Result<(), Error> {
        let directory = PathBuf::from(LEASES).join(&network.name);
        let write = |name: String, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).map_err(Error::io(format!("write {}", path.display())))
        };
        fs::create_dir_all(&directory).map_err(Error::io("make the directory of leases"))?;
        let first = u32::from(Ipv4Addr::new(10, network.number, 0, 2));
        for number in 0..count {
            let address = Ipv4Addr::from(first.saturating_add(number));
            write(address.to_string(), &format!("filler{number}\r\neth0"))?;
        }
        let last = if is_turn_over { count } else { count.saturating_sub(1) };
        if count > 0 {
            let last = Ipv4Addr::from(first.saturating_add(last));
            write("last_reserved_ip.0".to_owned(), &last.to_string())?;
        }
        Ok(())
    }

    /// Whether a pod's gateway answers. A new bridge port may take a moment to forward.
    pub fn reaches(&self, pod_namespace: &str, gateway: &str) -> Result<bool, Error> {
        let inside = format!("--net={pod_namespace}");
        for _ in 0..3 {
            let output = Command::new("nsenter")
                .args([&inside, "ping", "-c", "1", "-W", "1", "-q", gateway])
                .output()
                .map_err(Error::io("execute nsenter and ping"))?;
            if output.status.success() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Not being able to is harmless: all of it ends with the process.
        if self.enter().is_ok() {
            for path in PRIVATE {
                let _ = umount2(path, MntFlags::MNT_DETACH);
            }
            settle();
        }
        let _ = home().map(|home| home.place.enter());
    }
}

/// Gives a link the gateways' addresses and brings it up.
fn give_gateways(network: &Network, link: &str) -> Result<(), Error> {
    for (gateway, prefix) in network.gateways().iter().zip(network.prefixes()) {
        let address = format!("{gateway}/{prefix}");
        let mut arguments = vec!["address", "add", &address, "dev", link];
        if gateway.contains(':') {
            arguments.push("nodad");
        }
        ip(&arguments)?;
    }
    ip(&["link", "set", link, "up"])
}

fn ip(arguments: &[&str]) -> Result<(), Error> {
    let output = Command::new("ip").args(arguments).output().map_err(Error::io("execute ip"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Tool {
        tool: format!("ip {}", arguments.join(" ")),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Waits, for a minute at most, until the kernel has taken away the namespaces that were left: it
/// does that in the background, under the lock that every change of links needs.
pub fn settle() {
    let start = Instant::now();
    let mut quiet = 0;
    while quiet < 5 && start.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(50));
        let before = Instant::now();
        let _ = ip(&["link", "set", "lo", "up"]);
        quiet = if before.elapsed() < Duration::from_millis(4) { quiet + 1 } else { 0 };
    }
}
