//! Runs tasks on one thread. Chance decides which task runs next, so a seed determines one interleaving of
//! all I/O.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A task that runs beside others.
pub struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    /// It gets one turn in this many. A task that is slow enough is late for everything.
    slowness: u32,
}

impl Task {
    pub fn new(slowness: u32, future: impl Future<Output = ()> + 'static) -> Self {
        Self { future: Box::pin(future), slowness }
    }
}

thread_local! {
    /// Tasks that others have started and that have not run yet. A simulation stays on one thread, so the
    /// functions' futures need not be `Send`.
    static SPAWNED: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
}

/// Starts a task that runs beside the others from the next step on.
pub fn spawn(task: Task) {
    SPAWNED.with_borrow_mut(|spawned| spawned.push(task));
}

/// All unfinished tasks.
pub struct Executor {
    tasks: Vec<Task>,
}

impl Executor {
    /// An executor without tasks. Drops those that an earlier simulation left.
    pub fn afresh() -> Self {
        SPAWNED.take();
        Self { tasks: Vec::new() }
    }

    pub fn is_idle(&mut self) -> bool {
        self.tasks.append(&mut SPAWNED.take());
        self.tasks.is_empty()
    }

    /// Runs one task, chosen by chance, up to its next I/O. There must be a task.
    pub fn step(&mut self, rng: &mut impl FnMut(usize) -> usize) {
        let chosen = rng(self.tasks.len());
        let task = &mut self.tasks[chosen];
        if task.slowness > 1 && rng(task.slowness as usize) > 0 {
            return;
        }
        // No task is ever woken: each is polled until it is done.
        if let Poll::Ready(()) = task.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            self.tasks.swap_remove(chosen);
        }
    }
}

/// Yields once. Wakes the caller's waker, because the functions' own joins poll only futures that were
/// woken.
pub async fn give_way() {
    let mut gave = false;
    std::future::poll_fn(|context| {
        if gave {
            return Poll::Ready(());
        }
        gave = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
