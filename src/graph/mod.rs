//! The node's network as a picture.
//!
//! The way is one: [`Facts`] are read ([`read`]), a [`Picture`] is made of them, which says what is to be
//! seen and how much of it, and that is written as SVG, DOT or Mermaid. All but the reading is pure, so
//! that files of facts are enough to test it.

mod block;
mod crowd;
mod dot;
mod draft;
mod drawing;
pub mod facts;
mod layout;
pub(crate) mod lettering;
mod mermaid;
mod picture;
mod reading;
mod svg;

pub use dot::dot;
pub use drawing::{Drawing, Face, Look, Rect, Shape};
pub use facts::Facts;
pub use layout::draw;
pub use mermaid::mermaid;
pub use picture::{Column, Detail, Line, Member, Picture, Tie};
pub use reading::read;
pub use svg::svg;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
