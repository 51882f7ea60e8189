//! Carrying a plan out, all or nothing; verifying it; removing it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::resource::Made;
use super::shared_lock::SharedLock;
use super::{Error, Node, Resource};

/// A plan that is being carried out, and what of it was made so far.
pub struct Application<'p> {
    resources: &'p [Resource],
    made: Vec<Made>,
}

impl<'p> Application<'p> {
    /// Carries a plan out in order. When a step fails, everything before it and what the step
    /// itself made is removed in reverse.
    ///
    /// # Errors
    /// The step's failure; [`Error::UndoFailed`] when undoing failed as well.
    pub fn run(
        resources: &'p [Resource],
        node: &mut Node<'_>,
        lock: &SharedLock,
    ) -> Result<Self, Error> {
        let mut application = Self { resources, made: Vec::with_capacity(resources.len()) };
        // A defect must not leave a half-made attachment either.
        let gone = catch_unwind(AssertUnwindSafe(|| application.go(node)))
            .unwrap_or_else(|panic| Err(Error::Panicked(in_words(&*panic))));
        match gone {
            Ok(()) => Ok(application),
            Err(failure) => Err(match application.undo(node, lock) {
                Ok(()) => failure,
                Err(left) => Error::UndoFailed { failure: Box::new(failure), left },
            }),
        }
    }

    fn go(&mut self, node: &mut Node<'_>) -> Result<(), Error> {
        for resource in self.resources {
            // Counted before it runs: what a failed step made is looked for and removed, too.
            self.made.push(Made::Before);
            let made = resource.kind().create(node)?;
            if let Some(last) = self.made.last_mut() {
                *last = made;
            }
        }
        Ok(node.flush()?)
    }

    /// Removes in reverse what was made; of shared things only what this call made and only if no
    /// other ADD is under way.
    ///
    /// # Errors
    /// What could not be removed, in words.
    pub fn undo(self, node: &mut Node<'_>, lock: &SharedLock) -> Result<(), Vec<String>> {
        // Requests still queued would only make more.
        node.rules = Default::default();
        let _ = node.host.flush();
        let alone = lock.make_exclusive();
        let mut left = Vec::new();
        for (resource, made) in self.resources.iter().zip(&self.made).rev() {
            let kind = resource.kind();
            let mut undone = kind.remove(node);
            if undone.is_ok() && *made == Made::Now && alone {
                undone = kind.take_back(node);
            }
            if let Err(error) = undone {
                left.push(error.to_string());
            }
        }
        if let Err(error) = node.flush() {
            left.push(error.to_string());
        }
        if left.is_empty() { Ok(()) } else { Err(left) }
    }
}

/// Removes resources in reverse, going on after failures.
///
/// # Errors
/// [`Error::Incomplete`] with all that failed.
pub fn remove(resources: &[Resource], node: &mut Node<'_>) -> Result<(), Error> {
    let mut left = Vec::new();
    for resource in resources.iter().rev() {
        if let Err(error) = resource.kind().remove(node) {
            left.push(error.to_string());
        }
    }
    if let Err(error) = node.flush() {
        left.push(error.to_string());
    }
    if left.is_empty() { Ok(()) } else { Err(Error::Incomplete(left)) }
}

/// Looks at every resource and reports all that is wrong.
///
/// # Errors
/// [`Error::Drift`], or a failure to look.
pub fn verify(resources: &[Resource], node: &mut Node<'_>) -> Result<(), Error> {
    let mut wrong: Vec<String> = Vec::new();
    for resource in resources {
        for finding in resource.kind().verify(node)? {
            if !wrong.contains(&finding) {
                wrong.push(finding);
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::Drift(wrong)) }
}

fn in_words(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
        .to_owned()
}
