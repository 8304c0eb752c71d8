//! Measures how many requests a mock server answers in a second: `mock_load [REQUESTS [IN_FLIGHT]]`.
//!
//! Client and server each have one thread. The client writes and reads bytes of HTTP without parsing more than the
//! length, so that the number is the server's.

use std::{io, time::Instant};

use cambist_io::mock::{MockOptions, MockServer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).map_while(|word| word.parse::<usize>().ok());
    let n_requests = arguments.next().unwrap_or(100_000);
    let n_in_flight = arguments.next().unwrap_or(1000);
    let server = MockServer::start(MockOptions { min_chars: 500, max_chars: 600, ..MockOptions::default() })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let start = Instant::now();
    let n_bytes = runtime.block_on(load(&server, n_requests, n_in_flight))?;
    let seconds = start.elapsed().as_secs_f64();
    report(&server, (n_requests as f64 / seconds, n_bytes / n_requests.max(1)));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the number is what the program is for")]
fn report(server: &MockServer, (per_second, n_bytes): (f64, usize)) {
    let stats = server.stats();
    println!("{per_second:.0} requests/s, {n_bytes} bytes a reply");
    println!(
        "{} answered, {} twice, {} in flight at most",
        stats.answered, stats.cells_answered_again, stats.max_in_flight
    );
}

async fn load(server: &MockServer, n_requests: usize, n_in_flight: usize) -> io::Result<usize> {
    let address = server.address();
    let clients: Vec<_> = (0..n_in_flight)
        .map(|client| {
            let own = (client..n_requests).step_by(n_in_flight);
            tokio::spawn(async move { ask(TcpStream::connect(address).await?, own).await })
        })
        .collect();
    let mut n_bytes = 0;
    for client in clients {
        n_bytes += client.await.map_err(io::Error::other)??;
    }
    Ok(n_bytes)
}

async fn ask(mut stream: TcpStream, numbers: impl Iterator<Item = usize>) -> io::Result<usize> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    let mut n_bytes = 0;
    for number in numbers {
        stream.write_all(request(number).as_bytes()).await?;
        buffer.clear();
        let length = loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(length) = whole_length(&buffer) {
                break length;
            }
        };
        while buffer.len() < length {
            stream.read_buf(&mut buffer).await?;
        }
        n_bytes += length;
    }
    Ok(n_bytes)
}

fn request(number: usize) -> String {
    let topic = "Rivers carry soil from the mountains to the sea and bend where the ground is soft. ".repeat(10);
    let body = format!(
        "{{\"model\":\"mock-lang-en\",\"temperature\":0.3,\"max_tokens\":2048,\"seed\":{number},\"messages\":\
         [{{\"role\":\"user\",\"content\":\"{topic} What is question {number} about?\"}}]}}"
    );
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: \
         {}\r\n\r\n{body}",
        body.len()
    )
}

/// The length of head and body, once the head is there.
fn whole_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    Some(head + length.trim().parse::<usize>().ok()?)
}
