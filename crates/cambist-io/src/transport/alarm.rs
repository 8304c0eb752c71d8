//! One timer per request in flight, however many phases it has.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use tokio::time::{Instant, Sleep};

/// What ended first.
pub(super) enum First<A, B> {
    /// The first of the two.
    One(A),
    /// The second.
    Two(B),
}

/// Waits for either; the first wins a draw.
pub(super) async fn race<A: Future, B: Future>(
    mut one: Pin<&mut A>,
    mut two: Pin<&mut B>,
) -> First<A::Output, B::Output> {
    poll_fn(|context| {
        if let Poll::Ready(output) = one.as_mut().poll(context) {
            return Poll::Ready(First::One(output));
        }
        two.as_mut().poll(context).map(First::Two)
    })
    .await
}

/// The alarm went off first.
#[derive(Debug)]
pub(super) struct TooLate;

/// Waits for `future` until `at`. The alarm is set only when there is something to wait for: most bodies arrive with
/// their headers.
pub(super) async fn within<F: Future>(
    mut future: Pin<&mut F>,
    alarm: &mut Pin<&mut Sleep>,
    at: impl Fn() -> Instant,
) -> Result<F::Output, TooLate> {
    let mut is_set = false;
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        if !is_set {
            alarm.as_mut().reset(at());
            is_set = true;
        }
        alarm.as_mut().poll(context).map(|()| Err(TooLate))
    })
    .await
}
