//! Those who are not trusted do their worst: containers, and whoever chose names and paths.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{bridge, dual_stack, everything, merge, newest};
use harness::refusal::{BAD_CONFIG, BAD_ENVIRONMENT, refuse, refuse_late};
use harness::{Host, Pod};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");

/// The host's end of a pod's interface, as the result tells.
fn host_end(result: &Value) -> String {
    result["interfaces"][1]["name"].as_str().expect("a name").to_owned()
}

/// Nothing is left of any pod but what pods share.
#[track_caller]
fn is_clean(host: &Host, when: &str) {
    let left = host.snapshot();
    assert_eq!(left.links(), ["br0", "lo"], "{when}");
    for id in ["id-blue", "id-green"] {
        assert!(left.files(id).is_empty(), "{when}: {:?}", left.files(id));
    }
    let rules = host.run("nft list ruleset");
    assert!(!rules.contains("10.88.0.2") && !rules.contains("id-blue"), "{when}: {rules}");
}

#[test]
fn names_that_climb_are_refused_wherever_they_stand() {
    let host = Host::new();
    let pod = host.pod("blue");
    let climbing = ["../../etc/passwd", "..", "a/b", "/etc", "a\u{0}b", "a\nb"];
    for name in climbing {
        for key in ["name", "bridge"] {
            let call = pod.call(BRIDGE, &bridge(json!({key: name})));
            refuse(&pod, &call, "ADD", &[BAD_CONFIG], &[key]);
        }
        for (plugin, key) in
            [("macvlan", "master"), ("ipvlan", "master"), ("host-device", "device")]
        {
            let config =
                json!({"cniVersion": newest(), "name": "testnet", "type": plugin, key: name});
            let call = pod.call(Plugin::Causeway(plugin), &config);
            refuse_late(&pod, &call, "ADD", &[BAD_CONFIG, 100], &[]);
        }
        let mut config = bridge(json!({}));
        config["ipam"] = json!({"type": name});
        refuse(&pod, &pod.call(BRIDGE, &config), "ADD", &[BAD_CONFIG], &[]);
    }
}

#[test]
fn folders_must_be_absolute() {
    let host = Host::new();
    let pod = host.pod("blue");
    for folder in ["relative", "../up", "./here"] {
        let call = pod.call(BRIDGE, &bridge(json!({"stateDir": folder})));
        refuse(&pod, &call, "ADD", &[BAD_CONFIG], &["stateDir", folder]);
        let mut config = bridge(json!({}));
        config["ipam"]["dataDir"] = folder.into();
        refuse(&pod, &pod.call(BRIDGE, &config), "ADD", &[BAD_CONFIG], &["dataDir", folder]);
    }
}

/// Sysctls are written by path; a name must not lead out of the container's own.
#[test]
fn sysctls_and_interfaces_of_prev_result_do_not_climb() {
    let host = Host::new();
    let pod = host.pod("blue");
    let result = pod.call(BRIDGE, &dual_stack(json!({}))).add();
    let pattern = host.read("/proc/sys/kernel/core_pattern");
    let base = json!({"cniVersion": newest(), "name": "testnet", "type": "tuning"});
    for key in [
        "net/../kernel/core_pattern",
        "net.ipv4.conf.../../../kernel/core_pattern",
        "kernel.core_pattern",
        "/proc/sys/kernel/core_pattern",
        "net.ipv4.conf.IFNAME/../../../../kernel/core_pattern",
    ] {
        let mut config = base.clone();
        merge(&mut config, json!({"prevResult": result, "sysctl": {key: "|/bin/false"}}));
        refuse_late(
            &pod,
            &pod.call(Plugin::Causeway("tuning"), &config),
            "ADD",
            &[BAD_CONFIG, 100, 5],
            &[],
        );
        assert_eq!(host.read("/proc/sys/kernel/core_pattern"), pattern, "{key}");
    }
    for name in ["../all", "../../kernel", "a/b", ""] {
        let mut climbing = result.clone();
        for interface in climbing["interfaces"].as_array_mut().unwrap() {
            interface["name"] = name.into();
        }
        for plugin in ["bandwidth", "portmap", "firewall"] {
            let config = json!({"cniVersion": newest(), "name": "testnet", "type": plugin, "prevResult": climbing,
                "ingressRate": 8000, "ingressBurst": 8000,
                "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}});
            let call = pod.call(Plugin::Causeway(plugin), &config);
            // The rules that pods share stay.
            let look = || host.snapshot().without("/files").without("/nft");
            let before = look();
            let outcome = call.run("ADD");
            if outcome.status == Some(0) {
                // It had no need of the name.
                call.del();
            } else {
                outcome.error();
            }
            before.assert_same(&look(), &format!("{plugin} with {name:?}"));
        }
    }
}

/// GC is told of attachments whose names lead elsewhere.
#[test]
fn valid_attachments_that_climb_change_nothing() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.write("/var/lib/cni/precious", "precious");
    let call = pod.call(BRIDGE, &everything());
    let result = call.add();
    let names =
        [("../../precious", "eth0"), ("id-blue", "eth0"), ("", ""), ("a", "../../../precious")];
    call.run_gc(&names);
    call.check(&result).silence();
    assert_eq!(host.read("/var/lib/cni/precious"), "precious");
}

/// The log goes to a file that the configuration names; in a folder that others may write to, that
/// may be a link to any file of root's, or a pipe that nobody reads.
#[test]
fn a_log_file_is_no_way_to_other_files() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.write("/run/precious", "precious");
    host.run("ln -s /run/precious /run/link.log");
    host.run("mkfifo /run/pipe.log");
    host.run("mkdir /run/folder.log");
    for file in ["link", "pipe", "folder"] {
        let config = bridge(json!({"logFile": format!("/run/{file}.log"), "logLevel": "debug"}));
        let call = pod.call(BRIDGE, &config);
        let added = call.run("ADD");
        added.success();
        assert!(added.stderr.contains("logFile"), "{added}");
        call.del();
    }
    assert_eq!(host.read("/run/precious"), "precious");
    let call = pod.call(BRIDGE, &bridge(json!({"logFile": "/run/own.log"})));
    call.add();
    assert_eq!(host.run("stat -c %a /run/own.log").trim(), "600");
}

/// What stands for a namespace is none: ADD and CHECK refuse it, DEL removes what is on the host.
#[test]
fn a_namespace_that_is_none() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.write("/run/netns/file", "");
    host.run("mkfifo /run/netns/fifo");
    host.run("mkdir /run/netns/directory");
    let _socket =
        host.inside(|| std::os::unix::net::UnixListener::bind("/run/netns/socket").unwrap());
    let call = pod.call(BRIDGE, &everything());
    for path in [
        "/run/netns/file",
        "/run/netns/fifo",
        "/run/netns/directory",
        "/run/netns/socket",
        "/proc/1/ns/mnt",
        "/proc/self/ns/mnt",
        "/proc/self/ns/user",
        "/proc/self/ns/pid",
        "/dev/zero",
        "/dev/tty",
        "/proc/1/fd/0",
        "/proc/99999999/ns/net",
        "relative",
    ] {
        let strange = call.clone().netns(path);
        refuse(&pod, &strange, "ADD", &[BAD_ENVIRONMENT], &["CNI_NETNS"]);
        let result = call.add();
        strange.check(&result).fails_with(&[BAD_ENVIRONMENT, BAD_CONFIG], &["CNI_NETNS"]);
        call.check(&result).silence();
        if path.starts_with("/proc/1/") && strange.run("DEL").status != Some(0) {
            // What we may not look at may be there: then nothing is thought gone.
            call.check(&result).silence();
            call.del();
        } else {
            strange.del();
        }
        is_clean(&host, &format!("after DEL with {path}"));
        // The same interface again, in a container that the DEL could not look into.
        assert_eq!(pod.link_names(), ["lo"], "the pair is gone with its end on the host");
    }
}

/// What a container does to its own namespace.
const MISCHIEF: [(&str, &str); 12] = [
    ("renames its interface", "ip link set eth0 down; ip link set eth0 name eth9"),
    ("deletes its interface", "ip link del eth0"),
    ("puts another in its place", "ip link del eth0; ip link add eth0 type veth peer name x"),
    ("makes a bridge of its own", "ip link add br0 type bridge; ip link set eth0 master br0"),
    ("plants the host's name", "ip link add HOSTEND type veth peer name x"),
    ("plants an alias", "ip link set eth0 alias testnet/id-green/eth0"),
    (
        "plants another link with an alias",
        "ip link add y type veth peer name z; ip link set y alias testnet/id-green/eth0",
    ),
    ("changes its address", "ip addr flush dev eth0; ip addr add 10.88.0.3/24 dev eth0"),
    ("changes its hardware address", "ip link set eth0 address 02:00:00:00:00:99"),
    ("takes the gateway's address", "ip addr add 10.88.0.1/24 dev eth0"),
    (
        "stacks links on it",
        "ip link add link eth0 name m type macvlan; ip link add stacked type bridge",
    ),
    (
        "flushes everything",
        "ip route flush table main; ip addr flush dev eth0; ip link set eth0 down",
    ),
];

#[test]
fn mischief_in_a_container_stays_there() {
    for (what, how) in MISCHIEF {
        for by_gc in [false, true] {
            let host = Host::new();
            let (blue, green) = (host.pod("blue"), host.pod("green"));
            let call = blue.call(BRIDGE, &everything());
            let other = green.call(BRIDGE, &everything());
            let (result, others) = (call.add(), other.add());
            for command in how.replace("HOSTEND", &host_end(&others)).split("; ") {
                blue.run(command);
            }
            if what == "flushes everything" || what == "renames its interface" {
                call.check(&result).error();
            }
            other.check(&others).silence();
            if by_gc {
                other.gc(&[("id-green", "eth0")]);
            } else {
                call.del();
                // A second one finds nothing.
                call.del();
            }
            other.check(&others).silence();
            assert!(green.reaches("10.88.0.1"), "{what}: the other pod is cut off");
            // A new container takes the address.
            let red = host.pod("red");
            let next = red.call(BRIDGE, &everything());
            next.add();
            assert!(red.reaches("10.88.0.1"), "{what}: a new pod is cut off");
            next.del();
            other.del();
            is_clean(&host, what);
        }
    }
}

/// The container moves its interface into a namespace that it made itself.
#[test]
fn an_interface_that_was_moved_away() {
    let host = Host::new();
    let (blue, hidden) = (host.pod("blue"), host.pod("hidden"));
    let call = blue.call(BRIDGE, &everything());
    call.add();
    blue.run("ip link set eth0 netns hidden");
    assert_eq!(hidden.link_names().len(), 2);
    call.del();
    is_clean(&host, "after DEL");
    assert_eq!(hidden.link_names(), ["lo"], "the moved end goes with the host's");
}

/// A frame with a source address that is not the container's, sent past its interface's own.
#[test]
fn forged_frames_are_dropped_where_that_is_asked_for() {
    for checked in [true, false] {
        let host = Host::new();
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        blue.call(BRIDGE, &bridge(json!({"macspoofchk": checked, "isGateway": true}))).add();
        green.call(BRIDGE, &bridge(json!({"isGateway": true}))).add();
        // A link on the interface sends by it with an address of its own.
        blue.run(
            "ip link add link eth0 name forged address 02:00:00:00:00:99 type macvlan mode bridge",
        );
        blue.run("ip link set forged up");
        blue.run("ip addr add 10.88.0.77/32 dev forged");
        let seen = seen_at(&green, &blue);
        assert_eq!(seen, !checked, "macspoofchk {checked}");
        assert!(blue.reaches("10.88.0.1"), "the container's own frames pass");
    }
}

/// Whether a frame from the forged address arrives at a pod when the other sends some.
fn seen_at(there: &Pod<'_>, from: &Pod<'_>) -> bool {
    let watch = there.watch();
    let forged = |frame: &harness::packets::Frame| frame.source() == "02:00:00:00:00:99";
    // Asking who has an address sends to everybody.
    from.inside(|| {
        let socket = std::net::UdpSocket::bind("10.88.0.77:0").unwrap();
        nix::sys::socket::setsockopt(
            &socket,
            nix::sys::socket::sockopt::BindToDevice,
            &"forged".into(),
        )
        .unwrap();
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Broadcast, &true).unwrap();
        for _ in 0..5 {
            let _ = socket.send_to(b"forged", "255.255.255.255:9");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    !watch.misses(forged)
}

/// Programs that are run get what they need and no more; plugins get what the specification says.
#[test]
fn children_get_a_clean_environment() {
    let host = Host::new();
    let pod = host.pod("blue");
    let spy = |path: &str, real: &str| {
        host.run(&format!("mkdir -p {}", path.rsplit_once('/').unwrap().0));
        host.executable(path, &format!("#!/bin/sh\nenv >>/run/seen\nexec {real} \"$@\"\n"));
    };
    for program in ["iptables-restore", "iptables-save", "ip6tables-restore", "ip6tables-save"] {
        spy(&format!("/run/spies/{program}"), &format!("/usr/sbin/{program}"));
    }
    let config = bridge(json!({"ipMasq": true, "ipMasqBackend": "iptables", "isGateway": true}));
    let call = pod
        .call(BRIDGE, &config)
        .env("PATH", "/run/spies:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("SECRET", "token")
        .env("LD_LIBRARY_PATH", "/run/none")
        .env("CNI_ARGS", "IgnoreUnknown=1;TOKEN=secret");
    call.add();
    let seen = host.read("/run/seen");
    assert!(seen.contains("PATH=/run/spies"), "{seen}");
    for word in ["SECRET", "LD_LIBRARY_PATH", "CNI_ARGS", "CNI_NETNS"] {
        assert!(!seen.contains(word), "iptables is told {word}: {seen}");
    }
    call.del();

    host.script_plugin("foreign", "#!/bin/sh\ncat >/dev/null\nenv >/run/plugin\necho '{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"10.66.0.5/24\"}]}'\n");
    pod.call(BRIDGE, &bridge(json!({"ipam": {"type": "foreign"}})))
        .env("CNI_ARGS", "IgnoreUnknown=1;A=b")
        .add();
    let seen = host.read("/run/plugin");
    for word in [
        "CNI_COMMAND=ADD",
        "CNI_CONTAINERID=id-blue",
        "CNI_NETNS=/run/netns/blue",
        "CNI_IFNAME=eth0",
        "CNI_ARGS=IgnoreUnknown=1;A=b",
        "CNI_PATH=",
    ] {
        assert!(seen.contains(word), "the plugin is not told {word}: {seen}");
    }
}
