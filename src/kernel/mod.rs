//! Linux, and nothing of CNI: namespaces, links, addresses, routes, sysctls and rules.
//!
//! A netlink socket belongs to the namespace it was opened in, so one thread speaks to the host's
//! and a container's namespace at once; only sysctls need the thread itself inside.

pub mod addr;
pub mod addrspoof;
pub mod announce;
pub mod answer;
pub mod attr;
pub mod conntrack;
pub mod dbus;
pub mod difference;
pub mod error;
pub mod features;
pub mod filter_table;
pub mod firewall;
pub mod firewalld;
pub mod iptables;
pub mod legacy;
pub mod link;
pub mod listening;
pub mod lock;
pub mod mac;
pub mod macspoof;
pub mod masquerade;
pub mod nat_table;
pub mod neighbour;
pub mod neighbour_discovery;
pub mod netconf;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod packet;
pub mod parting;
pub mod port;
pub mod port_isolation;
pub mod portmap;
pub mod privileges;
pub mod program;
pub mod raw;
pub mod route;
pub mod rule;
pub mod selinux;
pub mod sysctl;
pub mod sysfs;
pub mod tap;
pub mod tc;
pub mod verdict;
pub mod vlan;
pub mod vrf;

pub use error::Error;
