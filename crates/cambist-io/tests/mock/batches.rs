//! The batch lane.

use cambist_io::mock::MockServer;
use serde_json::{Value, json};

use crate::client::{Got, get, post, post_with, start};

fn body(i: usize) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": format!("What is question {i} about?")}]})
}

fn upload(server: &MockServer, n: usize) -> String {
    let line =
        |i| json!({"custom_id": format!("cell-{i}"), "method": "POST", "url": "/v1/chat/completions", "body": body(i)});
    let lines: String = (0..n).map(|i| format!("{}\n", line(i))).collect();
    let form = format!(
        "--edge\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--edge\r\ncontent-disposition: form-data; \
         name=\"file\"; filename=\"in.jsonl\"\r\ncontent-type: application/jsonl\r\n\r\n{lines}\r\n--edge--\r\n"
    );
    let got = post_with(server, "/v1/files", "content-type: multipart/form-data; boundary=edge", form.as_bytes());
    got.json()["id"].as_str().unwrap().to_owned()
}

fn create(server: &MockServer, file: &str) -> Value {
    let body = json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h",
                      "metadata": {"sha256": "abc"}});
    post(server, "/v1/batches", &body).json()
}

fn lines(got: &Got) -> Vec<Value> {
    got.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn finished(server: &MockServer, n: usize) -> Value {
    let batch = create(server, &upload(server, n));
    assert_eq!(batch["status"], "validating");
    get(server, &format!("/v1/batches/{}", batch["id"].as_str().unwrap())).json()
}

fn output(server: &MockServer, batch: &Value, member: &str) -> Vec<Value> {
    lines(&get(server, &format!("/v1/files/{}/content", batch[member].as_str().unwrap())))
}

#[test]
fn a_batch_answers_as_the_live_lane_does() {
    let server = start(r#"{"batch_polls": 2}"#);
    let batch = finished(&server, 5);
    assert_eq!(batch["status"], "in_progress");
    let batch = get(&server, &format!("/v1/batches/{}", batch["id"].as_str().unwrap())).json();
    assert_eq!(batch["status"], "completed");
    assert_eq!(batch["request_counts"], json!({"total": 5, "completed": 5, "failed": 0}));
    let rows = output(&server, &batch, "output_file_id");
    let ids: Vec<String> = rows.iter().map(|row| row["custom_id"].as_str().unwrap().to_owned()).collect();
    assert_ne!(ids, (0..5).map(|i| format!("cell-{i}")).collect::<Vec<_>>(), "lines come in another order");
    for row in rows {
        let i: usize = row["custom_id"].as_str().unwrap().trim_start_matches("cell-").parse().unwrap();
        let live = post(&start("{}"), "/v1/chat/completions", &body(i)).json();
        assert_eq!(row["response"]["body"]["choices"], live["choices"]);
        assert_eq!(row["response"]["status_code"], 200);
    }
    let all = get(&server, "/v1/batches").json();
    assert_eq!(all["data"][0]["metadata"]["sha256"], "abc");
    assert_eq!(server.stats().cells_answered, 5);
    assert_eq!(server.stats().calls["batch"], 5);
    assert_eq!(post(&server, "/v1/batches", &json!({"input_file_id": "file-99"})).status, 404);
}

#[test]
fn batches_go_wrong() {
    let with = |fault: &str| start(&format!(r#"{{"faults": [{{"fault": {fault}}}]}}"#));
    let server = with("\"batch_expire\"");
    let batch = finished(&server, 6);
    assert_eq!(batch["status"], "expired");
    assert_eq!(output(&server, &batch, "output_file_id").len(), 3);

    let server = with("\"batch_partial\"");
    let batch = finished(&server, 6);
    assert_eq!(output(&server, &batch, "output_file_id").len(), 4);
    let failed = output(&server, &batch, "error_file_id");
    assert_eq!((failed.len(), &failed[0]["response"]["status_code"]), (2, &json!(500)));

    let server = with("\"batch_dup_line\"");
    let rows = finished(&server, 4);
    let rows = output(&server, &rows, "output_file_id");
    assert_eq!((rows.len(), &rows[0]), (5, &rows[4]));

    let server = with("\"status:400\"");
    let batch = finished(&server, 2);
    assert_eq!(batch["output_file_id"], Value::Null);
    assert_eq!(output(&server, &batch, "error_file_id").len(), 2);
    assert_eq!(server.stats().answered, 0);
}

#[test]
fn anthropic_batches() {
    let server = start("{}");
    let params = json!({"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]});
    let requests = json!({"requests": [{"custom_id": "a", "params": params}, {"custom_id": "b", "params": {}}]});
    let batch = post(&server, "/v1/messages/batches", &requests).json();
    assert_eq!(batch["processing_status"], "in_progress");
    let batch = get(&server, &format!("/v1/messages/batches/{}", batch["id"].as_str().unwrap())).json();
    assert_eq!(batch["processing_status"], "ended");
    let rows = lines(&get(&server, batch["results_url"].as_str().unwrap()));
    let types: Vec<&Value> = rows.iter().map(|row| &row["result"]["type"]).collect();
    assert_eq!(types, ["succeeded", "errored"]);
}
