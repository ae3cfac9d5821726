//! Where the time of a result went.
//!
//! Whoever waits for somebody says for whom, with [`waiting`]; the clock of the result that is under way adds it up.
//! A wait within a wait belongs to the inner one alone, so that the parts add up to no more than the whole.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use serde::Serialize;

/// Who was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Party {
    /// The API server, the controllers, the kubelet and the runtime.
    Cluster,
    /// The test registry.
    Registry,
    /// The driver under test.
    Driver,
    /// Helm.
    Helm,
    /// Nobody: a scenario states a time that has to pass.
    Stated,
    /// Nobody: the harness's own work.
    Harness,
}

/// Seconds by who was waited for.
pub(crate) type Spent = BTreeMap<Party, f64>;

impl Party {
    /// All of them, in the order of tables.
    pub(crate) const ALL: [Self; 6] =
        [Self::Cluster, Self::Registry, Self::Driver, Self::Helm, Self::Stated, Self::Harness];

    /// Its name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Registry => "registry",
            Self::Driver => "driver",
            Self::Helm => "helm",
            Self::Stated => "stated",
            Self::Harness => "harness",
        }
    }
}

tokio::task_local! {
    static CLOCK: Arc<Mutex<Spent>>;
}

/// Does a result's work and tells where its time went; what nobody was waited for is the harness's own.
pub(crate) async fn measured<T>(work: impl Future<Output = T>) -> (T, Spent) {
    let clock = Arc::new(Mutex::new(Spent::new()));
    let started = Instant::now();
    let done = CLOCK.scope(Arc::clone(&clock), work).await;
    let whole = started.elapsed().as_secs_f64();
    let mut spent = clock.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let waited: f64 = spent.values().sum();
    spent.insert(Party::Harness, (whole - waited).max(0.0));
    (done, spent)
}

/// Waits for somebody. Outside of a result nothing is counted.
pub(crate) async fn waiting<T>(party: Party, work: impl Future<Output = T>) -> T {
    let before = total();
    let started = Instant::now();
    let done = work.await;
    let inner = total() - before;
    let own = (started.elapsed().as_secs_f64() - inner).max(0.0);
    let _ = CLOCK.try_with(|clock| {
        *clock.lock().unwrap_or_else(PoisonError::into_inner).entry(party).or_default() += own;
    });
    done
}

fn total() -> f64 {
    CLOCK.try_with(|clock| clock.lock().unwrap_or_else(PoisonError::into_inner).values().sum()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    /// However slow the machine is: what is waited for twice would make the parts more than the whole.
    #[tokio::test]
    async fn a_wait_within_a_wait_belongs_to_the_inner_one() {
        let started = Instant::now();
        let ((), spent) = measured(async {
            waiting(Party::Cluster, async {
                waiting(Party::Helm, sleep(SHORT * 4)).await;
                sleep(SHORT).await;
            })
            .await;
        })
        .await;
        let whole = started.elapsed().as_secs_f64();
        assert!(spent[&Party::Helm] >= (SHORT * 4).as_secs_f64(), "{spent:?}");
        assert!(spent[&Party::Cluster] >= SHORT.as_secs_f64(), "{spent:?}");
        assert!(spent.values().sum::<f64>() <= whole + 0.001, "{spent:?} of {whole}");
        assert!(!spent.contains_key(&Party::Registry));
    }

    #[tokio::test]
    async fn results_side_by_side_have_a_clock_each() {
        let one = measured(waiting(Party::Driver, sleep(SHORT)));
        let other = measured(waiting(Party::Registry, sleep(SHORT)));
        let (((), one), ((), other)) = tokio::join!(one, other);
        assert!(one.contains_key(&Party::Driver) && !one.contains_key(&Party::Registry), "{one:?}");
        assert!(other.contains_key(&Party::Registry) && !other.contains_key(&Party::Driver), "{other:?}");
    }

    #[tokio::test]
    async fn outside_of_a_result_nothing_is_counted() {
        assert_eq!(waiting(Party::Driver, async { 3 }).await, 3);
    }
}
