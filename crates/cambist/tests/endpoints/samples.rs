//! Several answers to one prompt: one call where the server gives them, as many cells of the ledger either way.

use std::collections::{BTreeMap, BTreeSet};

use cambist_io::mock::MockServer;
use serde_json::{Value, json};

use super::pool::{Pool, mock, n_stored, said};

const CHAT: &str = "/v1/chat/completions";

/// One teacher that is asked for `n` answers to each of twelve prompts; `request` says how.
fn recipe(server: &MockServer, n: u32, request: &str) -> String {
    let base_url = server.base_url();
    format!(
        "name: many\npool:\n- {{id: alpha, license: MIT, price: {{input: 100, output: 300}}, request: {{{request}}}, \
           endpoint: {{base_url: \"{base_url}\", model: alpha}}}}\n\
         steps:\n- id: prompts\n  prompts: {{polyglot: {{sources: 6}}, languages: [ja, tr]}}\n\
         - id: answers\n  generate: {{prompts: prompts, router: {{all-bon: {{samples: {n}}}}}, sampling: {{max_new_tokens: 64}}}}\n"
    )
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq)]
struct Call {
    sample: u32,
    text: String,
    tokens: (u32, u32),
    cost_usd: f64,
    marks: String,
    has_reply: bool,
}

/// The answers of the ledger by their names.
fn calls(pool: &Pool) -> BTreeMap<String, Call> {
    let ledger = rusqlite::Connection::open(pool.path("store/ledger.sqlite")).unwrap();
    let sql = "SELECT key, sample, text, tokens_in, tokens_out, cost_usd, marks, reply IS NOT NULL FROM calls
               WHERE status = 'answered'";
    let mut select = ledger.prepare(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        let call = Call {
            sample: row.get(1)?,
            text: row.get(2)?,
            tokens: (row.get(3)?, row.get(4)?),
            cost_usd: row.get(5)?,
            marks: row.get(6)?,
            has_reply: row.get(7)?,
        };
        Ok((row.get(0)?, call))
    };
    select.query_map([], row).unwrap().map(Result::unwrap).collect()
}

fn run(pool: &Pool) {
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
}

fn n_chats(server: &MockServer) -> u64 {
    server.stats().calls.get(CHAT).copied().unwrap_or(0)
}

#[test]
fn one_call_gives_all_and_the_cells_are_those_of_single_calls() {
    let (together, apart) = (mock(json!({})), mock(json!({})));
    let (native, single) = (Pool::new(&recipe(&together, 3, "")), Pool::new(&recipe(&apart, 3, "n: loop")));
    run(&native);
    run(&single);
    assert_eq!((n_chats(&together), n_chats(&apart)), (12, 36));
    let (native, single) = (calls(&native), calls(&single));
    assert_eq!(native.len(), 36);
    assert_eq!(native.keys().collect::<Vec<_>>(), single.keys().collect::<Vec<_>>(), "the same names");
    // The first answer has the seed that it would have alone; the others are others.
    for (key, call) in &native {
        assert_eq!(call.text == single[key].text, call.sample == 0, "{call:?}");
        assert!(call.marks.contains(&format!("choice:{}/3", call.sample + 1)), "{call:?}");
        assert_eq!(call.has_reply, call.sample == 0);
    }
    let texts: BTreeSet<&str> = native.values().map(|call| call.text.as_str()).collect();
    assert_eq!(texts.len(), 36);
    let sum = |calls: &BTreeMap<String, Call>, of: fn(&Call) -> u32| -> u32 { calls.values().map(of).sum() };
    let (input, output) = (sum(&native, |call| call.tokens.0), sum(&native, |call| call.tokens.1));
    assert_eq!(3 * input, sum(&single, |call| call.tokens.0), "a prompt is paid for once in a call");
    let cost: f64 = native.values().map(|call| call.cost_usd).sum();
    let paid = f64::from(input).mul_add(100.0, f64::from(output) * 300.0) / 1e6;
    assert!((cost - paid).abs() < 1e-9, "{cost} {paid}");
    assert!(native.values().all(|call| call.tokens.1 > 0 && call.cost_usd > 0.0));
}

#[test]
fn more_samples_ask_for_the_new_ones_alone() {
    let server = mock(json!({}));
    let pool = Pool::new(&recipe(&server, 4, "n: native"));
    run(&pool);
    let before = calls(&pool);
    assert_eq!((n_chats(&server), before.len()), (12, 48));
    std::fs::write(pool.path("recipe.yaml"), recipe(&server, 8, "n: native")).unwrap();
    run(&pool);
    let after = calls(&pool);
    assert_eq!((n_chats(&server), after.len()), (24, 96));
    assert!(before.iter().all(|(key, call)| after[key] == *call), "what was there stays");
    let new = after.iter().filter(|(key, _)| !before.contains_key(*key)).map(|(_, call)| call);
    assert!(new.into_iter().all(|call| call.sample >= 4 && call.marks.contains("/4")));
    assert_eq!(server.stats().cells_answered_again, 0);
    // Fewer ask for nothing.
    std::fs::write(pool.path("recipe.yaml"), recipe(&server, 2, "n: native")).unwrap();
    run(&pool);
    assert_eq!(n_chats(&server), 24);
}

#[test]
fn what_a_reply_lacks_is_asked_for_by_itself() {
    let rule = |fault: &str| json!({ "faults": [{ "fault": fault, "match": {"contains": "\"n\":3"}, "attempts": 1 }] });
    // An answer less, nothing at all twice, and answers that say the same place.
    for (fault, n_calls) in [("fewer_n", 24), ("dup_index", 12)] {
        let server = mock(rule(fault));
        let pool = Pool::new(&recipe(&server, 3, "n: native"));
        run(&pool);
        let calls = calls(&pool);
        assert_eq!((calls.len(), n_chats(&server)), (36, n_calls), "{fault}");
        assert_eq!(server.stats().cells_answered_again, 0, "{fault}");
        let n_single = calls.values().filter(|call| !call.marks.contains("choice:")).count();
        assert_eq!(n_single, if fault == "fewer_n" { 12 } else { 0 });
        assert_eq!(
            calls.values().filter(|call| call.marks.contains("duplicate_index")).count(),
            36 - 36 * n_single / 12
        );
    }
}

#[test]
fn a_server_that_does_not_give_several_is_asked_one_by_one() {
    // It refuses; it gives one answer, whatever was asked for. The calls in flight find out.
    let refuses = json!({ "fault": "status:400", "match": {"contains": "\"n\":2"} });
    let ignores = json!({ "fault": "fewer_n", "match": {"contains": "\"n\":2"} });
    for (rule, most_lost) in [(refuses, 24), (ignores, 24)] {
        let server = mock(json!({ "faults": [rule] }));
        let pool = Pool::new(&recipe(&server, 2, "n: native"));
        run(&pool);
        let calls = calls(&pool);
        assert_eq!(calls.len(), 24, "{rule}");
        assert!(n_chats(&server) <= 24 + most_lost, "{rule}");
        assert_eq!(server.stats().cells_answered_again, 0, "{rule}");
    }
}

#[test]
fn a_trial_that_shows_one_answer_keeps_calls_single() {
    let one: Value = json!({ "fault": "fewer_n", "match": {"probe": true, "contains": "\"n\":2"} });
    let server = mock(json!({ "faults": [one] }));
    let pool = Pool::new(&recipe(&server, 2, ""));
    run(&pool);
    assert_eq!((calls(&pool).len(), n_chats(&server)), (24, 24));
    let unasked = mock(json!({}));
    let pool = Pool::new(&recipe(&unasked, 2, ""));
    let output = pool.cambist(&["run", "recipe.yaml", "--quiet", "--store", "store", "--capabilities", "never"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!((calls(&pool).len(), n_chats(&unasked)), (24, 24), "what nobody knows is not relied on");
}

#[test]
fn answers_of_one_reply_are_kept_together_or_not_at_all() {
    let behaviour = || json!({ "latency": {"fixed_ms": 4} });
    let text = |server: &MockServer| recipe(server, 3, "n: native").replace("sources: 6", "sources: 60");
    let calm = mock(behaviour());
    let undisturbed = Pool::new(&text(&calm));
    run(&undisturbed);
    let server = mock(behaviour());
    let pool = Pool::new(&text(&server));
    for wait_ms in [90, 140, 190, 240] {
        let mut child = pool.start("store");
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(n_stored(&pool.path("store")) % 3, 0, "a reply was kept in part");
    }
    run(&pool);
    assert_eq!(calls(&pool), calls(&undisturbed));
}
