//! Sockets and connections: what a site of pages and a server of answers have in common.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::{
    Request, Response,
    body::Incoming,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, runtime, sync::oneshot};

/// A reply whose bytes may still be in the making.
pub(super) type Reply = Response<BoxBody<Bytes, Infallible>>;

/// Makes the reply to a request.
pub(super) type Service = Arc<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;

/// A socket that is listened to on a thread of its own; it is closed when dropped.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Listener {
    /// Starts to listen at `address`, port 0 for any free one; it listens when this returns.
    pub(super) fn start(address: SocketAddr, service: Service) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        // One thread for the sockets; replies, which may read files, are made on others.
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, told) = oneshot::channel();
        let serve = move || {
            runtime.block_on(serve_until(listener, service, told));
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("serve".to_owned()).spawn(serve)?;
        Ok(Self { address, stop: Mutex::new(Some(stop)), thread: Mutex::new(Some(thread)) })
    }

    /// Returns when nobody listens any more, which only its end or the end of its thread brings about.
    pub(super) fn wait(&self) {
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It may have ended by itself, and then nobody listens.
            let _ = stop.send(());
        }
        self.wait();
    }
}

async fn serve_until(listener: std::net::TcpListener, service: Service, told: oneshot::Receiver<()>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let accepting = tokio::spawn(accept(listener, service));
    // An error means that the listener was dropped, which stops it just as well.
    let _ = told.await;
    accepting.abort();
}

async fn accept(listener: TcpListener, service: Service) {
    loop {
        // What goes wrong with one connection is no reason to refuse the next.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let service = Arc::clone(&service);
        let reply = service_fn(move |request| {
            let reply = service(request);
            async move { Ok::<_, Infallible>(reply.await) }
        });
        tokio::spawn(async move {
            // A connection that the other side broke off has said all it has to say.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), reply).await;
        });
    }
}

/// Whether a header of a request names this machine to itself, with any port: `Host` as it is, `Origin` after its scheme.
pub(super) fn is_local(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let host = host.strip_prefix("http://").or_else(|| host.strip_prefix("https://")).unwrap_or(host);
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]"
}

/// Puts a header whose value is known in advance.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

/// Puts what keeps browsers from storing and guessing.
pub(super) fn put_caution(headers: &mut HeaderMap) {
    put(headers, header::CACHE_CONTROL, "no-store");
    put(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
}
