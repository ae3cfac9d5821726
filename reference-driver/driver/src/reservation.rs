//! Identifiers of sandboxes that are being created right now: two requests for one must not both succeed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The identifiers that are taken for the time being.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reservations(Arc<Mutex<BTreeSet<String>>>);

/// Keeps an identifier taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    reservations: Reservations,
    id: String,
}

impl Reservations {
    /// Takes an identifier, unless it is taken.
    pub(crate) fn reserve(&self, id: &str) -> Option<Reserved> {
        self.lock().insert(id.to_owned()).then(|| Reserved { reservations: self.clone(), id: id.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.reservations.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_taken_until_it_is_given_back() {
        let reservations = Reservations::default();
        let first = reservations.reserve("a");
        assert!(first.is_some() && reservations.reserve("a").is_none() && reservations.reserve("b").is_some());
        drop(first);
        assert!(reservations.reserve("a").is_some());
    }
}
