//! Calls that must be refused.

use serde_json::Value;

use super::call::{Call, CniError, Plugin};
use super::snapshot::nothing_stays;
use super::{Host, Pod};

/// The specification's code for a version that is not spoken.
pub const BAD_VERSION: u64 = 1;
/// The specification's code for a missing or malformed variable.
pub const BAD_ENVIRONMENT: u64 = 4;
/// The specification's code for JSON that cannot be read.
pub const NOT_DECODED: u64 = 6;
/// The specification's code for a configuration that is wrong.
pub const BAD_CONFIG: u64 = 7;
/// The kernel refused a request.
pub const KERNEL_REFUSED: u64 = 100;
/// A range has no free address.
pub const EXHAUSTED: u64 = 101;
/// A requested address cannot be had.
pub const UNAVAILABLE: u64 = 102;
/// The interface or attachment is there.
pub const ALREADY_ATTACHED: u64 = 103;
/// CHECK found a difference.
pub const CHECK_FAILED: u64 = 104;
/// A delegated plugin was not found or failed.
pub const DELEGATE: u64 = 105;
/// The kernel lacks something, or a program is not installed.
pub const MISSING_FEATURE: u64 = 106;

/// Makes a call that must fail with one of `codes`, name every one of `words`, and change nothing.
#[track_caller]
pub fn refuse(pod: &Pod<'_>, call: &Call<'_>, verb: &str, codes: &[u64], words: &[&str]) {
    let before = pod.host.snapshot();
    let error = refuse_late(pod, call, verb, codes, words);
    if error.code < 100 {
        let when = format!("after a refused {verb} ({})", error.msg);
        before.assert_same(&pod.host.snapshot(), &format!("{when}, on the host"));
    }
}

/// As [`refuse`], for what is found when an address has been leased already: locks may be new, and
/// the range may go on from another place.
#[track_caller]
pub fn refuse_late(
    pod: &Pod<'_>,
    call: &Call<'_>,
    verb: &str,
    codes: &[u64],
    words: &[&str],
) -> CniError {
    let before = (pod.host.snapshot(), pod.snapshot());
    let error = call.run(verb).fails_with(codes, words);
    nothing_stays(&before, pod, &format!("after a refused {verb} ({})", error.msg));
    error
}

/// An ADD of each configuration must be refused as the row says.
#[track_caller]
pub fn refuse_configs(codes: &[u64], rows: &[(Value, &[&str])]) {
    let host = Host::new();
    let pod = host.pod("blue");
    for (config, words) in rows {
        refuse(&pod, &pod.call(Plugin::Causeway("bridge"), config), "ADD", codes, words);
    }
}
