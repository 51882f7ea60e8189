//! A private host with a pod, and a client outside.
//!
//! ```text
//! client 192.0.2.2 ── 192.0.2.1 host, bridge 10.9.0.1 ── pod
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use serde_json::{Value, json};

/// The host's address as the client knows it.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Where the pod listens.
pub const CONTAINER_PORT: u16 = 80;

/// The first of the mapped ports.
pub const FIRST_PORT: u16 = 20_000;

/// A host, held open by its namespaces.
pub struct Host {
    net: File,
    mnt: File,
}

impl Host {
    /// Makes host, pod and client.
    pub fn new() -> io::Result<Self> {
        let host = aside(|| {
            unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            for place in ["/run", "/var/lib/cni"] {
                mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), none)?;
            }
            fs::create_dir_all("/run/netns")?;
            let own = |kind| File::open(format!("/proc/thread-self/ns/{kind}"));
            Ok(Self { net: own("net")?, mnt: own("mnt")? })
        })?;
        host.inside(|| {
            for line in [
                "ip link set lo up",
                "ip netns add pod",
                "ip netns add client",
                "ip link add outside type veth peer name eth0 netns client",
                "ip address add 192.0.2.1/24 dev outside",
                "ip link set outside up",
                "ip -n client address add 192.0.2.2/24 dev eth0",
                "ip -n client link set eth0 up",
                "ip -n client route add default via 192.0.2.1",
            ] {
                run(line)?;
            }
            Ok(())
        })?;
        Ok(host)
    }

    /// Attaches the pod with bridge and portmap out of a directory.
    pub fn attach(&self, plugins: &Path, mappings: u16) -> io::Result<()> {
        let ipam = json!({ "type": "host-local", "subnet": "10.9.0.0/24" });
        let bridge = json!({
            "cniVersion": "1.0.0", "name": "packets", "type": "bridge", "bridge": "br0",
            "isDefaultGateway": true, "ipam": ipam,
        });
        let mappings: Vec<_> = (0..mappings)
            .map(|one| {
                json!({
                    "hostPort": FIRST_PORT + one, "containerPort": CONTAINER_PORT,
                    "protocol": "tcp",
                })
            })
            .collect();
        self.inside(|| {
            let result = add(plugins, &bridge)?;
            let portmap = json!({
                "cniVersion": "1.0.0", "name": "packets", "type": "portmap", "snat": true,
                "runtimeConfig": { "portMappings": mappings }, "prevResult": result,
            });
            add(plugins, &portmap).map(drop)
        })
    }

    /// Does `work` in the pod.
    pub fn in_pod<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.within("pod", work)
    }

    /// Does `work` where the client is.
    pub fn at_client<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.within("client", work)
    }

    fn within<T: Send>(
        &self,
        name: &str,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        self.inside(|| {
            setns(File::open(format!("/run/netns/{name}"))?, CloneFlags::CLONE_NEWNET)?;
            work()
        })
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        aside(|| {
            unshare(CloneFlags::CLONE_FS)?;
            setns(&self.mnt, CloneFlags::CLONE_NEWNS)?;
            setns(&self.net, CloneFlags::CLONE_NEWNET)?;
            work()
        })
    }
}

/// Does `work` in a thread of its own, whose namespaces end with it.
fn aside<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
    })
}

fn run(line: &str) -> io::Result<()> {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap_or_default()).args(words).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{line}: {}", String::from_utf8_lossy(&output.stderr))))
}

fn add(plugins: &Path, config: &Value) -> io::Result<Value> {
    let name = config.get("type").and_then(Value::as_str).unwrap_or_default();
    let mut child = Command::new(plugins.join(name))
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("CNI_COMMAND", "ADD")
        .env("CNI_CONTAINERID", "pod")
        .env("CNI_NETNS", "/run/netns/pod")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", plugins)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(config.to_string().as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        return Err(io::Error::other(format!("{name}: {said}")));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
