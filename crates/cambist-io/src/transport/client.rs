//! One endpoint, model and role: connections, limits, counters.

use std::{
    fmt,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    AuthHeaders, Gauge, LaneOptions, Outcomes, Submit, Tempo, TransportError,
    engine::Engine,
    lane,
    lock::hold,
    pace::{Pace, ServerLoad},
    wire::Wire,
};
use crate::{
    endpoint::Endpoint,
    exchange::{Exchange, Failure, FailureClass, HttpCall},
};

/// One endpoint, model and role: connections, limits and counters that all of its lanes share.
#[derive(Clone)]
pub struct Client {
    engine: Arc<Engine>,
    shared: Arc<Shared>,
}

/// What lanes share.
pub(super) struct Shared {
    pub(super) wire: Wire,
    pub(super) pace: Mutex<Pace>,
    pub(super) tempo: Tempo,
    pub(super) retries_max: u32,
    pub(super) queued: AtomicUsize,
    keys: AuthHeaders,
    began: Instant,
    lanes: Mutex<Vec<Weak<Notify>>>,
    n_lanes: AtomicUsize,
    adapts: bool,
}

impl Client {
    pub(super) fn new(
        engine: Arc<Engine>,
        endpoint: &Endpoint,
        keys: AuthHeaders,
        tempo: Tempo,
    ) -> Result<Self, TransportError> {
        let keys = keys.with_those_of(endpoint)?;
        let wire = engine.enter(|| Wire::new(endpoint, &keys))?;
        let shared = Shared {
            wire,
            pace: Mutex::new(Pace::new(endpoint, tempo.clone())),
            tempo,
            retries_max: endpoint.retries.max,
            queued: AtomicUsize::new(0),
            keys,
            began: Instant::now(),
            lanes: Mutex::default(),
            n_lanes: AtomicUsize::new(0),
            adapts: endpoint.limits.concurrency.is_none(),
        };
        Ok(Self { engine, shared: Arc::new(shared) })
    }

    /// Opens a lane: what goes in at one end comes out settled at the other, in the order of settling.
    ///
    /// Lanes of one client share its limits. Feed and read from two threads: [`Submit::send`] waits while the queue is
    /// full, and what is settled counts as in flight in its lane until its reader, having kept it, asks for more: a killed
    /// process loses no more of a lane than could be in flight.
    pub fn lane<E: Exchange>(&self, options: LaneOptions) -> (Submit<E>, Outcomes<E>) {
        let is_first = self.shared.n_lanes.load(Ordering::Relaxed) == 0;
        if is_first && self.shared.adapts {
            self.engine.spawn(follow_metrics(Arc::downgrade(&self.shared)));
        }
        lane::open(&self.engine, &self.shared, options)
    }

    /// Lets no more than `n` requests be in flight, for servers that say how many they serve at once.
    pub fn cap_in_flight(&self, n: usize) {
        hold(&self.shared.pace).cap(n);
    }

    /// Returns what the client is doing; cheap enough for every frame of a display.
    pub fn gauge(&self) -> Gauge {
        let gauge = hold(&self.shared.pace).gauge(self.shared.now());
        Gauge { queued: self.shared.queued.load(Ordering::Relaxed), ..gauge }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("gauge", &self.gauge()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Seconds since the client was made.
    pub(super) fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Makes a failure fit for files: no key material, and where the key came from.
    pub(super) fn clean(&self, failure: &mut Failure) {
        self.keys.scrub(&mut failure.reason);
        if failure.class == FailureClass::Auth {
            self.keys.explain(failure);
        }
    }

    /// Wakes the lanes other than the one that calls, when something ended that they may wait for.
    pub(super) fn wake_others(&self) {
        if self.n_lanes.load(Ordering::Relaxed) > 1 {
            self.wake_all();
        }
    }

    /// Wakes every lane.
    pub(super) fn wake_all(&self) {
        hold(&self.lanes).iter().filter_map(Weak::upgrade).for_each(|lane| lane.notify_one());
    }

    /// Makes a lane known.
    pub(super) fn enrol(&self, wake: &Arc<Notify>) {
        let mut lanes = hold(&self.lanes);
        lanes.retain(|lane| lane.strong_count() > 0);
        lanes.push(Arc::downgrade(wake));
        self.n_lanes.store(lanes.len(), Ordering::Relaxed);
    }
}

/// Looks at the server's own numbers now and then, until the client is gone or the server turns out to tell none.
async fn follow_metrics(shared: Weak<Shared>) {
    loop {
        let Some(every) = shared.upgrade().map(|shared| shared.tempo.metrics_every) else { return };
        sleep(Duration::from_secs_f64(every.clamp(0.01, 3600.0))).await;
        let Some(shared) = shared.upgrade() else { return };
        match look(&shared).await {
            Look::Told(load) => {
                hold(&shared.pace).told(shared.now(), load);
                shared.wake_all();
            }
            Look::Nothing => return,
            Look::Later => {}
        }
    }
}

enum Look {
    Told(ServerLoad),
    Nothing,
    Later,
}

async fn look(shared: &Shared) -> Look {
    let mut alarm = std::pin::pin!(sleep(Duration::from_secs(2)));
    let reply = timeout(Duration::from_secs(2), shared.wire.send(HttpCall::get("/metrics"), &mut alarm)).await;
    match reply {
        Ok(Ok(reply)) if reply.is_success() => {
            ServerLoad::parse(&String::from_utf8_lossy(&reply.body)).map_or(Look::Nothing, Look::Told)
        }
        Ok(Ok(reply)) if reply.status < 500 && reply.status != 429 => Look::Nothing,
        _ => Look::Later,
    }
}
