//! A client that sees what a careful one would hide: bytes, errors, times.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use cambist_io::mock::{MockOptions, MockServer};
use serde_json::Value;

/// What came back of one request.
#[derive(Debug, Default)]
pub(crate) struct Got {
    /// The status; 0 when no head came.
    pub(crate) status: u16,
    /// The head's lines, in lower case.
    pub(crate) head: String,
    /// The body, chunks put together.
    pub(crate) body: Vec<u8>,
    /// How reading failed.
    pub(crate) error: Option<ErrorKind>,
    /// From asking to the first byte.
    pub(crate) first_byte: Duration,
    /// From asking to the end.
    pub(crate) whole: Duration,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Whether fewer bytes came than the head had promised.
    pub(crate) fn is_short(&self) -> bool {
        self.header("content-length").is_some_and(|length| self.body.len() < length.parse().unwrap())
    }
}

pub(crate) fn start(options: &str) -> MockServer {
    MockServer::start(serde_json::from_str::<MockOptions>(options).unwrap()).unwrap()
}

pub(crate) fn get(server: &MockServer, path: &str) -> Got {
    exchange(server, &format!("GET {path} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\n\r\n"), b"")
}

pub(crate) fn post(server: &MockServer, path: &str, body: &Value) -> Got {
    post_with(server, path, "content-type: application/json", body.to_string().as_bytes())
}

pub(crate) fn post_with(server: &MockServer, path: &str, headers: &str, body: &[u8]) -> Got {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\n{headers}\r\ncontent-length: {length}\r\n\r\n"
    );
    exchange(server, &head, body)
}

fn exchange(server: &MockServer, head: &str, body: &[u8]) -> Got {
    let start = Instant::now();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let (mut bytes, mut got) = (Vec::new(), Got::default());
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                if bytes.is_empty() {
                    got.first_byte = start.elapsed();
                }
                bytes.extend(&buffer[..n]);
            }
            Err(error) => {
                got.error = Some(error.kind());
                break;
            }
        }
    }
    got.whole = start.elapsed();
    if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        got.head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        got.status = got.head.split(' ').nth(1).unwrap().parse().unwrap();
        got.body = bytes[end + 4..].to_vec();
    }
    if got.header("transfer-encoding") == Some("chunked") {
        got.body = without_chunks(&got.body);
    }
    got
}

fn without_chunks(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        body.extend(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 4 + length..];
    }
    body
}
