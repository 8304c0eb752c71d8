//! Whether endpoints are asked in words that their dialects have.

use cambist_io::{
    dialect::{judge::JudgeMode, reward::RewardDialect, teacher::TeacherDialect, translation::TranslationDialect},
    endpoint::Endpoint,
};

use super::{
    Arbiter, Compare, JudgeManner, Manner, ManyAnswers, PoolMember,
    decode::unknown,
    fault::{Fault, Place},
};

/// Returns the faults of a teacher behind a server.
pub(super) fn teacher_faults(place: Place, member: &PoolMember, is_limited: bool) -> Vec<Fault> {
    let Some(endpoint) = &member.endpoint else {
        let what = format!("teacher `{}` has a `request` and no `endpoint`", member.id);
        let stray = Fault::new(place, what, "`request` says how a server is asked: remove it, or name the server");
        return if member.request.is_plain() { Vec::new() } else { vec![stray] };
    };
    let mut faults = address_faults(place, &member.id, endpoint);
    faults.extend(engine_faults(place, member));
    let names: Vec<&str> = TeacherDialect::ALL
        .map(TeacherDialect::name)
        .into_iter()
        .chain(TranslationDialect::ALL.map(TranslationDialect::name))
        .collect();
    match TeacherDialect::ALL.into_iter().find(|dialect| dialect.name() == endpoint.dialect) {
        None if member.translation_dialect().is_some() => {}
        None => faults.push(unknown(place, ("dialect", &endpoint.dialect), &names)),
        Some(dialect) if dialect.needs_rendered() && member.request.tokenizer.is_none() => {
            let what = format!("teacher `{}`: the dialect `{}` takes rendered prompts", member.id, dialect.name());
            let remedy = "set `request.tokenizer` to a folder with the model's `tokenizer.json` and chat template";
            faults.push(Fault::new(place, what, remedy));
        }
        Some(dialect) => faults.extend(manner_faults(place, member, dialect)),
    }
    if is_limited && !member.has_price() {
        let what = format!("the recipe has a `budget`, and teacher `{}` has no `price`", member.id);
        let remedy = "add `price: {input: ..., output: ...}` in USD per million tokens; 0 for a server of your own";
        faults.push(Fault::new(place, what, remedy));
    }
    faults
}

/// What is asked for and the dialect has no words for.
fn manner_faults(place: Place, member: &PoolMember, dialect: TeacherDialect) -> Vec<Fault> {
    let (id, name) = (&member.id, dialect.name());
    let mut faults = Vec::new();
    if member.request.n == ManyAnswers::Native && !dialect.takes_n() {
        let what = format!("teacher `{id}`: the dialect `{name}` gives one answer to a request");
        faults.push(Fault::new(place, what, "remove `request.n`: samples are then asked for one by one"));
    }
    if member.request.stream == Some(true) && !dialect.streams() {
        let what = format!("teacher `{id}`: replies of the dialect `{name}` are not read in events");
        faults.push(Fault::new(place, what, "remove `request.stream`, or use `openai-chat`"));
    }
    faults
}

/// What teachers and translation engines have that the others have not.
fn engine_faults(place: Place, member: &PoolMember) -> Vec<Fault> {
    let id = &member.id;
    let price = member.price();
    let is_engine = member.translation_dialect().is_some();
    let by_tokens = price.input > 0.0 || price.output > 0.0;
    let with_manner = !(Manner { batch: None, ..member.request.clone() }).is_plain();
    let told = [
        (is_engine && by_tokens, "is a translation engine and priced by tokens", "use `per_million_characters`"),
        (
            !is_engine && price.characters > 0.0,
            "is no translation engine and priced by characters",
            "use `input` and `output`",
        ),
        (
            is_engine && with_manner,
            "is a translation engine, which takes no `request` but `batch`",
            "remove the other keys",
        ),
        (!is_engine && member.request.batch.is_some(), "is no translation engine and has `request.batch`", "remove it"),
    ];
    let told = told.into_iter().filter(|(is_wrong, ..)| *is_wrong);
    told.map(|(_, what, remedy)| Fault::new(place, format!("teacher `{id}` {what}"), remedy)).collect()
}

/// Returns the faults of an arbiter behind a server.
pub(super) fn arbiter_faults(place: Place, arbiter: &Arbiter, is_limited: bool) -> Vec<Fault> {
    let Some(endpoint) = &arbiter.endpoint else { return Vec::new() };
    let mut faults = address_faults(place, &arbiter.id, endpoint);
    if let Some(judge) = &arbiter.judge {
        let names = TeacherDialect::ALL.map(TeacherDialect::name);
        if !names.contains(&endpoint.dialect.as_str()) {
            faults.push(unknown(place, ("dialect of a judge", &endpoint.dialect), &names));
        }
        faults.extend(judge_faults(place, (&arbiter.id, judge), &endpoint.dialect));
    } else {
        match RewardDialect::parse(&endpoint.dialect) {
            Err(error) => {
                faults.push(Fault::new(place, error.to_string(), "change `endpoint.dialect`, or add `judge`"))
            }
            Ok(dialect) if dialect.needs_rendered() && arbiter.reward.tokenizer.is_none() => {
                let what = format!("arbiter `{}`: the dialect `{}` takes rendered texts", arbiter.id, dialect.name());
                let remedy =
                    "set `reward.tokenizer` to a folder with the reward model's `tokenizer.json` and chat template";
                faults.push(Fault::new(place, what, remedy));
            }
            Ok(_) => {}
        }
    }
    if is_limited && arbiter.price.is_none() {
        let what = format!("the recipe has a `budget`, and arbiter `{}` has no `price`", arbiter.id);
        faults.push(Fault::new(place, what, "add `price: {input: ..., output: ...}`; 0 for a server of your own"));
    }
    faults
}

fn judge_faults(place: Place, (id, judge): (&str, &JudgeManner), dialect: &str) -> Vec<Fault> {
    let mode = judge.mode.name();
    let is_mute = [TeacherDialect::Anthropic, TeacherDialect::Cohere].iter().any(|mute| mute.name() == dialect);
    if judge.mode == JudgeMode::PairLogprob && is_mute {
        let what = format!("judge `{id}` is read from log-probabilities (`{mode}`), which `{dialect}` does not give");
        return vec![Fault::new(place, what, "use `pair-abt`, or a server that speaks `openai-chat`")];
    }
    let shown = match judge.mode {
        mode if mode.is_pair() => "is shown two answers at a time, in both orders",
        mode if mode.is_listwise() => "is shown all answers to a prompt at once",
        _ => "grades one answer at a time",
    };
    if judge.compare != Compare::All && !judge.mode.is_pair() {
        let what = format!("judge `{id}` {shown} (`{mode}`) and has `compare`");
        return vec![Fault::new(place, what, "remove `compare`, or use a mode that compares two, such as `pair-abt`")];
    }
    if judge.double && !judge.mode.is_listwise() {
        let what = format!("judge `{id}` {shown} (`{mode}`) and has `double`");
        return vec![Fault::new(
            place,
            what,
            "remove `double`: it shows the answers of a `checklist` in a second order",
        )];
    }
    Vec::new()
}

fn address_faults(place: Place, id: &str, endpoint: &Endpoint) -> Vec<Fault> {
    let is_address = endpoint.base_url.starts_with("http://") || endpoint.base_url.starts_with("https://");
    if is_address {
        return Vec::new();
    }
    let what = format!("`{id}`: `base_url` is `{}`, expected an address", endpoint.base_url);
    vec![Fault::new(place, what, "begin it with `http://` or `https://`")]
}
