//! Carrying a plan out, all or nothing; verifying it; removing it.

use super::resource::Made;
use super::shared_lock::SharedLock;
use super::{Error, Node, Resource};

/// A plan that is being carried out, and what of it was made so far. It may grow: what follows a
/// foreign plugin is planned when that one has answered.
#[derive(Default)]
pub struct Application {
    made: Vec<Made>,
}

impl Application {
    /// Carries out what of `resources`, in order, has not been yet.
    ///
    /// # Errors
    /// The step's failure; the caller then calls [`Self::undo`].
    pub fn go_on(&mut self, resources: &[Resource], node: &mut Node<'_>) -> Result<(), Error> {
        for resource in resources.iter().skip(self.made.len()) {
            // Counted before it runs: what a failed step made is looked for and removed, too.
            self.made.push(Made::Before);
            node.has_made = false;
            let made = resource.kind().create(node);
            if let Some(last) = self.made.last_mut() {
                *last = match made {
                    Ok(made) => made,
                    Err(_) if node.has_made => Made::Now,
                    Err(_) => Made::Before,
                };
            }
            made?;
        }
        Ok(node.flush()?)
    }

    /// Removes `resources` in reverse, whether they were made, half made, or not begun (a lease is
    /// there before its plan is); of shared things only what this call made and only if no other ADD
    /// is under way.
    ///
    /// # Errors
    /// What could not be removed, in words.
    pub fn undo(
        self,
        resources: &[Resource],
        node: &mut Node<'_>,
        lock: &SharedLock,
    ) -> Result<(), Vec<String>> {
        // Requests still queued would only make more.
        node.rules = Default::default();
        let _ = node.host.flush();
        if let Some(pod) = &mut node.pod {
            let _ = pod.route.flush();
        }
        let alone = lock.make_exclusive();
        let mut left = Vec::new();
        for (place, resource) in resources.iter().enumerate().rev() {
            let kind = resource.kind();
            let mut undone = kind.undo(node);
            if undone.is_ok() && self.made.get(place) == Some(&Made::Now) && alone {
                // A bridge is asked for its ports.
                undone = node.remove_leaving().map_err(Error::from);
                undone = undone.and_then(|()| kind.take_back(node));
            }
            if let Err(error) = undone {
                left.push(error.to_string());
            }
        }
        if let Err(error) = node.flush() {
            left.push(error.to_string());
        }
        if alone {
            node.take_back_tables();
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
