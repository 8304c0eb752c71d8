//! The threads that connections live on.

use std::{future::Future, thread};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};

use super::TransportError;

/// Threads that end when it is dropped.
#[derive(Debug)]
pub(super) struct Engine {
    handle: Handle,
    // Dropping the sender ends the thread's only task; the thread is not waited for, because the last owner may
    // be dropped on it.
    _life: oneshot::Sender<()>,
}

impl Engine {
    /// Starts them.
    pub(super) fn start(n_threads: usize) -> Result<Self, TransportError> {
        let runtime = build(n_threads).map_err(|source| TransportError::Threads { source })?;
        let handle = runtime.handle().clone();
        let (life, ended) = oneshot::channel();
        thread::Builder::new()
            .name("cambist-network".to_owned())
            .spawn(move || {
                // An error says that the sender is gone, which is what is waited for.
                let _ = runtime.block_on(ended);
                runtime.shutdown_background();
            })
            .map_err(|source| TransportError::Threads { source })?;
        Ok(Self { handle, _life: life })
    }

    /// Runs a task on them.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(task));
    }

    /// Lets `make` build what belongs to them.
    pub(super) fn enter<T>(&self, make: impl FnOnce() -> T) -> T {
        let _inside = self.handle.enter();
        make()
    }
}

/// One thread needs no work stealing, and is quicker without.
fn build(n_threads: usize) -> std::io::Result<Runtime> {
    if n_threads <= 1 {
        return Builder::new_current_thread().enable_io().enable_time().build();
    }
    let n_more = n_threads;
    Builder::new_multi_thread().worker_threads(n_more).thread_name("cambist-network").enable_io().enable_time().build()
}
