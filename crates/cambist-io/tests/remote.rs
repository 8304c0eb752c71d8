//! Files on the Hub and in buckets, fetched from a server on this machine.

#![cfg(test)]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use cambist_core::digest::Digest;
use cambist_io::{
    formats::files_of,
    remote::{Places, RemoteError, Secret, fetch},
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// One request, as far as the tests look at it.
#[derive(Clone, Debug)]
struct Request {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
}

/// What the server says: a status, headers, a body, and after how many bytes it hangs up.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    hang_up_after: Option<usize>,
}

impl Reply {
    fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into(), hang_up_after: None }
    }

    fn status(status: u16) -> Self {
        Self { status, ..Self::ok("") }
    }

    /// The part of `body` that the request asks for.
    fn ranged(request: &Request, body: &[u8]) -> Self {
        let Some(range) = request.headers.get("range") else { return Self::ok(body) };
        let (start, end) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let start: usize = start.parse().unwrap();
        let end = end.parse::<usize>().map_or(body.len(), |last| (last + 1).min(body.len()));
        if start >= body.len() {
            return Self::status(416);
        }
        let part = format!("bytes {start}-{}/{}", end - 1, body.len());
        Self { status: 206, headers: vec![("content-range", part)], ..Self::ok(&body[start..end]) }
    }
}

type Answer = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// A server on loopback that answers with a function of the request and of how many came before.
struct Server {
    address: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (seen, answer): (Arc<Mutex<Vec<Request>>>, Arc<Answer>) = (Arc::default(), Arc::new(answer));
        let noted = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (noted, answer) = (noted.clone(), answer.clone());
                thread::spawn(move || serve(&stream.unwrap(), &noted, &*answer));
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, noted: &Mutex<Vec<Request>>, answer: &Answer) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let headers = lines
        .by_ref()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let request = Request { method, target, headers };
    let n_before = {
        let mut noted = noted.lock().unwrap();
        noted.push(request.clone());
        noted.len() - 1
    };
    let reply = answer(&request, n_before);
    let mut head =
        format!("HTTP/1.1 {} Said\r\nconnection: close\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let until = reply.hang_up_after.unwrap_or(reply.body.len());
    let body: &[u8] = if request.method == "HEAD" { b"" } else { &reply.body[..until] };
    let mut stream = stream;
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(b"\r\n"))
        .and_then(|()| stream.write_all(body));
}

const SMALL: &[u8] = b"{\"prompt\": \"small\"}\n";

fn large() -> Vec<u8> {
    (0..20_000).flat_map(|n| format!("{{\"prompt\": \"{n}\"}}\n").into_bytes()).collect()
}

/// A data set with two shards, one of them large, and a card; its listing comes in two pages.
fn hub(request: &Request, host: &str) -> Reply {
    let digest = Digest::of_bytes(&large());
    let first = format!(
        r#"[{{"type":"directory","path":"data","oid":"00"}},
            {{"type":"file","path":"data/a.jsonl","oid":"aa11","size":{}}},
            {{"type":"file","path":"../evil.jsonl","oid":"ee","size":1}}]"#,
        SMALL.len()
    );
    let second = format!(
        r#"[{{"type":"file","path":"data/b b.jsonl","oid":"bb22","size":130,"lfs":{{"oid":"{digest}","size":{}}}}},
            {{"type":"file","path":"README.md","oid":"cc33","size":3}}]"#,
        large().len()
    );
    let tree = format!("/api/datasets/owner/name/tree/{COMMIT}?recursive=1");
    let target = request.target.as_str();
    match target {
        "/api/datasets/owner/name/revision/main" => Reply::ok(format!(r#"{{"sha": "{COMMIT}"}}"#)),
        _ if target == tree => {
            let next = format!("<{host}{tree}&cursor=2>; rel=\"next\"");
            Reply { headers: vec![("link", next)], ..Reply::ok(first) }
        }
        _ if target == format!("{tree}&cursor=2") => Reply::ok(second),
        _ if target == format!("/datasets/owner/name/resolve/{COMMIT}/data/a.jsonl") => Reply::ranged(request, SMALL),
        _ if target == format!("/datasets/owner/name/resolve/{COMMIT}/data/b%20b.jsonl") => {
            Reply::ranged(request, &large())
        }
        _ => Reply::status(404),
    }
}

fn start_hub(change: impl Fn(&Request, usize, Reply) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request, n_before| {
        let host = format!("http://{}", request.headers["host"]);
        change(request, n_before, hub(request, &host))
    })
}

fn places(server: &Server, cache: &Path) -> Places {
    let token = Secret::new("hf_very_secret");
    Places { hub: server.address.clone(), cache: cache.to_owned(), token, is_offline: false }
}

#[test]
fn a_folder_is_fetched_once_into_the_layout_of_the_hub() {
    let server = start_hub(|_, _, reply| reply);
    let folder = tempfile::tempdir().unwrap();
    let places = places(&server, folder.path());
    let found = fetch("hf://datasets/owner/name/data", &places).unwrap();
    let repository = folder.path().join("datasets--owner--name");
    assert_eq!(found, repository.join("snapshots").join(COMMIT).join("data"));
    let files = files_of(&found).unwrap();
    assert_eq!(files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>(), [SMALL.to_vec(), large()]);
    assert_eq!(fs::read_to_string(repository.join("refs/main")).unwrap(), COMMIT);
    let blob = repository.join("blobs").join(Digest::of_bytes(&large()).as_str());
    assert_eq!(fs::canonicalize(&files[1]).unwrap(), fs::canonicalize(blob).unwrap());
    assert!(!folder.path().join("evil.jsonl").exists() && !repository.join("evil.jsonl").exists());
    assert!(server.seen().iter().all(|request| request.headers["authorization"] == "Bearer hf_very_secret"));
    let n_asked = server.seen().len();
    assert_eq!(n_asked, 5);
    let again = fetch("hf://datasets/owner/name@main/data/*.jsonl", &places).unwrap();
    assert_eq!(files_of(&again).unwrap(), files);
    assert_eq!(server.seen().len(), n_asked + 3, "the commit and the list alone");
    let offline = Places { is_offline: true, hub: "http://127.0.0.1:1".into(), ..places };
    assert_eq!(fetch("hf://datasets/owner/name/data/a.jsonl", &offline).unwrap(), files[0]);
    let missing = fetch("hf://datasets/owner/other/data", &offline).unwrap_err();
    assert!(matches!(missing, RemoteError::Offline { .. }), "{missing}");
}

#[test]
fn a_download_that_breaks_off_goes_on() {
    let server = start_hub(|request, _, reply| {
        let is_first = request.target.ends_with("b%20b.jsonl") && !request.headers.contains_key("range");
        Reply { hang_up_after: is_first.then_some(100_000), ..reply }
    });
    let folder = tempfile::tempdir().unwrap();
    let found = fetch("hf://datasets/owner/name/data/b b.jsonl", &places(&server, folder.path())).unwrap();
    assert_eq!(fs::read(found).unwrap(), large());
    let ranges: Vec<_> = server.seen().iter().filter_map(|request| request.headers.get("range").cloned()).collect();
    assert_eq!(ranges, ["bytes=100000-"]);
}

#[test]
fn servers_that_stumble_are_asked_again_and_damaged_files_are_not_kept() {
    let server = start_hub(|_, n_before, reply| if n_before == 0 { Reply::status(503) } else { reply });
    let folder = tempfile::tempdir().unwrap();
    assert!(fetch("hf://datasets/owner/name/data/a.jsonl", &places(&server, folder.path())).is_ok());
    let lying = start_hub(|request, _, mut reply| {
        if request.target.ends_with("b%20b.jsonl") {
            reply.body[7] ^= 1;
        }
        reply
    });
    let folder = tempfile::tempdir().unwrap();
    let error = fetch("hf://datasets/owner/name/data/b b.jsonl", &places(&lying, folder.path())).unwrap_err();
    assert!(matches!(error, RemoteError::Damaged { .. }), "{error}");
    let blobs = folder.path().join("datasets--owner--name/blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
}

#[test]
fn faults_say_what_to_do_and_never_the_token() {
    let server =
        start_hub(|request, _, reply| if request.target.contains("gated") { Reply::status(401) } else { reply });
    let folder = tempfile::tempdir().unwrap();
    let places = places(&server, folder.path());
    let cases = [
        ("hf://datasets/owner/gated/x.csv", "answered 401: check owner, name, revision and path"),
        ("hf://datasets/owner/name/none.csv", "found `data/a.jsonl`, `data/b b.jsonl`, `README.md`"),
        ("hf://datasets/owner", "is no address: expected `hf://datasets/OWNER/NAME"),
        #[cfg(not(feature = "s3"))]
        ("s3://bucket/key", "build it with `--features s3`"),
    ];
    for (address, expected) in cases {
        let error = fetch(address, &places).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error} {error:?} {places:?}").contains("secret"));
    }
}

#[cfg(feature = "s3")]
#[test]
fn objects_of_a_bucket_are_fetched_by_key_and_by_pattern() {
    let object = |target: &str| match target {
        "/bucket/data/a.jsonl" => Some(SMALL.to_vec()),
        "/bucket/data/b.jsonl" => Some(large()),
        _ => None,
    };
    let server = Server::start(move |request, _| {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let entry = |key: &str, size: usize| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>\"e\"</ETag><Size>{size}</Size></Contents>"
            )
        };
        match object(path) {
            _ if query.contains("list-type=2") => Reply::ok(format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated>{}{}</ListBucketResult>",
                entry("data/a.jsonl", SMALL.len()),
                entry("data/b.jsonl", large().len())
            )),
            Some(body) => {
                let mut reply = Reply::ranged(request, &body);
                let stamp = "Fri, 02 Jan 2026 03:04:05 GMT".to_owned();
                reply.headers.extend([("last-modified", stamp), ("etag", "\"e\"".to_owned())]);
                reply
            }
            None => Reply::status(404),
        }
    });
    // The one test of this feature in this process: nothing else reads these.
    for (name, value) in [
        ("AWS_ENDPOINT_URL", server.address.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "nobody"),
        ("AWS_SECRET_ACCESS_KEY", "very_secret"),
        ("AWS_REGION", "us-east-1"),
    ] {
        #[expect(unsafe_code, reason = "the environment is how buckets are configured")]
        unsafe {
            std::env::set_var(name, value);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let places = places(&server, folder.path());
    let one = fetch("s3://bucket/data/b.jsonl", &places).unwrap();
    assert_eq!(fs::read(one).unwrap(), large());
    let found = files_of(&fetch("s3://bucket/data/*.jsonl", &places).unwrap()).unwrap();
    assert_eq!(found.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>(), [SMALL.to_vec(), large()]);
    let missing = fetch("s3://bucket/none/", &places);
    assert!(missing.is_err() || files_of(&missing.unwrap()).is_ok());
    assert!(server.seen().iter().all(|request| !format!("{request:?}").contains("very_secret")));
}
