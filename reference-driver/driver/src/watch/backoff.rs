//! How long a broken watch waits before it tries again.

use std::time::Duration;

use kube::runtime::utils::Backoff;

const FIRST: Duration = Duration::from_millis(200);
/// Short of client-go's 30 s: clients see nothing while the watch is away, and there are only three of them.
const LONGEST: Duration = Duration::from_secs(4);

/// Doubles from one failure to the next, and starts over after a success.
#[derive(Debug, Clone)]
pub(super) struct Doubling {
    next: Duration,
}

impl Doubling {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }
}

impl Iterator for Doubling {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let delay = self.next;
        self.next = (delay * 2).min(LONGEST);
        Some(delay)
    }
}

impl Backoff for Doubling {
    fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_a_limit_and_starts_over() {
        let mut backoff = Doubling::new();
        let delays: Vec<u128> = backoff.by_ref().take(7).map(|delay| delay.as_millis()).collect();
        assert_eq!(delays, [200, 400, 800, 1600, 3200, 4000, 4000]);
        backoff.reset();
        assert_eq!(backoff.next(), Some(FIRST));
    }
}
