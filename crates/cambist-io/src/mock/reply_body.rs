//! The bytes of a reply and when they go out.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::stats::InFlight;

/// A reply's bytes, in pieces that each wait before they go.
pub(crate) struct ReplyBody {
    pieces: VecDeque<(Duration, Bytes)>,
    pause: Option<Pin<Box<Sleep>>>,
    is_counted: bool,
    in_flight: Option<InFlight>,
}

impl ReplyBody {
    /// Returns a body that goes at once, with its length in the head.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::timed([(Duration::ZERO, bytes)], true)
    }

    /// Returns a body of pieces; its length stands in the head when `is_counted`, else it goes in chunks.
    pub(crate) fn timed(pieces: impl IntoIterator<Item = (Duration, Bytes)>, is_counted: bool) -> Self {
        let pieces = pieces.into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
        Self { pieces, pause: None, is_counted, in_flight: None }
    }

    /// Keeps the request in flight until the last piece has gone.
    pub(crate) fn holding(mut self, in_flight: InFlight) -> Self {
        if self.pieces.is_empty() {
            in_flight.settle();
        } else {
            self.in_flight = Some(in_flight);
        }
        self
    }

    /// How many bytes are left.
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    fn is_waiting(&mut self, cx: &mut Context<'_>) -> bool {
        let wait = self.pieces.front().map_or(Duration::ZERO, |(wait, _)| *wait);
        if wait.is_zero() {
            return false;
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(wait)));
        if pause.as_mut().poll(cx).is_pending() {
            return true;
        }
        self.pause = None;
        false
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        if self.is_waiting(cx) {
            return Poll::Pending;
        }
        let piece = self.pieces.pop_front();
        if self.pieces.is_empty()
            && let Some(in_flight) = self.in_flight.take()
        {
            in_flight.settle();
        }
        Poll::Ready(piece.map(|(_, bytes)| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_counted { SizeHint::with_exact(self.len() as u64) } else { SizeHint::default() }
    }
}
