//! A server that misbehaves on request: raw sockets, one thread a connection.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// What is done with a request.
#[derive(Clone, Debug)]
pub(crate) enum Play {
    /// A JSON answer that repeats the question.
    Answer,
    /// The same, after some milliseconds.
    Slow(u64),
    /// A status with a header line and a body.
    Status(u16, &'static str, &'static str),
    /// The connection is reset before any byte.
    ResetBefore,
    /// The connection is reset after half of the body.
    ResetMid,
    /// The connection ends properly, but before the announced length.
    Truncated,
    /// Bytes drip, one in this many milliseconds.
    Drip(u64),
}

/// A request, as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The question.
    pub(crate) question: String,
    /// Which request it is, from 0.
    pub(crate) number: usize,
    /// How often this question was asked, from 1.
    pub(crate) attempt: usize,
    /// Requests in flight, this one among them.
    pub(crate) in_flight: usize,
}

#[derive(Debug, Default)]
struct Seen {
    attempts: Mutex<BTreeMap<String, usize>>,
    n_requests: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

/// A running server; its threads end with the process.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

impl Server {
    pub(crate) fn start(play: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (play, also_seen) = (Arc::new(play), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (play, seen) = (Arc::clone(&play), Arc::clone(&also_seen));
                thread::spawn(move || drop(serve(stream, &*play, &seen)));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn n_requests(&self) -> usize {
        self.seen.n_requests.load(Ordering::SeqCst)
    }

    pub(crate) fn most_in_flight(&self) -> usize {
        self.seen.most_in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, play: &dyn Fn(&Asked) -> Play, seen: &Seen) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let Some((head, question)) = request(&mut reader)? else { return Ok(()) };
        seen.heads.lock().unwrap().push(head);
        let in_flight = seen.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
        let attempt = {
            let mut attempts = seen.attempts.lock().unwrap();
            let attempt = attempts.entry(question.clone()).or_default();
            *attempt += 1;
            *attempt
        };
        let number = seen.n_requests.fetch_add(1, Ordering::SeqCst);
        let asked = Asked { question, number, attempt, in_flight };
        let goes_on = answer(&stream, &play(&asked), &asked, seen);
        if !goes_on? {
            return Ok(());
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<(String, String)>> {
    let (mut head, mut n_bytes) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if let Some(length) = line.to_lowercase().strip_prefix("content-length:") {
            n_bytes = length.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; n_bytes];
    reader.read_exact(&mut body)?;
    Ok(Some((head, String::from_utf8(body).unwrap())))
}

/// Answers; returns whether the connection stays open. What is no longer in flight is told before the last byte.
fn answer(mut stream: &TcpStream, play: &Play, asked: &Asked, seen: &Seen) -> std::io::Result<bool> {
    let body = format!("{{\"answer\":{},\"padding\":\"{}\"}}", asked.question, "x".repeat(200));
    let head = |length: usize| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
    };
    let whole = head(body.len()) + &body;
    if let Play::Slow(milliseconds) = play {
        thread::sleep(Duration::from_millis(*milliseconds));
    }
    if let Play::Drip(milliseconds) = play {
        for byte in whole.as_bytes() {
            thread::sleep(Duration::from_millis(*milliseconds));
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
        }
    }
    seen.in_flight.fetch_sub(1, Ordering::SeqCst);
    match play {
        Play::Answer | Play::Slow(_) => stream.write_all(whole.as_bytes()).map(|()| true),
        Play::Status(status, header, body) => {
            let length = body.len();
            let reply = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{header}\r\n\r\n{body}");
            // An empty header line would end the head early.
            stream.write_all(reply.replace("\r\n\r\n\r\n", "\r\n\r\n").as_bytes()).map(|()| true)
        }
        Play::ResetBefore => reset(stream),
        Play::ResetMid => {
            stream.write_all(&whole.as_bytes()[..whole.len() - 100])?;
            // The bytes have to be read before the reset, or they are lost with it.
            thread::sleep(Duration::from_millis(5));
            reset(stream)
        }
        Play::Truncated => stream.write_all(&whole.as_bytes()[..whole.len() - 100]).map(|()| false),
        Play::Drip(_) => Ok(true),
    }
}

fn reset(stream: &TcpStream) -> std::io::Result<bool> {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
    Ok(false)
}
