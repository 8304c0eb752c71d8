//! A push against a small Hub on this machine, which checks what it is sent.

#![cfg(test)]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use cambist_core::digest::Digest;
use cambist_io::hub_push::{PushError, PushTarget, push_dataset};
use serde_json::{Value, json};

const TOKEN: &str = "hf_secretsecret";

/// What the Hub has and was asked.
#[derive(Default)]
struct Hub {
    base: String,
    objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<String, BTreeMap<u64, Vec<u8>>>,
    commits: Vec<Vec<Value>>,
    routes: Vec<String>,
    /// How many calls fail before one is answered.
    n_failures: u32,
    /// Files of at least this size go in parts of this size.
    part_size: usize,
    is_there: bool,
}

type Reply = (u16, Vec<(&'static str, String)>, Value);

impl Hub {
    fn reply(&mut self, method: &str, path: &str, (auth, body): (Option<String>, Vec<u8>)) -> Reply {
        self.routes.push(format!("{method} {path}"));
        if self.n_failures > 0 {
            self.n_failures -= 1;
            return (503, vec![], json!({"error": "try later"}));
        }
        let is_stored = path.starts_with("/store/");
        assert_eq!(auth.is_some(), !is_stored, "the token goes to the Hub alone: {path}");
        if auth.is_some_and(|auth| auth != format!("Bearer {TOKEN}")) {
            return (401, vec![], json!({"error": format!("bad token {TOKEN}x")}));
        }
        let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
        match path {
            "/api/repos/create" => {
                assert_eq!(sent, json!({"type": "dataset", "organization": "me", "name": "set", "private": true}));
                (if std::mem::replace(&mut self.is_there, true) { 409 } else { 200 }, vec![], json!({"url": "x"}))
            }
            "/api/datasets/me/set/preupload/main" => {
                let mode = |file: &Value| {
                    let path = file["path"].as_str().unwrap();
                    json!({"path": path, "uploadMode": if path.ends_with(".parquet") { "lfs" } else { "regular" }})
                };
                (200, vec![], json!({"files": sent["files"].as_array().unwrap().iter().map(mode).collect::<Vec<_>>()}))
            }
            "/datasets/me/set.git/info/lfs/objects/batch" => {
                let objects: Vec<Value> = sent["objects"].as_array().unwrap().iter().map(|o| self.object(o)).collect();
                (200, vec![], json!({"transfer": "basic", "objects": objects}))
            }
            "/complete" => {
                let etags: Vec<&str> =
                    sent["parts"].as_array().unwrap().iter().map(|p| p["etag"].as_str().unwrap()).collect();
                let expected: Vec<String> = (1..=etags.len()).map(|part| format!("\"part={part}\"")).collect();
                (if etags == expected { 200 } else { 400 }, vec![], Value::Null)
            }
            "/verify" => {
                let has = self.objects.get(sent["oid"].as_str().unwrap()).map(Vec::len);
                (if has == sent["size"].as_u64().map(|n| n as usize) { 200 } else { 404 }, vec![], Value::Null)
            }
            "/api/datasets/me/set/commit/main" => {
                let lines = String::from_utf8(body).unwrap();
                self.commits.push(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect());
                (200, vec![], json!({"commitOid": "c0ffee"}))
            }
            _ if is_stored => self.keep(path, body),
            _ => (404, vec![], json!({"error": "no such route"})),
        }
    }

    fn object(&self, object: &Value) -> Value {
        let (oid, size) = (object["oid"].as_str().unwrap(), object["size"].as_u64().unwrap() as usize);
        if self.objects.contains_key(oid) {
            return json!({"oid": oid, "size": size});
        }
        let base = &self.base;
        let mut upload = json!({"href": format!("{base}/store/{oid}?sig=very-secret")});
        if self.part_size > 0 && size > self.part_size {
            upload["href"] = json!(format!("{base}/complete"));
            upload["header"] = json!({"chunk_size": self.part_size.to_string()});
            for part in 1..=size.div_ceil(self.part_size) {
                upload["header"][format!("{part:05}")] = json!(format!("{base}/store/{oid}?part={part}"));
            }
        }
        json!({"oid": oid, "size": size, "actions": {"upload": upload, "verify": {"href": format!("{base}/verify")}}})
    }

    fn keep(&mut self, path: &str, body: Vec<u8>) -> Reply {
        let (oid, query) = path.trim_start_matches("/store/").split_once('?').unwrap();
        let whole = match query.strip_prefix("part=") {
            None => body,
            Some(part) => {
                let parts = self.parts.entry(oid.to_owned()).or_default();
                parts.insert(part.parse().unwrap(), body);
                parts.values().flatten().copied().collect()
            }
        };
        if Digest::of_bytes(&whole).as_str() == oid {
            self.objects.insert(oid.to_owned(), whole);
        } else if !query.starts_with("part=") {
            return (400, vec![], json!({"error": "another digest"}));
        }
        (200, vec![("etag", format!("\"{query}\""))], Value::Null)
    }
}

fn serve(hub: Hub) -> (String, Arc<Mutex<Hub>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let hub = Arc::new(Mutex::new(Hub { base: base.clone(), ..hub }));
    let shared = hub.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let hub = shared.clone();
            std::thread::spawn(move || while answer(&stream, &hub).is_some() {});
        }
    });
    (base, hub)
}

fn answer(mut stream: &TcpStream, hub: &Mutex<Hub>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|n| *n > 0)?;
    let (mut length, mut auth) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => auth = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let (status, headers, value) = hub.lock().ok()?.reply(method, path, (auth, body));
    let text = value.to_string();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let reply = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{text}", text.len());
    stream.write_all(reply.as_bytes()).ok()
}

fn target(endpoint: &str, token: &str) -> PushTarget {
    PushTarget {
        repo: "me/set".to_owned(),
        is_private: true,
        endpoint: endpoint.to_owned(),
        token: token.to_owned(),
        summary: "a set".to_owned(),
        first_wait: Duration::from_millis(1),
    }
}

fn folder() -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("data/reward")).unwrap();
    let large: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
    let files = [("README.md", b"---\nlicense: mit\n---\n".to_vec()), ("data/reward/train.parquet", large)];
    for (name, bytes) in &files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let names = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    (folder, names)
}

#[test]
fn a_folder_becomes_one_commit_and_is_sent_once() {
    let (base, hub) = serve(Hub { n_failures: 2, ..Hub::default() });
    let (folder, names) = folder();
    let pushed = push_dataset(folder.path(), &names, &target(&base, TOKEN)).unwrap();
    assert_eq!((pushed.n_files, pushed.n_large, pushed.n_sent), (2, 1, 1));
    assert_eq!((pushed.url, pushed.commit.as_str()), (format!("{base}/datasets/me/set"), "c0ffee"));
    let again = push_dataset(folder.path(), &names, &target(&base, TOKEN)).unwrap();
    assert_eq!((again.n_large, again.n_sent), (1, 0), "the Hub has it");
    let hub = hub.lock().unwrap();
    let sha256 = Digest::of_bytes(&std::fs::read(folder.path().join(&names[1])).unwrap());
    let expected = vec![
        json!({"key": "header", "value": {"summary": "a set", "description": ""}}),
        json!({"key": "file", "value": {"path": "README.md", "encoding": "base64", "content": "LS0tCmxpY2Vuc2U6IG1pdAotLS0K"}}),
        json!({"key": "lfsFile", "value": {"path": names[1], "algo": "sha256", "oid": sha256, "size": 40_000}}),
    ];
    assert_eq!(hub.commits, [expected.clone(), expected]);
    assert!(hub.objects.contains_key(sha256.as_str()));
}

#[test]
fn large_files_go_in_parts_where_the_hub_wants_them_so() {
    let (base, hub) = serve(Hub { part_size: 7_000, ..Hub::default() });
    let (folder, names) = folder();
    assert_eq!(push_dataset(folder.path(), &names, &target(&base, TOKEN)).unwrap().n_sent, 1);
    let hub = hub.lock().unwrap();
    let whole = std::fs::read(folder.path().join(&names[1])).unwrap();
    assert_eq!(hub.objects[Digest::of_bytes(&whole).as_str()], whole);
    assert_eq!(hub.routes.iter().filter(|route| route.contains("part=")).count(), 6);
}

#[test]
fn a_refused_token_is_told_and_never_shown() {
    let (base, hub) = serve(Hub::default());
    let (folder, names) = folder();
    let error = push_dataset(folder.path(), &names, &target(&base, &format!("{TOKEN}x"))).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("status 401") && told.contains("write access") && told.contains("[key]"), "{told}");
    assert!(!format!("{error:?} {told} {:?}", target(&base, TOKEN)).contains("secretsecret"), "{told}");
    assert_eq!(hub.lock().unwrap().routes.len(), 1, "a refusal is not asked for again");
}

#[test]
fn a_hub_that_stays_down_commits_nothing() {
    let (base, hub) = serve(Hub { n_failures: 99, ..Hub::default() });
    let (folder, names) = folder();
    let error = push_dataset(folder.path(), &names, &target(&base, TOKEN)).unwrap_err();
    assert!(matches!(&error, PushError::Unreachable { reason, .. } if reason.contains("try later")), "{error}");
    assert_eq!(hub.lock().unwrap().routes.len(), 5);
    assert!(hub.lock().unwrap().commits.is_empty());
}
