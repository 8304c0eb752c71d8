//! A site over real sockets.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
};

use super::{Site, SiteReply, SiteRequest};

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
    let mut stream = TcpStream::connect(site.address).unwrap();
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
    let address = site.address;
    drop(site);
    assert!(TcpStream::connect(address).is_err());
}
