//! What is asked for on the command line.

use std::collections::HashMap;

use k8s_cri::v1 as cri;

use crate::Error;

/// A command with its arguments.
pub enum Asked {
    /// Version.
    Version,
    /// Status.
    Ready,
    /// RunPodSandbox.
    RunPod(Pod),
    /// CreateContainer and StartContainer.
    Start {
        /// The pod's ID.
        id: String,
        /// The pod once more.
        pod: Pod,
        /// The container's name, the only one of that name in the pod.
        name: String,
        /// The image's name.
        image: String,
        /// What runs in it.
        command: Vec<String>,
    },
    /// ExecSync.
    Exec {
        /// The container's ID.
        id: String,
        /// What is to run.
        command: Vec<String>,
    },
    /// PodSandboxStatus.
    Status {
        /// The pod's ID.
        id: String,
    },
    /// ListPodSandbox.
    Pods,
    /// StopPodSandbox.
    Stop {
        /// The pod's ID.
        id: String,
    },
    /// RemovePodSandbox.
    Remove {
        /// The pod's ID.
        id: String,
    },
}

/// What kubelet knows of a pod.
#[derive(Default)]
pub struct Pod {
    /// Its name, and its UID, too.
    pub name: String,
    cgroup: String,
    ports: Vec<cri::PortMapping>,
    annotations: HashMap<String, String>,
    attempt: u32,
}

impl Asked {
    /// Reads the command line without the program's name.
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Error> {
        let command = arguments.next().unwrap_or_default();
        let mut next = |what: &str| {
            let missing = || Error::Usage(format!("{command}: {what} is missing"));
            arguments.next().ok_or_else(missing)
        };
        Ok(match command.as_str() {
            "version" => Self::Version,
            "ready" => Self::Ready,
            "pods" => Self::Pods,
            "run-pod" => Self::RunPod(Pod::read(next("NAME")?, &mut arguments)?),
            "start" => {
                let (id, pod) = (next("POD-ID")?, next("POD-NAME")?);
                let (name, image) = (next("NAME")?, next("IMAGE")?);
                let pod = Pod::read(pod, &mut arguments)?;
                Self::Start { id, pod, name, image, command: arguments.collect() }
            }
            "exec" => Self::Exec { id: next("CONTAINER-ID")?, command: arguments.collect() },
            "status" => Self::Status { id: next("POD-ID")? },
            "stop" => Self::Stop { id: next("POD-ID")? },
            "remove" => Self::Remove { id: next("POD-ID")? },
            _ => return Err(Error::Usage(format!("no such command: '{command}'"))),
        })
    }
}

impl Pod {
    /// Reads options up to `--`.
    fn read(name: String, arguments: &mut impl Iterator<Item = String>) -> Result<Self, Error> {
        let mut pod = Self { name, ..Self::default() };
        while let Some(option) = arguments.next() {
            if option == "--" {
                break;
            }
            let missing = || Error::Usage(format!("{option}: its value is missing"));
            let value = arguments.next().ok_or_else(missing)?;
            let wrong = || Error::Usage(format!("{option}: '{value}' means nothing"));
            match option.as_str() {
                "--cgroup" => pod.cgroup = value,
                "--attempt" => pod.attempt = value.parse().map_err(|_| wrong())?,
                "--port" => pod.ports.push(port(&value).ok_or_else(wrong)?),
                "--annotation" => {
                    let (key, value) = value.split_once('=').ok_or_else(wrong)?;
                    pod.annotations.insert(key.to_owned(), value.to_owned());
                }
                _ => return Err(Error::Usage(format!("no such option: '{option}'"))),
            }
        }
        Ok(pod)
    }

    /// The pod as the CRI describes one.
    pub fn config(&self) -> cri::PodSandboxConfig {
        cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: self.name.clone(),
                uid: self.name.clone(),
                namespace: "default".to_owned(),
                attempt: self.attempt,
            }),
            hostname: self.name.clone(),
            port_mappings: self.ports.clone(),
            annotations: self.annotations.clone(),
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: self.cgroup.clone(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

/// `[IP@]HOST:POD[/udp]`
fn port(text: &str) -> Option<cri::PortMapping> {
    let (ip, ports) = text.split_once('@').unwrap_or(("", text));
    let (ports, udp) = match ports.strip_suffix("/udp") {
        Some(ports) => (ports, true),
        None => (ports, false),
    };
    let (host, pod) = ports.split_once(':')?;
    let protocol = if udp { cri::Protocol::Udp } else { cri::Protocol::Tcp };
    Some(cri::PortMapping {
        protocol: protocol.into(),
        container_port: pod.parse().ok()?,
        host_port: host.parse().ok()?,
        host_ip: ip.to_owned(),
    })
}
