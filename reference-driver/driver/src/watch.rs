//! One watch of sandboxes, pods and events for all clients.
//!
//! [`Feed`] holds what is known and tells every subscriber each change; [`follow`] keeps it up to date.

mod backoff;
mod conditions;
mod events;
mod feed;
mod follow;
mod problems;

pub(crate) use feed::{Feed, Found, Stopped};
pub(crate) use follow::follow;
