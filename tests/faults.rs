//! Every system call of ADD, CHECK and DEL is refused in turn: the error is well formed, a failed ADD
//! leaves nothing, and DEL removes whatever else there is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::config::everything;
use harness::faults::refuse_each;

#[test]
fn of_a_bridge() {
    let host = Host::new();
    let (other, pod) = (host.pod("green"), host.pod("blue"));
    let bridge = Plugin::Causeway("bridge");
    // What attachments share is there already.
    other.call(bridge, &everything()).add();
    refuse_each(&pod, &pod.call(bridge, &everything()));
}
