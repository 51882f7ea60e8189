//! Containers, which are not trusted, do their worst: their namespaces, their links, their environment.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::config::{bridge, everything};
use harness::refusal::{BAD_CONFIG, BAD_ENVIRONMENT, refuse};
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

/// Links that lead to a namespace are followed, since runtimes make such; what they lead to is looked at
/// all the same.
#[test]
fn links_to_a_namespace_are_judged_by_their_end() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.run("ln -s blue /run/netns/first");
    host.run("ln -s /run/netns/first /run/netns/second");
    host.run("ln -s loop /run/netns/loop");
    host.run("ln -s /proc/self/ns/net /run/netns/own");
    host.run("ln -s /proc/1/ns/mnt /run/netns/mounts");
    host.run("mkfifo /run/pipe");
    host.run("ln -s /run/pipe /run/netns/pipe");
    host.run("ln -s nowhere /run/netns/dangling");
    let call = pod.call(BRIDGE, &everything());
    for name in ["loop", "own", "mounts", "pipe", "dangling"] {
        let strange = call.clone().netns(format!("/run/netns/{name}"));
        refuse(&pod, &strange, "ADD", &[BAD_ENVIRONMENT], &["CNI_NETNS", name]);
    }
    let linked = call.clone().netns("/run/netns/second");
    let result = linked.add();
    linked.check(&result).silence();
    // The same namespace by another path is the same attachment.
    linked.run("ADD").error();
    call.del();
    is_clean(&host, "after DEL by another path");
}
