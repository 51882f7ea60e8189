//! A client of the Container Runtime Interface (CRI, version 1), the part of kubelet that runs pods.
//!
//! `cri-client COMMAND`, with the runtime's socket in `CONTAINER_RUNTIME_ENDPOINT`. Prints what a shell script
//! wants to know: an ID, or lines of a word and a value. [`USAGE`] has the commands.

mod asked;

use std::process::ExitCode;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use k8s_cri::v1 as cri;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};

use asked::{Asked, Pod};

/// What can be asked for.
const USAGE: &str = "usage: cri-client COMMAND

  version                          the runtime's name and version
  ready                            fails unless the runtime says that its network is ready
  run-pod NAME [OPTION]...         RunPodSandbox; prints the pod's ID
      --cgroup PATH                the parent of all cgroups of the pod
      --port [IP@]HOST:POD[/udp]   a hostPort
      --annotation KEY=VALUE
      --attempt NUMBER             kubelet counts up when it makes a pod anew
  start POD-ID POD-NAME NAME IMAGE [OPTION]... -- COMMAND...
                                   a container of that name in the pod, whose options are given again;
                                   prints its ID
  exec CONTAINER-ID COMMAND...     prints what the command does, and ends with its exit code
  status POD-ID                    lines: state, ip (each), netns, pid
  pods                             lines: ID, state, name
  stop POD-ID, remove POD-ID       StopPodSandbox, RemovePodSandbox";

/// How long a call may take, in seconds; kubelet waits two minutes for most.
const PATIENCE: u64 = 90;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Arguments that mean nothing.
    #[error("{0}\n{USAGE}")]
    Usage(String),
    /// `CONTAINER_RUNTIME_ENDPOINT` is not set.
    #[error("set CONTAINER_RUNTIME_ENDPOINT to the path of the runtime's socket")]
    NoEndpoint,
    /// No runtime listens there.
    #[error("{path}: {source}")]
    Connect {
        /// The socket.
        path: String,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// The runtime refused.
    #[error("{call}: {}: {}", .status.code(), .status.message())]
    Refused {
        /// The call's name in the CRI.
        call: &'static str,
        /// The answer.
        status: Box<Status>,
    },
    /// The runtime's answer lacks what every runtime gives.
    #[error("{0}: the answer is empty")]
    Empty(&'static str),
    /// The runtime is not ready to run pods.
    #[error("not ready: {0}")]
    NotReady(String),
    /// The threads of the client could not be made.
    #[error("starting: {0}")]
    Runtime(#[from] std::io::Error),
}

/// What a call's failure is called.
fn refused(call: &'static str) -> impl Fn(Status) -> Error {
    move |status| Error::Refused { call, status: Box::new(status) }
}

fn main() -> ExitCode {
    let outcome = Asked::read(std::env::args().skip(1)).and_then(|asked| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(carry_out(asked))
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cri-client: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A connection to the runtime.
async fn connect() -> Result<RuntimeServiceClient<Channel>, Error> {
    let path = std::env::var("CONTAINER_RUNTIME_ENDPOINT").map_err(|_| Error::NoEndpoint)?;
    let socket = path.clone();
    // The address is of no meaning: the connector goes to the socket.
    let channel = Endpoint::from_static("http://runtime.invalid")
        .timeout(Duration::from_secs(PATIENCE))
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
        .map_err(|source| Error::Connect { path, source })?;
    Ok(RuntimeServiceClient::new(channel))
}

/// A request with the limit that the runtime is told, as kubelet tells it.
fn limited<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(PATIENCE));
    request
}

async fn carry_out(asked: Asked) -> Result<ExitCode, Error> {
    let mut runtime = connect().await?;
    match asked {
        Asked::Version => {
            let version = runtime
                .version(limited(cri::VersionRequest::default()))
                .await
                .map_err(refused("Version"))?
                .into_inner();
            println!("{} {}", version.runtime_name, version.runtime_version);
        }
        Asked::Ready => ready(&mut runtime).await?,
        Asked::RunPod(pod) => {
            let made = runtime
                .run_pod_sandbox(limited(cri::RunPodSandboxRequest {
                    config: Some(pod.config()),
                    runtime_handler: String::new(),
                }))
                .await
                .map_err(refused("RunPodSandbox"))?;
            println!("{}", made.into_inner().pod_sandbox_id);
        }
        Asked::Start { id, pod, name, image, command } => {
            let container = cri::ContainerConfig {
                metadata: Some(cri::ContainerMetadata { name, attempt: 0 }),
                image: Some(cri::ImageSpec { image, ..Default::default() }),
                command,
                linux: Some(cri::LinuxContainerConfig::default()),
                ..Default::default()
            };
            println!("{}", start(&mut runtime, id, pod, container).await?);
        }
        Asked::Exec { id, command } => return exec(&mut runtime, id, command).await,
        Asked::Status { id } => status(&mut runtime, id).await?,
        Asked::Pods => pods(&mut runtime).await?,
        Asked::Stop { id } => {
            runtime
                .stop_pod_sandbox(limited(cri::StopPodSandboxRequest { pod_sandbox_id: id }))
                .await
                .map_err(refused("StopPodSandbox"))?;
        }
        Asked::Remove { id } => {
            runtime
                .remove_pod_sandbox(limited(cri::RemovePodSandboxRequest { pod_sandbox_id: id }))
                .await
                .map_err(refused("RemovePodSandbox"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails unless each of the runtime's conditions (RuntimeReady, NetworkReady) is true.
async fn ready(runtime: &mut RuntimeServiceClient<Channel>) -> Result<(), Error> {
    let conditions = runtime
        .status(limited(cri::StatusRequest::default()))
        .await
        .map_err(refused("Status"))?
        .into_inner()
        .status
        .ok_or(Error::Empty("Status"))?
        .conditions;
    match conditions.into_iter().find(|condition| !condition.status) {
        Some(not) => Err(Error::NotReady(format!("{}: {}", not.r#type, not.message))),
        None => Ok(()),
    }
}

/// CreateContainer and StartContainer: the container's ID.
async fn start(
    runtime: &mut RuntimeServiceClient<Channel>,
    pod_sandbox_id: String,
    pod: Pod,
    container: cri::ContainerConfig,
) -> Result<String, Error> {
    let id = runtime
        .create_container(limited(cri::CreateContainerRequest {
            pod_sandbox_id,
            config: Some(container),
            sandbox_config: Some(pod.config()),
        }))
        .await
        .map_err(refused("CreateContainer"))?
        .into_inner()
        .container_id;
    runtime
        .start_container(limited(cri::StartContainerRequest { container_id: id.clone() }))
        .await
        .map_err(refused("StartContainer"))?;
    Ok(id)
}

/// ExecSync, with its output and exit code as this program's own.
async fn exec(
    runtime: &mut RuntimeServiceClient<Channel>,
    container_id: String,
    cmd: Vec<String>,
) -> Result<ExitCode, Error> {
    let done = runtime
        .exec_sync(limited(cri::ExecSyncRequest { container_id, cmd, timeout: PATIENCE as i64 }))
        .await
        .map_err(refused("ExecSync"))?
        .into_inner();
    print!("{}", String::from_utf8_lossy(&done.stdout));
    eprint!("{}", String::from_utf8_lossy(&done.stderr));
    Ok(u8::try_from(done.exit_code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// PodSandboxStatus. The namespace's path and the first process's ID are in what containerd tells besides.
async fn status(runtime: &mut RuntimeServiceClient<Channel>, id: String) -> Result<(), Error> {
    let answer = runtime
        .pod_sandbox_status(limited(cri::PodSandboxStatusRequest {
            pod_sandbox_id: id,
            verbose: true,
        }))
        .await
        .map_err(refused("PodSandboxStatus"))?
        .into_inner();
    let status = answer.status.ok_or(Error::Empty("PodSandboxStatus"))?;
    println!("state {}", status.state().as_str_name());
    if let Some(network) = status.network {
        let more = network.additional_ips.into_iter().map(|more| more.ip);
        for ip in std::iter::once(network.ip).chain(more).filter(|ip| !ip.is_empty()) {
            println!("ip {ip}");
        }
    }
    let more: serde_json::Value = answer
        .info
        .get("info")
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    if let Some(namespaces) = more["runtimeSpec"]["linux"]["namespaces"].as_array() {
        for namespace in namespaces.iter().filter(|one| one["type"] == "network") {
            println!("netns {}", namespace["path"].as_str().unwrap_or_default());
        }
    }
    println!("pid {}", more["pid"]);
    Ok(())
}

/// ListPodSandbox.
async fn pods(runtime: &mut RuntimeServiceClient<Channel>) -> Result<(), Error> {
    let pods = runtime
        .list_pod_sandbox(limited(cri::ListPodSandboxRequest::default()))
        .await
        .map_err(refused("ListPodSandbox"))?
        .into_inner()
        .items;
    for pod in pods {
        let state = pod.state().as_str_name();
        let name = pod.metadata.unwrap_or_default().name;
        println!("{} {state} {name}", pod.id);
    }
    Ok(())
}
