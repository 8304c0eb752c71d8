//! `cambist serve` from its start to Ctrl-C.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::world::World;

fn model() -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cambist-model/tests/golden/tied");
    folder.display().to_string()
}

#[test]
fn it_answers_until_it_is_stopped() {
    let world = World::new();
    let args = ["serve", &model(), "--port", "0", "--name", "tiny", "--json", "--threads", "1"];
    let mut child = world.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut told = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut told).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["model"].as_str(), told["max_model_len"].as_u64()), (Some("tiny"), Some(128)));
    let address =
        told["url"].as_str().unwrap().strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    let body = r#"{"model": "tiny", "prompt": "a", "max_tokens": 3, "temperature": 0}"#;
    let head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains(r#""object":"text_completion""#), "{reply}");
    // The same port again is taken.
    let port = address.rsplit_once(':').unwrap().1;
    let second = world.run(&["serve", &model(), "--port", port]);
    assert!(second.code == 3 && second.err.contains("choose another --port"), "{}", second.err);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_folder_that_is_no_model_is_your_fault() {
    let world = World::new();
    let told = world.run(&["serve", "nowhere"]);
    assert!(told.code == 2 && told.err.contains("nowhere"), "{}", told.err);
}
