//! Replies of every reward dialect.

use cambist_io::{
    dialect::reward::{
        RewardDialect, RewardDialectError, RewardOptions, StepReduction,
        decode::{NoReward, decode_rewards},
    },
    exchange::{Failure, FailureClass},
};
use serde_json::{Value, json};

use super::{raw, reply};

type Rewards = Result<Vec<Result<f64, NoReward>>, Failure>;

fn read(dialect: RewardDialect, n: usize, body: &Value) -> Rewards {
    decode_rewards(dialect, &RewardOptions::default(), n, &reply(200, body))
}

/// A reply of each dialect with these two rewards, out of order where the dialect has indices.
fn two(dialect: RewardDialect, first: &Value, second: &Value) -> Option<Value> {
    let entries = |member: &str, wrap: fn(&Value) -> Value| json!({"data": [{"index": 1, member: wrap(second)}, {"index": 0, member: wrap(first)}]});
    let list: fn(&Value) -> Value = |value| json!([value]);
    let alone: fn(&Value) -> Value = Clone::clone;
    Some(match dialect {
        RewardDialect::VllmClassify => entries("probs", list),
        RewardDialect::VllmPooling => entries("data", list),
        RewardDialect::VllmScore | RewardDialect::VllmGenerativeScoring => entries("score", alone),
        RewardDialect::SglangEmbeddings => entries("embedding", list),
        RewardDialect::SglangClassify => json!([{"embedding": [first]}, {"embedding": [second]}]),
        RewardDialect::SglangScore => json!({"scores": [[first], [second]]}),
        RewardDialect::Openrlhf => json!({"rewards": [first, second]}),
        RewardDialect::TeiPredict => json!([[{"label": "L", "score": first}], [{"label": "L", "score": second}]]),
        RewardDialect::TeiRerank => json!([{"index": 1, "score": second}, {"index": 0, "score": first}]),
        RewardDialect::NimChat => return None,
    })
}

#[test]
fn rewards_come_in_the_order_of_the_request() {
    for dialect in RewardDialect::ALL {
        let Some(body) = two(dialect, &json!(12.41), &json!(-3)) else { continue };
        assert_eq!(read(dialect, 2, &body), Ok(vec![Ok(12.41), Ok(-3.0)]), "{}", dialect.name());
    }
}

#[test]
fn a_wrong_count_fails_the_whole_call() {
    for dialect in RewardDialect::ALL {
        let Some(body) = two(dialect, &json!(1.5), &json!(2.5)) else { continue };
        for n in [1, 3] {
            assert_eq!(read(dialect, n, &body).unwrap_err().class, FailureClass::Shape, "{}", dialect.name());
        }
        assert_eq!(read(dialect, 2, &json!({"odd": 1})).unwrap_err().class, FailureClass::Shape, "{}", dialect.name());
    }
}

#[test]
fn what_is_no_number_is_missing_and_the_others_stay() {
    for dialect in RewardDialect::ALL {
        for odd in [json!(null), json!("7"), json!(true), json!({})] {
            let Some(body) = two(dialect, &odd, &json!(2.5)) else { continue };
            let rewards = read(dialect, 2, &body).unwrap();
            assert!(matches!(rewards[0], Err(NoReward::NotANumber { .. })), "{} {odd}", dialect.name());
            assert_eq!(rewards[1], Ok(2.5));
        }
    }
    for word in ["NaN", "Infinity", "-Infinity"] {
        let body = format!(r#"{{"rewards": [{word}, 2.5], "note": "NaN \" NaN"}}"#);
        let rewards = decode_rewards(RewardDialect::Openrlhf, &RewardOptions::default(), 2, &raw(200, body)).unwrap();
        assert!(matches!(rewards[0], Err(NoReward::NotANumber { .. })) && rewards[1] == Ok(2.5), "{word}");
    }
    let broken =
        decode_rewards(RewardDialect::Openrlhf, &RewardOptions::default(), 1, &raw(200, r#"{"rewards": [NaN"#));
    assert!(broken.is_err());
}

#[test]
fn indices_must_be_a_permutation() {
    let entry = |index: Value| json!({"index": index, "probs": [1.5]});
    for (a, b) in [(json!(0), json!(0)), (json!(0), json!(2)), (json!(null), json!(1)), (json!(-1), json!(0))] {
        let body = json!({"data": [entry(a), entry(b)]});
        assert_eq!(read(RewardDialect::VllmClassify, 2, &body).unwrap_err().class, FailureClass::Shape, "{body}");
    }
}

#[test]
fn hidden_states_and_several_labels_are_told_apart() {
    let of = |n: usize, options: &RewardOptions| {
        let body = json!({"data": [{"index": 0, "data": vec![0.5; n]}]});
        decode_rewards(RewardDialect::VllmPooling, options, 1, &reply(200, &body)).unwrap().remove(0)
    };
    let options = RewardOptions::default();
    assert_eq!(of(4096, &options), Err(NoReward::HiddenStates { n: 4096 }));
    assert_eq!(of(65, &options), Err(NoReward::HiddenStates { n: 65 }));
    assert_eq!(of(64, &options), Err(NoReward::ManyLabels { n: 64 }));
    assert_eq!(of(2, &RewardOptions { label: Some(1), ..options }), Ok(0.5));
}

#[test]
fn rewards_of_steps_are_reduced_only_when_that_is_asked_for() {
    let body = json!({"data": [{"index": 0, "data": [[0.1, 0.9], [0.7, 0.3], [0.4, 0.6]]}]});
    let of = |steps| {
        let options = RewardOptions { steps, ..RewardOptions::default() };
        decode_rewards(RewardDialect::VllmPooling, &options, 1, &reply(200, &body)).unwrap().remove(0)
    };
    assert_eq!(of(None), Err(NoReward::Steps { n: 3 }));
    assert_eq!(of(Some(StepReduction::Last)), Ok(0.6));
    assert_eq!(of(Some(StepReduction::Min)), Ok(0.3));
}

#[test]
fn nim_writes_rewards_as_log_probabilities_or_text() {
    let of =
        |choice: Value| read(RewardDialect::NimChat, 1, &json!({"choices": [choice]})).map(|mut all| all.remove(0));
    let tokens = json!([{"token": "helpfulness", "logprob": 1.5}, {"token": "reward", "logprob": -17.25}]);
    assert_eq!(of(json!({"logprobs": {"content": tokens}})), Ok(Ok(-17.25)));
    assert_eq!(of(json!({"message": {"content": "reward:-3.28"}})), Ok(Ok(-3.28)));
    assert!(of(json!({"message": [{"content": "reward:-3.28"}]})).unwrap().is_err());
    let nan = of(json!({"message": {"content": "reward:nan"}})).unwrap();
    assert!(matches!(nan, Err(NoReward::NotANumber { .. })));
    let other = of(json!({"logprobs": {"content": [{"token": "clarity", "logprob": 1.5}]}})).unwrap();
    assert_eq!(other, Err(NoReward::NoAttribute { attribute: "reward".into(), found: "clarity".into() }));
}

#[test]
fn failures_of_arbiters_are_classed_as_those_of_teachers() {
    let body = json!({"error": "`inputs` must have less than 512 tokens", "error_type": "Validation"});
    let failure = decode_rewards(RewardDialect::TeiPredict, &RewardOptions::default(), 1, &reply(413, &body));
    assert_eq!(failure.unwrap_err().class, FailureClass::Overlong);
}

#[test]
fn names_are_read_and_the_gateway_is_refused_with_the_reason() {
    for dialect in RewardDialect::ALL {
        let written = serde_json::to_string(&dialect).unwrap();
        assert_eq!(serde_json::from_str::<RewardDialect>(&written).unwrap(), dialect);
    }
    assert_eq!(RewardDialect::parse("sglang-gateway"), Err(RewardDialectError::SglangGateway));
    let error = serde_json::from_str::<RewardDialect>("\"sglang-gateway\"").unwrap_err();
    assert!(error.to_string().contains("softmax"), "{error}");
    assert!(RewardDialect::parse("magic").unwrap_err().to_string().contains("`tei-rerank`"));
}
