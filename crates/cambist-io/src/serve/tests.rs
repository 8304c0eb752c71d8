//! A site over real sockets.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
};

use serde_json::json;

use super::{
    Site, SiteReply, SiteRequest,
    api::{ApiAnswer, ApiReply, ApiRequest, ApiServer, events, later},
};

fn echo() -> Site {
    let answer = |asked: &SiteRequest| SiteReply {
        status: 200,
        content_type: "text/plain; charset=utf-8",
        body: format!("{} {:?}", asked.path, asked.query).into_bytes(),
    };
    Site::start(0, Arc::new(answer)).unwrap()
}

/// Sends a request by hand, so that its `Host` is what the test says.
fn ask(site: &Site, line: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(site.0.address).unwrap();
    write!(stream, "{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn a_page_is_answered_and_shut_off_from_everything_else() {
    let site = echo();
    let reply = ask(&site, "GET /api/x%20y?q=%E6%97%A5", "127.0.0.1:80").to_lowercase();
    assert!(reply.starts_with("http/1.1 200") && reply.ends_with("/api/x y [(\"q\", \"日\")]"), "{reply}");
    assert!(reply.contains("default-src 'none'") && reply.contains("nosniff") && reply.contains("no-store"), "{reply}");
}

#[test]
fn other_hosts_and_other_methods_are_refused() {
    let site = echo();
    let status = |line: &str, host: &str| ask(&site, line, host)[9..12].to_owned();
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:9"] {
        assert_eq!(status("GET /", host), "200", "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "evil.example:127", ""] {
        assert_eq!(status("GET /", host), "403", "{host}");
    }
    assert_eq!(status("POST /", "localhost"), "405");
}

#[test]
fn dropping_it_gives_the_port_back() {
    let site = echo();
    let address = site.0.address;
    drop(site);
    assert!(TcpStream::connect(address).is_err());
}

/// Answers at once, later, in events, or never.
fn server() -> ApiServer {
    let respond = |asked: &ApiRequest| {
        let answer = ApiAnswer { status: 200, body: json!({"method": asked.method, "length": asked.body.len()}) };
        match asked.path.as_str() {
            "/later" => {
                let (slot, reply) = later();
                std::thread::spawn(move || slot.fill(answer));
                reply
            }
            "/events" => {
                let (sink, reply) = events();
                std::thread::spawn(move || ["1", "[DONE]"].iter().for_each(|data| sink.send(data)));
                reply
            }
            "/never" => later().1,
            _ => ApiReply::Now(answer),
        }
    };
    ApiServer::start(([127, 0, 0, 1], 0).into(), Arc::new(respond)).unwrap()
}

fn post(server: &ApiServer, path: &str, headers: &str) -> String {
    let address = server.base_url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: 3\r\n\r\nabc");
    stream.write_all(head.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn answers_come_at_once_later_or_in_events() {
    let server = server();
    for path in ["/now", "/later"] {
        let reply = post(&server, path, "host: localhost\r\n");
        assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("application/json"), "{reply}");
        assert!(reply.ends_with(r#"{"method":"POST","length":3}"#), "{reply}");
    }
    let reply = post(&server, "/events", "host: localhost\r\n");
    assert!(reply.contains("text/event-stream") && reply.contains("data: 1\n\n"), "{reply}");
    assert!(reply.contains("data: [DONE]\n\n"), "{reply}");
    assert!(post(&server, "/never", "host: localhost\r\n").starts_with("HTTP/1.1 500"));
}

#[test]
fn pages_of_other_sites_cannot_ask() {
    let server = server();
    let status = |headers: &str| post(&server, "/now", headers)[9..12].to_owned();
    assert_eq!(status("host: evil.example\r\n"), "403");
    assert_eq!(status("host: localhost\r\norigin: https://evil.example\r\n"), "403");
    assert_eq!(status("host: localhost\r\norigin: http://localhost:3000\r\n"), "200");
}
