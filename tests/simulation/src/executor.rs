//! Runs tasks on one thread. Whose turn it is, is for chance to say, so that a seed stands for one
//! interleaving of all I/O.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Something that runs beside others.
pub struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    /// It gets one turn in this many: what lags behind long enough is late for everything.
    slowness: u32,
}

impl Task {
    pub fn new(slowness: u32, future: impl Future<Output = ()> + 'static) -> Self {
        Self { future: Box::pin(future), slowness }
    }
}

thread_local! {
    /// Tasks that others have started, and that have had no turn yet. A simulation stays on one
    /// thread, and what the functions' futures hold need not be fit for another.
    static SPAWNED: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
}

/// Lets a task run beside the others from the next step on.
pub fn spawn(task: Task) {
    SPAWNED.with_borrow_mut(|spawned| spawned.push(task));
}

/// All tasks that have not come to their end.
pub struct Executor {
    tasks: Vec<Task>,
}

impl Executor {
    /// Without any task; those that a simulation before has left are dropped.
    pub fn afresh() -> Self {
        SPAWNED.take();
        Self { tasks: Vec::new() }
    }

    pub fn is_idle(&mut self) -> bool {
        self.tasks.append(&mut SPAWNED.take());
        self.tasks.is_empty()
    }

    /// Lets one task that chance chooses go on to its next I/O; there must be one.
    pub fn step(&mut self, rng: &mut impl FnMut(usize) -> usize) {
        let chosen = rng(self.tasks.len());
        let task = &mut self.tasks[chosen];
        if task.slowness > 1 && rng(task.slowness as usize) > 0 {
            return;
        }
        // Nobody is woken: every task is asked again until it is done.
        if let Poll::Ready(()) = task.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            self.tasks.swap_remove(chosen);
        }
    }
}

/// Gives way once. The caller's waker is called, since the functions' own joins ask only whom that
/// has been done for.
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
