//! The ledger with failures, other processes, damaged files and many rows.

use std::{fs, time::Instant};

use cambist_core::{completion::FinishReason, digest::Digest, fault::Fault};
use serde_json::json;

use super::*;
use crate::{canonical::canonical_json, exchange::FailureClass};

fn call(prompt_id: &str, sample: u32) -> CallRecord {
    let request = json!({"model": "tiny", "messages": [{"role": "user", "content": prompt_id}]});
    CallRecord {
        key: call_key("local:abc", &request, sample),
        language: "tr".into(),
        failure_class: None,
        reasoning: None,
        marks: Vec::new(),
        reply: None,
        origin: String::new(),
        costs_unknown: 0,
        n_maybe_charged: 0,
        endpoint: "local:abc".into(),
        teacher: "tiny-tr".into(),
        prompt_id: prompt_id.into(),
        sample,
        request: request.to_string(),
        status: CallStatus::Answered,
        text: "Çarşamba\u{2028}الأربعاء\0水曜日 🗓".into(),
        finish_reason: FinishReason::Length,
        failure: None,
        tokens_in: Some(12),
        tokens_out: None,
        cost_usd: 0.1,
        seconds: 0.25,
        attempts: 1,
        created_at_unix_ms: 1_763_710_000_123,
    }
}

fn failed(prompt_id: &str) -> CallRecord {
    let failure = Some("timeout after 30 s".into());
    CallRecord {
        status: CallStatus::Failed,
        text: String::new(),
        finish_reason: FinishReason::Error,
        failure,
        ..call(prompt_id, 0)
    }
}

fn score(value: Option<f64>) -> ScoreRecord {
    let candidate = Digest::of_bytes(b"candidate");
    ScoreRecord {
        tokens_in: Some(40),
        tokens_out: None,
        key: score_key(&candidate, "chrf-2"),
        prompt_id: "p1".into(),
        teacher: "tiny-tr".into(),
        language: "tr".into(),
        failure_class: None,
        costs_unknown: 0,
        candidate,
        arbiter: "chrf-2".into(),
        value,
        missing: value.is_none().then(|| "no reference".into()),
        cost_usd: 0.5,
        seconds: 1.0,
        attempts: 1,
        created_at_unix_ms: 5,
    }
}

#[test]
fn answers_come_back_as_they_were_in_the_order_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let calls = [call("p1", 0), call("p1", 1), call("p2", 0)];
    Ledger::open(&path).unwrap().put_calls(&calls).unwrap();
    let ledger = Ledger::open_read_only(&path).unwrap();
    let unknown = call("p3", 0);
    let keys = [&calls[2], &unknown, &calls[0], &calls[1], &calls[2]].map(|call| call.key.clone());
    let found = ledger.find_calls(&keys).unwrap();
    let expected = [Some(&calls[2]), None, Some(&calls[0]), Some(&calls[1]), Some(&calls[2])];
    assert_eq!(found.iter().map(Option::as_ref).collect::<Vec<_>>(), expected);
    assert_eq!(ledger.find_calls(&[]).unwrap(), []);
}

#[test]
fn a_paid_answer_is_never_replaced_and_a_failure_is_with_its_costs_added() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    ledger.put_calls(&[failed("p"), failed("p")]).unwrap();
    ledger.put_calls(&[call("p", 0)]).unwrap();
    let answered = CallRecord { attempts: 3, cost_usd: 0.1 + 0.1 + 0.1, seconds: 0.75, ..call("p", 0) };
    let key = [answered.key.clone()];
    assert_eq!(ledger.find_calls(&key).unwrap(), [Some(answered.clone())]);
    ledger.put_calls(&[failed("p"), CallRecord { text: "another".into(), ..call("p", 0) }]).unwrap();
    assert_eq!(ledger.find_calls(&key).unwrap(), [Some(answered)]);

    ledger.put_scores(&[score(None)]).unwrap();
    ledger.put_scores(&[score(Some(-0.0)), score(Some(1.0)), score(None)]).unwrap();
    let kept = ledger.find_scores(&[score(None).key]).unwrap().remove(0).unwrap();
    assert_eq!((kept.value, kept.missing, kept.cost_usd, kept.attempts), (Some(0.0), None, 1.0, 2));
}

#[test]
fn totals_count_answers_failures_and_money_per_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    ledger.put_calls(&[call("a", 0), call("b", 0), failed("c")]).unwrap();
    ledger.put_scores(&[score(None)]).unwrap();
    let totals = ledger.teacher_totals().unwrap();
    assert_eq!(totals.len(), 1);
    assert_eq!((totals[0].n_answered, totals[0].n_failed, totals[0].tokens_in), (2, 1, 36));
    assert!((totals[0].cost_usd - 0.3).abs() < 1e-12);
    let arbiters = ledger.arbiter_totals().unwrap();
    assert_eq!((arbiters[0].n_scored, arbiters[0].n_missing, arbiters[0].cost_usd), (0, 1, 0.5));
}

#[test]
fn numbers_that_are_none_are_refused_and_nothing_of_the_batch_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    for wrong in [f64::NAN, f64::INFINITY] {
        let error = ledger.put_scores(&[score(Some(wrong))]).unwrap_err();
        assert!(matches!(error, LedgerError::NotFinite { field: "the score", .. }), "{error}");
        let error = ledger.put_calls(&[call("p", 0), CallRecord { cost_usd: wrong, ..call("q", 0) }]).unwrap_err();
        assert_eq!(error.fault(), Fault::Us);
    }
    assert_eq!(ledger.find_calls(&[call("p", 0).key]).unwrap(), [None]);
}

#[test]
fn the_key_depends_on_the_request_the_endpoint_and_the_sample_alone() {
    let request = json!({"a": 1, "b": [1.5, null]});
    let key = call_key("e", &request, 0);
    assert_eq!(call_key("e", &json!({"b": [1.5, null], "a": 1}), 0), key);
    let text = canonical_json(&request);
    let parts = ["cambist call", "e", &text, "0"].map(str::as_bytes);
    assert_eq!(Digest::of_parts(parts), key);
    for other in [call_key("f", &request, 0), call_key("e", &request, 1), call_key("e", &json!({"a": 1}), 0)] {
        assert_ne!(other, key);
    }
}

#[test]
fn other_files_damaged_ones_and_newer_ones_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let open = || Ledger::open(&path).map(|_| ()).unwrap_err();

    fs::write(&path, "prompt,answer\n".repeat(400)).unwrap();
    assert!(matches!(open(), LedgerError::NotALedger { .. }));
    fs::remove_file(&path).unwrap();

    Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    assert!(matches!(open(), LedgerError::NotALedger { .. }));
    fs::remove_file(&path).unwrap();

    assert!(matches!(Ledger::open_read_only(&path), Err(LedgerError::Disk(DiskError::Missing { .. }))));
    drop(Ledger::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(open(), LedgerError::Schema { found: 99, supported: LEDGER_SCHEMA, .. }));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", LEDGER_SCHEMA).unwrap();

    Ledger::open(&path).unwrap().put_calls(&[call("p", 0)]).unwrap();
    Connection::open(&path).unwrap().execute("UPDATE calls SET status = 'lost'", []).unwrap();
    let error = Ledger::open(&path).unwrap().find_calls(&[call("p", 0).key]).unwrap_err();
    assert!(error.to_string().contains("found `lost`, expected `answered` or `failed`"), "{error}");
}

#[test]
fn a_ledger_of_the_first_version_is_brought_up_and_keeps_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let key = call("p", 0).key;
    let old = Connection::open(&path).unwrap();
    old.execute_batch(schema::MIGRATIONS[0]).unwrap();
    let row =
        "INSERT INTO calls VALUES (?1, 'e', 't', 'p', 0, '{}', 'answered', 'so', 'stop', NULL, 1, 2, 0.5, 1.0, 1, 5)";
    old.execute(row, [key.as_str()]).unwrap();
    old.pragma_update(None, "application_id", 0x4341_4d42).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    drop(old);
    let found = Ledger::open(&path).unwrap().find_calls(&[key]).unwrap().remove(0).unwrap();
    assert_eq!((found.text.as_str(), found.cost_usd, found.language.as_str()), ("so", 0.5, ""));
}

#[test]
fn the_history_tells_teachers_and_languages_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    let dear = CallRecord { cost_usd: 0.3, tokens_in: Some(14), ..call("p2", 0) };
    let unknown = CallRecord { costs_unknown: 1, cost_usd: 0.0, language: "ja".into(), ..call("p3", 0) };
    ledger.put_calls(&[call("p1", 0), dear, unknown, failed("p4")]).unwrap();
    let history = ledger.call_history().unwrap();
    let [ja, tr] = history.as_slice() else { panic!("{history:?}") };
    assert_eq!((ja.language.as_str(), ja.n_answered, ja.cost_usd.n, ja.costs_unknown), ("ja", 1, 0, 1));
    assert_eq!((tr.n_answered, tr.n_failed, tr.cost_usd.n, tr.failed_usd), (2, 1, 2, 0.1));
    assert!((tr.cost_usd.mean().unwrap() - 0.2).abs() < 1e-12);
    assert!((tr.cost_usd.variance().unwrap() - 0.02).abs() < 1e-12);
    assert_eq!(tr.tokens_in.mean(), Some((12.0 + 14.0 + 12.0) / 3.0));
}

#[test]
fn latencies_are_told_by_teacher_and_language_and_leave_failures_and_imports_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    let timed = |n: u32, seconds: f64| CallRecord { seconds, ..call("p", n) };
    let mut calls: Vec<CallRecord> = (0..21).map(|n| timed(n, f64::from(20 - n) + 1.0)).collect();
    calls.push(CallRecord { language: "ja".into(), ..timed(30, 0.5) });
    calls.extend([CallRecord { seconds: 90.0, ..failed("p") }, timed(31, 0.0)]);
    ledger.put_calls(&calls).unwrap();
    let latency =
        |language: &str, n, p50, p95| Latency { teacher: "tiny-tr".into(), language: language.into(), n, p50, p95 };
    assert_eq!(ledger.latencies().unwrap(), [latency("ja", 1, 0.5, 0.5), latency("tr", 21, 11.0, 20.0)]);
    assert_eq!(Ledger::nowhere().unwrap().latencies().unwrap(), []);
}

#[test]
fn outcomes_are_what_became_of_calls_without_the_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    let reply = Some(br#"{"id": "c1"}"#.repeat(50));
    let (answered, lost) = (CallRecord { reply: reply.clone(), ..call("p", 0) }, failed("q"));
    ledger.put_calls(&[answered.clone(), lost.clone()]).unwrap();
    let keys = [&lost.key, &call("r", 0).key, &answered.key].map(Clone::clone);
    let found = ledger.find_outcomes(&keys).unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    let (q, p) = (found[0].as_ref().unwrap(), found[2].as_ref().unwrap());
    assert_eq!((q.failure.as_deref(), q.finish_reason), (Some("timeout after 30 s"), FinishReason::Error));
    assert_eq!((&p.text, p.tokens_in, p.sample, p.cost_usd), (&answered.text, Some(12), 0, 0.1));
    assert_eq!(ledger.find_calls(&keys[2..]).unwrap()[0].as_ref().unwrap().reply, reply);
}

#[test]
fn the_names_of_what_is_there_leave_failures_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    ledger.put_calls(&[call("p1", 0), failed("p2"), call("p3", 0)]).unwrap();
    ledger.put_scores(&[score(None)]).unwrap();
    let keys = ledger.answered_keys().unwrap();
    assert_eq!(["p1", "p2", "p3", "p4"].map(|id| keys.contains(&call(id, 0).key)), [true, false, true, false]);
    let for_good = CallRecord { failure_class: Some(FailureClass::Overlong), ..failed("p5") };
    let for_now = CallRecord { failure_class: Some(FailureClass::Server), ..failed("p6") };
    ledger.put_calls(&[for_good, for_now]).unwrap();
    let settled = ledger.settled_keys().unwrap();
    let is_settled = |id: &str| settled.contains(&call(id, 0).key);
    assert_eq!(["p1", "p2", "p5", "p6"].map(is_settled), [true, false, true, false]);
    let elsewhere =
        |id: &str| CallRecord { endpoint: "silent".into(), failure_class: Some(FailureClass::Shape), ..failed(id) };
    ledger.put_calls(&[elsewhere("p7"), elsewhere("p8")]).unwrap();
    let is_settled = |ledger: &Ledger, id: &str| ledger.settled_keys().unwrap().contains(&call(id, 0).key);
    assert!(!is_settled(&ledger, "p7"), "an endpoint without any answer may have been mended");
    ledger.put_calls(&[CallRecord { endpoint: "silent".into(), ..call("p7", 0) }]).unwrap();
    assert!(is_settled(&ledger, "p7") && is_settled(&ledger, "p8"), "one that answered failed for good");
    assert!(ledger.scored_keys().unwrap().is_empty());
    ledger.put_scores(&[score(Some(1.5))]).unwrap();
    assert!(ledger.scored_keys().unwrap().contains(&score(None).key));
}

#[test]
fn a_ledger_on_a_full_disk_says_so_and_keeps_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    ledger.put_calls(&[call("kept", 0)]).unwrap();
    let n_pages: u32 = ledger.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    ledger.connection.pragma_update(None, "max_page_count", n_pages + 1).unwrap();
    let many: Vec<_> = (0..1000).map(|n| call(&format!("lost-{n}"), 0)).collect();
    let error = ledger.put_calls(&many).unwrap_err();
    assert!(matches!(error, LedgerError::Disk(DiskError::Full { .. })), "{error}");
    assert!(ledger.find_calls(&[call("kept", 0).key, many[0].key.clone()]).unwrap()[1].is_none());
    ledger.connection.pragma_update(None, "max_page_count", 1 << 30).unwrap();
    ledger.put_calls(&many).unwrap();
    assert!(ledger.find_calls(&[call("kept", 0).key]).unwrap()[0].is_some());
}

#[test]
fn many_answers_are_kept_and_found_in_batches() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    let calls: Vec<_> = (0..20_000).map(|n| call(&format!("p{n}"), 0)).collect();
    let keys: Vec<Digest> = calls.iter().map(|call| call.key.clone()).collect();
    let began = Instant::now();
    for batch in calls.chunks(1000) {
        ledger.put_calls(batch).unwrap();
    }
    let put_rate = 20_000.0 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    for batch in keys.chunks(1000) {
        assert!(ledger.find_calls(batch).unwrap().iter().all(Option::is_some));
    }
    let find_rate = 20_000.0 / began.elapsed().as_secs_f64();
    eprintln!("ledger: {put_rate:.0} rows written per second, {find_rate:.0} looked up per second");
}

#[test]
fn the_history_of_scores_tells_arbiters_and_languages_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    let other = |name: &str| Digest::of_bytes(name.as_bytes());
    let long = ScoreRecord { key: other("1"), tokens_in: Some(60), tokens_out: Some(7), ..score(Some(1.0)) };
    let none = ScoreRecord { key: other("2"), tokens_in: None, ..score(None) };
    let foreign = ScoreRecord { key: other("3"), arbiter: "rm".into(), language: "ja".into(), ..score(Some(2.0)) };
    ledger.put_scores(&[score(Some(0.5)), long, none, foreign]).unwrap();
    let history = ledger.score_history().unwrap();
    let [chrf, rm] = history.as_slice() else { panic!("{history:?}") };
    assert_eq!((chrf.arbiter.as_str(), chrf.language.as_str(), chrf.n_scored), ("chrf-2", "tr", 2));
    assert_eq!((chrf.tokens_in.mean(), chrf.tokens_out.mean()), (Some(50.0), Some(7.0)));
    assert_eq!((rm.arbiter.as_str(), rm.language.as_str(), rm.n_scored), ("rm", "ja", 1));
}

#[test]
fn spending_is_told_hour_by_hour() {
    const HOUR: u64 = 3_600_000;
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
    let paid = |prompt: &str, at: u64| CallRecord { created_at_unix_ms: at, ..call(prompt, 0) };
    let calls = [paid("a", 10 * HOUR + 1), paid("b", 11 * HOUR - 1), paid("c", 12 * HOUR), paid("d", 9 * HOUR)];
    ledger.put_calls(&calls).unwrap();
    let scored = ScoreRecord { cost_usd: 0.5, created_at_unix_ms: 12 * HOUR + 7, ..score(Some(1.0)) };
    ledger.put_scores(&[scored]).unwrap();
    let spent: Vec<(u64, f64)> =
        ledger.spent_since(10 * HOUR).unwrap().iter().map(|hour| (hour.begin_unix_ms / HOUR, hour.usd)).collect();
    assert_eq!(spent, [(10, 0.2), (12, 0.6)]);
    assert!(ledger.spent_since(13 * HOUR).unwrap().is_empty());
}
