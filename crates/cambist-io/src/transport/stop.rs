//! How a run tells its lanes to end early.

use std::sync::Arc;

use tokio::sync::watch;

/// Ends lanes early, in two levels; clones are one signal.
#[derive(Clone, Debug)]
pub struct StopSignal {
    level: Arc<watch::Sender<Level>>,
}

/// How urgent it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Not at all.
    #[default]
    Run,
    /// Nothing new is sent.
    Drain,
    /// Nothing is waited for.
    Abandon,
}

impl StopSignal {
    /// Returns a signal that nobody has given yet.
    pub fn new() -> Self {
        Self { level: Arc::new(watch::Sender::new(Level::Run)) }
    }

    /// Lets nothing new be sent; what is in flight may finish for up to 120 s.
    pub fn drain(&self) {
        self.raise(Level::Drain);
    }

    /// Drops what is in flight too.
    pub fn abandon(&self) {
        self.raise(Level::Abandon);
    }

    /// Whether it was given, at either level.
    pub fn is_given(&self) -> bool {
        *self.level.borrow() > Level::Run
    }

    /// Follows the level.
    pub(super) fn follow(&self) -> watch::Receiver<Level> {
        self.level.subscribe()
    }

    fn raise(&self, to: Level) {
        self.level.send_if_modified(|level| {
            let is_more = to > *level;
            *level = to.max(*level);
            is_more
        });
    }
}

impl Default for StopSignal {
    fn default() -> Self {
        Self::new()
    }
}
