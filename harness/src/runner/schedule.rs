//! Cells side by side: when each begins.
//!
//! There are two kinds of slot, because a cell has two lives. While it is created and its scenarios run it keeps
//! processors busy; while it is collected and deleted it mostly waits for the kernel, and only takes room.
//! So the next cell begins as soon as another's scenarios end, and its predecessor goes meanwhile. What goes is
//! still waited for: nothing outlives the run.

use std::{collections::HashMap, future::Future, sync::Arc};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{Id, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// How many cells may run, and how many may exist.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    running: Arc<Semaphore>,
    existing: Arc<Semaphore>,
}

/// One cell's place. Dropping it ends both of its lives.
#[derive(Debug)]
pub(crate) struct Slot {
    running: Option<OwnedSemaphorePermit>,
    _existing: OwnedSemaphorePermit,
}

/// How a cell ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended<Job, Outcome> {
    /// With its outcome, whatever that is.
    Done(Outcome),
    /// The run was cancelled before the cell's turn came.
    NotBegun(Job),
    /// Its task broke down.
    Broken(String),
}

impl Slots {
    /// `running` cells at once, and `existing` in all with those that are being deleted.
    pub(crate) fn new(running: usize, existing: usize) -> Self {
        let running = running.max(1);
        Self { running: Arc::new(Semaphore::new(running)), existing: Arc::new(Semaphore::new(existing.max(running))) }
    }

    /// Waits for a place; first come, first served. None when the run ends meanwhile.
    async fn take(&self, cancelled: &CancellationToken) -> Option<Slot> {
        let place = async {
            let running = Arc::clone(&self.running).acquire_owned().await.ok()?;
            let existing = Arc::clone(&self.existing).acquire_owned().await.ok()?;
            Some(Slot { running: Some(running), _existing: existing })
        };
        tokio::select! {
            biased;
            () = cancelled.cancelled() => None,
            place = place => place,
        }
    }
}

impl Slot {
    /// The cell's scenarios are over: the next cell may begin while this one is deleted.
    pub(crate) fn scenarios_ended(&mut self) {
        self.running = None;
    }
}

/// Begins each job in the order in which they become ready, as slots allow, and waits for all of them.
///
/// `ready` carries each job with its position in the plan; the outcomes are in that order, whichever ended first.
/// A task that breaks down takes no other with it.
pub(crate) async fn schedule<Job, Outcome, Work>(
    mut ready: mpsc::UnboundedReceiver<(usize, Job)>,
    slots: &Slots,
    cancelled: &CancellationToken,
    begin: impl Fn(usize, Job, Slot) -> Work,
) -> Vec<(usize, Ended<Job, Outcome>)>
where
    Work: Future<Output = Outcome> + Send + 'static,
    Outcome: Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut positions: HashMap<Id, usize> = HashMap::new();
    let mut ended = Vec::new();
    while let Some((position, job)) = ready.recv().await {
        match slots.take(cancelled).await {
            Some(slot) => {
                positions.insert(tasks.spawn(begin(position, job, slot)).id(), position);
            }
            None => ended.push((position, Ended::NotBegun(job))),
        }
    }
    while let Some(joined) = tasks.join_next_with_id().await {
        let (id, outcome) = match joined {
            Ok((id, outcome)) => (id, Ended::Done(outcome)),
            Err(error) => (error.id(), Ended::Broken(error.to_string())),
        };
        if let Some(position) = positions.remove(&id) {
            ended.push((position, outcome));
        }
    }
    ended.sort_by_key(|(position, _)| *position);
    ended
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use rstest::rstest;
    use tokio::{sync::Barrier, time::timeout};

    use super::*;

    /// Nothing here waits for the clock: this only ends a test that would hang.
    const HANG: Duration = Duration::from_secs(20);

    /// A channel that has all of these jobs and is closed.
    fn all_ready(jobs: usize) -> mpsc::UnboundedReceiver<(usize, usize)> {
        let (sender, receiver) = mpsc::unbounded_channel();
        for job in 0..jobs {
            sender.send((job, job)).unwrap();
        }
        receiver
    }

    /// Runs all to their end, uninterrupted.
    async fn run<Job, Outcome, Work>(
        ready: mpsc::UnboundedReceiver<(usize, Job)>,
        slots: Slots,
        begin: impl Fn(usize, Job, Slot) -> Work,
    ) -> Vec<(usize, Ended<Job, Outcome>)>
    where
        Work: Future<Output = Outcome> + Send + 'static,
        Outcome: Send + 'static,
    {
        timeout(HANG, schedule(ready, &slots, &CancellationToken::new(), begin)).await.unwrap()
    }

    /// Counts what is there, and the most that ever was.
    #[derive(Debug, Default)]
    struct Count {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Count {
        fn up(&self) {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
        }

        fn down(&self) {
            self.now.fetch_sub(1, Ordering::SeqCst);
        }
    }

    async fn linger(turns: usize) {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    #[rstest]
    #[case(1, 1, 5)]
    #[case(1, 2, 5)]
    #[case(2, 3, 9)]
    #[case(3, 3, 9)]
    #[case(4, 5, 2)]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn slots_bound_what_runs_and_what_exists(
        #[case] running: usize,
        #[case] existing: usize,
        #[case] jobs: usize,
    ) {
        let (runs, exists) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let begin = |position: usize, job: usize, mut slot: Slot| {
            let (runs, exists) = (Arc::clone(&runs), Arc::clone(&exists));
            async move {
                exists.up();
                runs.up();
                // Later ones are quicker, so that they do not end in order.
                linger(40 * (jobs - position)).await;
                runs.down();
                slot.scenarios_ended();
                linger(30 * (1 + position % 3)).await;
                exists.down();
                job * 10
            }
        };
        let slots = Slots::new(running, existing);
        let ended = run(all_ready(jobs), slots, begin).await;
        let expected: Vec<_> = (0..jobs).map(|job| (job, Ended::Done(job * 10))).collect();
        assert_eq!(ended, expected, "outcomes are in the plan's order");
        assert!(runs.most.load(Ordering::SeqCst) <= running);
        assert!(exists.most.load(Ordering::SeqCst) <= existing);
    }

    #[tokio::test]
    async fn as_many_run_at_once_as_there_are_slots() {
        // Each waits for two others: with fewer at once this would hang.
        let meeting = Arc::new(Barrier::new(3));
        let begin = |_, _, slot| {
            let meeting = Arc::clone(&meeting);
            async move {
                let _held: Slot = slot;
                meeting.wait().await;
            }
        };
        let ended = run(all_ready(6), Slots::new(3, 4), begin).await;
        assert_eq!(ended.len(), 6);
    }

    #[tokio::test]
    async fn the_next_begins_while_its_predecessor_is_deleted() {
        let meeting = Arc::new(Barrier::new(2));
        let begin = |position, _, mut slot: Slot| {
            let meeting = Arc::clone(&meeting);
            async move {
                if position == 0 {
                    slot.scenarios_ended();
                }
                // The first is in its deletion, the second in its scenarios.
                meeting.wait().await;
            }
        };
        let ended = run(all_ready(2), Slots::new(1, 2), begin).await;
        assert_eq!(ended.len(), 2);
    }

    #[tokio::test]
    async fn deletions_are_waited_for() {
        let deleted = Arc::new(AtomicUsize::new(0));
        let begin = |_, _, mut slot: Slot| {
            let deleted = Arc::clone(&deleted);
            async move {
                slot.scenarios_ended();
                linger(100).await;
                deleted.fetch_add(1, Ordering::SeqCst);
            }
        };
        let slots = Slots::new(2, 3);
        run(all_ready(4), slots, begin).await;
        assert_eq!(deleted.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn a_cell_that_is_ready_does_not_wait_for_one_that_is_not() {
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send((1, "cached")).unwrap();
        let held = std::sync::Mutex::new(Some(sender));
        // The first cell becomes ready only because the second has begun.
        let begin = |position, _, slot| {
            if position == 1 {
                let sender = held.lock().unwrap().take().unwrap();
                sender.send((0, "built")).unwrap();
            }
            async move {
                let _held: Slot = slot;
                position
            }
        };
        let ended = run(receiver, Slots::new(1, 2), begin).await;
        assert_eq!(ended, [(0, Ended::Done(0)), (1, Ended::Done(1))]);
    }

    #[tokio::test]
    async fn after_an_interrupt_nothing_begins_and_all_that_began_ends() {
        let cancelled = CancellationToken::new();
        let token = cancelled.clone();
        let begin = move |_, job, slot| {
            let token = token.clone();
            async move {
                let _held: Slot = slot;
                token.cancel();
                linger(50).await;
                job
            }
        };
        let ended = timeout(HANG, schedule(all_ready(3), &Slots::new(1, 2), &cancelled, begin)).await.unwrap();
        assert_eq!(ended, [(0, Ended::Done(0)), (1, Ended::NotBegun(1)), (2, Ended::NotBegun(2))]);
    }

    #[tokio::test]
    async fn one_that_breaks_down_takes_no_other_with_it() {
        let begin = |position, job, slot| async move {
            let _held: Slot = slot;
            assert_ne!(position, 1, "a bug");
            job
        };
        let ended = run(all_ready(3), Slots::new(1, 1), begin).await;
        assert_eq!(ended[0], (0, Ended::Done(0)));
        assert!(matches!(&ended[1], (1, Ended::Broken(_))), "{ended:?}");
        assert_eq!(ended[2], (2, Ended::Done(2)));
    }
}
