//! tuning when something was lost: the namespace, the record, the backup, the process itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::killed::killed_add;
use harness::snapshot::nothing_stays;
use harness::tuned::{
    BACKUP, RECORD, TUNING, assert_everything, attached, everything, link, set_sysctl, sysctl, wide,
};

#[test]
fn a_namespace_that_is_gone_leaves_nothing() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    call.add();
    assert!(host.succeeds(&format!("test -e {BACKUP}")));
    assert!(host.succeeds(&format!("test -e {RECORD}")));
    pod.destroy();
    for _ in 0..2 {
        call.del();
        assert!(!host.succeeds(&format!("test -e {BACKUP}")));
        assert!(!host.succeeds(&format!("test -e {RECORD}")));
    }
    call.clone().without("CNI_NETNS").del();
    assert_eq!(host.run("ls -A /run/cni/tuning"), "");
}

#[test]
fn without_a_record_the_backup_tells() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    let before = link(&pod);
    call.add();
    host.run(&format!("rm {RECORD}"));
    call.del();
    assert_eq!(link(&pod), before);
    assert!(!host.succeeds(&format!("test -e {BACKUP}")));
}

#[test]
fn without_a_backup_the_record_tells_of_what_is_still_ours() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    let before = link(&pod);
    call.add();
    host.run(&format!("rm {BACKUP}"));
    pod.run("ip link set eth0 mtu 1350");
    set_sysctl(&pod, "core/somaxconn", "700");
    call.del();
    let after = link(&pod);
    assert_eq!(after["mtu"], 1350);
    assert_eq!(sysctl(&pod, "core/somaxconn"), "700");
    for key in ["address", "txqlen", "flags"] {
        assert_eq!(after[key], before[key], "{key}");
    }
}

#[test]
fn a_garbled_backup_is_no_reason_to_keep_the_pod() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    let before = link(&pod);
    for garbage in ["", "{", "[]", r#"{"mtu": "big"}"#, r#"{"mac": "nowhere"}"#] {
        call.add();
        host.write(BACKUP, garbage);
        call.del();
        assert_eq!(link(&pod), before, "{garbage}");
        assert!(!host.succeeds(&format!("test -e {BACKUP}")));
    }
}

#[test]
fn gc_puts_back_what_nobody_owns() {
    let host = Host::new();
    let (pod, other) = (host.pod("blue"), host.pod("green"));
    let (stays, _) = attached(&other, &everything());
    let kept = stays.add();
    let (call, _) = attached(&pod, &everything());
    let before = (host.snapshot(), pod.snapshot());
    call.add();
    host.call(TUNING, &everything()).gc(&[("id-green", "eth0")]);
    nothing_stays(&before, &pod, "after GC");
    assert_everything(&other);
    stays.check(&kept).silence();
    host.call(TUNING, &everything()).gc(&[]);
    assert_eq!(link(&other)["mtu"], 1500);
}

#[test]
fn a_second_add_starts_from_what_was_before_the_first() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    let before = (host.snapshot(), pod.snapshot());
    call.add();
    call.add();
    assert_everything(&pod);
    call.del();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn what_a_killed_add_has_set_is_put_back() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let untouched = (link(&pod), wide(&pod));
    let mut half_set = 0;
    // Every one that changes something, and those between them.
    for name in ["/^open", "write", "/^rename", "setns", "sendto", "close"] {
        let mut nth = 1;
        while killed_add(&host, &call, TUNING, name, nth) {
            let is_half = (link(&pod), wide(&pod)) != untouched;
            half_set += u32::from(is_half);
            if nth % 2 == 0 {
                call.check(&call.add()).silence();
                assert_everything(&pod);
            }
            call.del();
            let when = format!("after a kill at {name} number {nth}");
            assert_eq!((link(&pod), wide(&pod)), untouched, "{when}");
            if is_half {
                nothing_stays(&before, &pod, &when);
            }
            nth += 1;
        }
        assert!(nth > 1, "ADD makes no {name}");
        call.del();
    }
    assert!(half_set > 10, "only {half_set} kills found something half done");
    nothing_stays(&before, &pod, "at the end");
}
