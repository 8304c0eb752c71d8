//! A connection that can be cut at any byte.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// How a connection ends before its reply does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// With RST: the peer's read fails.
    Reset,
    /// With FIN: the peer reads an early end, and may go on sending.
    HalfClose,
}

/// Where a reply is cut.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Bytes that may still go, of the body once the head has gone.
    left: usize,
    /// Whether the head has gone, or is not to go at all.
    is_past_head: bool,
    cut: Cut,
}

/// What a connection's service tells its socket: where the next reply is cut, if at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Arc<Mutex<Option<Plan>>>);

impl Line {
    /// Cuts the connection before a byte of the reply has gone.
    pub(crate) fn cut_before(&self) {
        self.set(Plan { left: 0, is_past_head: true, cut: Cut::Reset });
    }

    /// Cuts the connection after the head and `bytes` bytes of the body, framing included.
    pub(crate) fn cut_after(&self, bytes: usize, cut: Cut) {
        self.set(Plan { left: bytes, is_past_head: false, cut });
    }

    fn set(&self, plan: Plan) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
    }

    fn plan(&self) -> Option<Plan> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    /// Returns how many of `bytes` may go, and the plan for those that do not.
    fn allow(self, bytes: &[u8]) -> (usize, Self) {
        let head =
            if self.is_past_head { Some(0) } else { bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4) };
        match head {
            None => (bytes.len(), self),
            Some(head) => {
                let n = bytes.len().min(head + self.left);
                (n, Self { left: self.left - (n - head), is_past_head: true, ..self })
            }
        }
    }
}

/// A TCP stream that obeys a [`Line`].
#[derive(Debug)]
pub(crate) struct CutStream {
    stream: TcpStream,
    line: Line,
    is_shut: bool,
}

impl CutStream {
    /// Wraps a stream.
    pub(crate) fn new(stream: TcpStream, line: Line) -> Self {
        Self { stream, line, is_shut: false }
    }

    fn cut(&mut self, cut: Cut, unsent: usize) -> io::Result<usize> {
        match cut {
            Cut::Reset => {
                // Closing a socket that lingers for no time at all sends RST and forgets what is not yet sent.
                SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Cut::HalfClose => {
                if !self.is_shut {
                    SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write)?;
                    self.is_shut = true;
                }
                Ok(unsent)
            }
        }
    }
}

impl AsyncRead for CutStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(plan) = self.line.plan() else {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        };
        if plan.is_past_head && plan.left == 0 {
            return Poll::Ready(self.cut(plan.cut, bytes.len()));
        }
        let (allowed, rest) = plan.allow(bytes);
        let written = Pin::new(&mut self.stream).poll_write(cx, &bytes[..allowed]);
        if let Poll::Ready(Ok(n)) = written {
            // A short write leaves the plan for the bytes that went.
            self.line.set(if n == allowed { rest } else { plan.allow(&bytes[..n]).1 });
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A reply that ends exactly at the cut is cut all the same.
        if let Some(Plan { left: 0, is_past_head: true, cut }) = self.line.plan() {
            self.cut(cut, 0)?;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_shut { Poll::Ready(Ok(())) } else { Pin::new(&mut self.stream).poll_shutdown(cx) }
    }
}
