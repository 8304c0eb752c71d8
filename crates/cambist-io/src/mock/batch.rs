//! Batches of requests in files, as OpenAI and Anthropic take them.

mod multipart;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    asked::Asked,
    draw::Draw,
    fault::{ErrorShape, Fault},
    reply::{Content, Problem, Reply},
    turn::CREATED,
};

/// Files and batches, in the order of their making.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    files: BTreeMap<String, Bytes>,
    batches: Vec<Batch>,
}

#[derive(Debug)]
struct Batch {
    id: String,
    is_anthropic: bool,
    input: Value,
    endpoint: Value,
    metadata: Value,
    polls: u32,
    fault: Option<Fault>,
    counts: [usize; 3],
    output: Option<String>,
    errors: Option<String>,
}

/// Answers one line of a batch.
pub(crate) type AnswerLine<'a> = &'a dyn Fn(Asked) -> Reply;

/// One request of the batch lane.
pub(crate) struct BatchCall<'a> {
    /// The request.
    pub(crate) asked: &'a Asked,
    /// Whether it is a `POST`.
    pub(crate) is_post: bool,
    /// Its `content-type`.
    pub(crate) content_type: &'a str,
    /// After how many polls a batch is finished.
    pub(crate) polls: u32,
    /// The fault that strikes a batch that is made now.
    pub(crate) fault: Option<Fault>,
}

/// Whether a path belongs to the batch lane.
pub(crate) fn covers(path: &str) -> bool {
    ["/v1/files", "/v1/batches", "/v1/messages/batches"].iter().any(|start| path.starts_with(start))
}

impl Shelf {
    /// Returns the reply to a request of the batch lane.
    pub(crate) fn reply(&mut self, call: &BatchCall<'_>, answer: AnswerLine<'_>) -> Reply {
        let parts: Vec<&str> = call.asked.path.trim_matches('/').split('/').skip(1).collect();
        match (call.is_post, parts.as_slice()) {
            (true, ["files"]) => self.upload(call),
            (false, ["files", id, "content"]) => self.content(id),
            (false, ["files", id]) => self.file(id),
            (true, ["batches"]) => self.create(call, answer),
            (false, ["batches"]) => {
                Reply::json(json!({"object": "list", "data": self.all(call.polls), "has_more": false}))
            }
            (false, ["batches", id]) => self.poll(id, call.polls),
            (true, ["batches", id, "cancel"]) => self.poll(id, u32::MAX),
            (true, ["messages", "batches"]) => self.create_anthropic(call, answer),
            (false, ["messages", "batches", id]) => self.poll(id, call.polls),
            (false, ["messages", "batches", id, "results"]) => self.results(id),
            _ => missing(&call.asked.path),
        }
    }

    fn keep(&mut self, bytes: Bytes) -> String {
        let id = format!("file-{}", self.files.len() + 1);
        self.files.insert(id.clone(), bytes);
        id
    }

    fn upload(&mut self, call: &BatchCall<'_>) -> Reply {
        match multipart::file(call.content_type, &call.asked.raw) {
            Some(bytes) => {
                let id = self.keep(bytes);
                self.file(&id)
            }
            None => {
                let problem =
                    Problem::new("invalid_request_error", "expected `multipart/form-data` with a part `file`");
                Reply::error(400, problem, ErrorShape::Openai)
            }
        }
    }

    fn file(&self, id: &str) -> Reply {
        let Some(bytes) = self.files.get(id) else { return missing(id) };
        Reply::json(json!({
            "id": id, "object": "file", "bytes": bytes.len(), "created_at": CREATED, "filename": "batch.jsonl",
            "purpose": "batch", "status": "processed",
        }))
    }

    fn content(&self, id: &str) -> Reply {
        let Some(bytes) = self.files.get(id) else { return missing(id) };
        Reply { content_type: "application/octet-stream", ..Reply::text(String::from_utf8_lossy(bytes)) }
    }

    fn create(&mut self, call: &BatchCall<'_>, answer: AnswerLine<'_>) -> Reply {
        let body = &call.asked.body;
        let Some(input) = self.files.get(call.asked.text("input_file_id")).cloned() else {
            return missing(call.asked.text("input_file_id"));
        };
        let lines = String::from_utf8_lossy(&input);
        let requests: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let done = run(&requests, call.fault, |line| answer_line(line, answer));
        let counts = [requests.len(), done.output.len(), done.errors.len()];
        let output = done.output.concat();
        let errors = done.errors.concat();
        let id = format!("batch_{}", self.batches.len() + 1);
        let batch = Batch {
            id: id.clone(),
            is_anthropic: false,
            input: body["input_file_id"].clone(),
            endpoint: body["endpoint"].clone(),
            metadata: body["metadata"].clone(),
            polls: 0,
            fault: call.fault,
            counts,
            output: (!output.is_empty()).then(|| self.keep(output.into())),
            errors: (!errors.is_empty()).then(|| self.keep(errors.into())),
        };
        self.batches.push(batch);
        self.batches.last().map_or_else(|| missing(&id), |batch| Reply::json(batch.show(u32::MAX)))
    }

    fn create_anthropic(&mut self, call: &BatchCall<'_>, answer: AnswerLine<'_>) -> Reply {
        let requests = call.asked.body["requests"].as_array().cloned().unwrap_or_default();
        let done = run(&requests, call.fault, |line| answer_anthropic(line, answer));
        let counts = [requests.len(), done.output.len(), done.errors.len()];
        let output = self.keep([done.output, done.errors].concat().concat().into());
        let id = format!("msgbatch_{}", self.batches.len() + 1);
        let batch = Batch {
            id: id.clone(),
            is_anthropic: true,
            input: Value::Null,
            endpoint: Value::Null,
            metadata: Value::Null,
            polls: 0,
            fault: call.fault,
            counts,
            output: Some(output),
            errors: None,
        };
        let shown = batch.show(u32::MAX);
        self.batches.push(batch);
        Reply::json(shown)
    }

    fn poll(&mut self, id: &str, polls: u32) -> Reply {
        match self.batches.iter_mut().find(|batch| batch.id == id) {
            Some(batch) => {
                batch.polls = batch.polls.saturating_add(1);
                Reply::json(batch.show(polls))
            }
            None => missing(id),
        }
    }

    fn all(&self, polls: u32) -> Vec<Value> {
        self.batches.iter().filter(|batch| !batch.is_anthropic).map(|batch| batch.show(polls)).collect()
    }

    fn results(&self, id: &str) -> Reply {
        let file = self.batches.iter().find(|batch| batch.id == id).and_then(|batch| batch.output.as_ref());
        file.map_or_else(|| missing(id), |file| self.content(file))
    }
}

impl Batch {
    fn show(&self, polls: u32) -> Value {
        let is_done = self.polls >= polls;
        let [total, completed, failed] = if is_done { self.counts } else { [self.counts[0], 0, 0] };
        if self.is_anthropic {
            return json!({
                "id": self.id, "type": "message_batch", "processing_status": if is_done { "ended" } else { "in_progress" },
                "request_counts": {"processing": total - completed - failed, "succeeded": completed, "errored": failed,
                                   "canceled": 0, "expired": 0},
                "results_url": is_done.then(|| format!("/v1/messages/batches/{}/results", self.id)),
            });
        }
        let end = if self.fault == Some(Fault::BatchExpire) { "expired" } else { "completed" };
        let status = match (is_done, self.polls) {
            (true, _) => end,
            (false, 0) => "validating",
            (false, _) => "in_progress",
        };
        let when_done = |file: &Option<String>| file.clone().filter(|_| is_done);
        json!({
            "id": self.id, "object": "batch", "endpoint": self.endpoint, "input_file_id": self.input,
            "completion_window": "24h", "status": status, "output_file_id": when_done(&self.output),
            "error_file_id": when_done(&self.errors), "created_at": CREATED, "metadata": self.metadata,
            "request_counts": {"total": total, "completed": completed, "failed": failed},
        })
    }
}

struct Done {
    output: Vec<String>,
    errors: Vec<String>,
}

/// Answers lines, in an order of its own; each comes out as a line and whether it is a success.
fn run(requests: &[Value], fault: Option<Fault>, answer: impl Fn(&Value) -> (bool, Value)) -> Done {
    let mut done = Done { output: Vec::new(), errors: Vec::new() };
    let n = if fault == Some(Fault::BatchExpire) { requests.len() / 2 } else { requests.len() };
    for (place, request) in requests[..n].iter().enumerate() {
        let is_failed = fault == Some(Fault::BatchPartial) && place % 3 == 2;
        let (is_success, line) = if is_failed { (false, failed_line(request)) } else { answer(request) };
        if is_success { &mut done.output } else { &mut done.errors }.push(format!("{line}\n"));
    }
    done.output.sort_by_cached_key(|line| Draw::new(90).with_text(line).bits());
    if fault == Some(Fault::BatchDupLine) {
        done.output.extend(done.output.first().cloned());
    }
    done
}

fn failed_line(request: &Value) -> Value {
    let body = json!({"error": {"message": "the server gave up on this line", "type": "server_error"}});
    json!({"id": "batch_req_failed", "custom_id": request["custom_id"], "error": null,
           "response": {"status_code": 500, "request_id": "", "body": body}})
}

fn answer_line(request: &Value, answer: AnswerLine<'_>) -> (bool, Value) {
    let path = request["url"].as_str().unwrap_or_default();
    let reply = answer(Asked::new(path, "", Bytes::new(), request["body"].clone()));
    let line = json!({
        "id": format!("batch_req_{:016x}", Draw::new(91).with_json(&request["custom_id"]).bits()),
        "custom_id": request["custom_id"], "error": null,
        "response": {"status_code": reply.status, "request_id": "", "body": body_of(&reply)},
    });
    (reply.status == 200, line)
}

fn answer_anthropic(request: &Value, answer: AnswerLine<'_>) -> (bool, Value) {
    let reply = answer(Asked::new("/v1/messages", "", Bytes::new(), request["params"].clone()));
    let result = match reply.status {
        200 => json!({"type": "succeeded", "message": body_of(&reply)}),
        _ => json!({"type": "errored", "error": body_of(&reply)}),
    };
    (reply.status == 200, json!({"custom_id": request["custom_id"], "result": result}))
}

fn body_of(reply: &Reply) -> Value {
    match &reply.content {
        Content::Json(value) | Content::Events { whole: value, .. } => value.clone(),
        Content::Text(text) => json!(text),
    }
}

fn missing(what: &str) -> Reply {
    let message = format!("there is no `{what}` here");
    Reply::error(404, Problem::new("not_found_error", &message), ErrorShape::Openai)
}
