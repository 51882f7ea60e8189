//! Plugins one after the other, as a runtime calls those of a configuration list.

use serde_json::Value;

use super::Pod;
use super::call::{Call, Plugin};

/// Calls for one attachment, in the order of ADD.
pub struct List<'h> {
    /// The calls, of which any can be changed or made by itself.
    pub calls: Vec<Call<'h>>,
}

impl<'h> List<'h> {
    /// The plugins' calls for a pod; configurations are whole, with name and version.
    pub fn of(pod: &Pod<'h>, plugins: &[(Plugin, Value)]) -> Self {
        Self { calls: plugins.iter().map(|(plugin, config)| pod.call(*plugin, config)).collect() }
    }

    /// ADD of all, each with the result of the one before; gives the last result.
    #[track_caller]
    pub fn add(&self) -> Value {
        self.calls.iter().fold(Value::Null, |previous, call| with(call, &previous).add())
    }

    /// CHECK of all; none may find anything.
    #[track_caller]
    pub fn check(&self, result: &Value) {
        for call in &self.calls {
            call.check(result).silence();
        }
    }

    /// DEL of all, the last first.
    #[track_caller]
    pub fn del(&self, result: &Value) {
        for call in self.calls.iter().rev() {
            with(call, result).del();
        }
    }
}

/// A call with a prevResult; null is none.
pub fn with<'h>(call: &Call<'h>, previous: &Value) -> Call<'h> {
    if previous.is_null() { call.clone() } else { call.clone().key("prevResult", previous) }
}
