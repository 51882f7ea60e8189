//! Plans of resources: carrying them out, verifying, removing, describing, undoing what failed, and
//! putting back what others have taken away.
//!
//! The engine knows the kernel and nothing of plugins. What a plan needs is in its resources, so a
//! record of them on disk is enough to remove an attachment without the plugin that made it.

pub mod apply;
pub mod error;
pub mod host_end;
pub mod journal;
pub mod leaving;
pub mod mass_removal;
pub mod node;
pub mod owner;
pub mod reference;
pub mod repair;
pub mod resource;
pub mod shared_lock;

pub use error::Error;
pub use node::Node;
pub use owner::Owner;
pub use resource::Resource;
