//! Calls that are killed at a system call of one's choice, by strace.

use super::call::{Call, Plugin};
use super::{Host, PLUGINS};

/// ADD by causeway's `plugin`, killed at its `nth` system call of one name; says whether it came so
/// far. A name that begins with a slash is a regular expression.
#[track_caller]
pub fn killed_add(host: &Host, call: &Call<'_>, plugin: Plugin, name: &str, nth: u32) -> bool {
    let script = format!(
        "#!/bin/sh\nexec strace -o /dev/null -e trace={name} \
         -e inject={name}:signal=SIGKILL:when={nth} {}/{}\n",
        plugin.dir(),
        plugin.name()
    );
    host.script_plugin("killed", &script);
    let outcome = call.clone().program(&format!("{PLUGINS}/causeway/killed")).run("ADD");
    assert!(outcome.status.is_none_or(|status| status == 0), "{outcome}");
    outcome.status.is_none()
}
