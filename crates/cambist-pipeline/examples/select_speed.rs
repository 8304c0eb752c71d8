//! How fast `select` keeps the best of many scored answers, and how much memory it takes:
//! `select_speed FOLDER N_PROMPTS N_CHARS make|off|default`.
//!
//! `make` writes prompts, five answers to each of about `N_CHARS` characters and their scores into a store below
//! `FOLDER`, as `prompts` and `generate` steps would. `off` and `default` run a `select` step with one strategy `all` on
//! them, with the gates off or as they are by default, and say what that took; each is a run of its own, so that peak
//! memory is that of the step. `select_speed.py` does the same argmax with polars on the same tables.

use std::{error::Error, fs, io::Write, path::Path, sync::atomic::AtomicBool, time::Instant};

use cambist_core::{
    completion::{Completion, FinishReason},
    language::Language,
    prompt::{Message, Prompt},
    score::Score,
};
use cambist_io::{
    formats::TableWriter,
    store::{ManifestDraft, Store},
    transport::StopSignal,
};
use cambist_pipeline::{
    plan::Plan,
    progress::Silent,
    recipe::Recipe,
    run::{Capabilities, Runtime, run},
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const TEACHERS: [&str; 5] = ["aya", "gemma", "llama", "mistral", "qwen"];

/// Words of five languages.
const WORDS: [(&str, &str); 5] = [
    ("en", "the government decided yesterday to lower taxes that small businesses have to pay while water flows under"),
    (
        "de",
        "die Bundesregierung hat gestern beschlossen Steuern für kleine Betriebe zu senken während das Wasser fließt",
    ),
    ("tr", "hükümet dün küçük işletmelerin ödediği vergileri düşürmeye karar verdiğini açıkladı ve köprünün altından"),
    ("uk", "уряд учора вирішив знизити податки які сплачують малі підприємства нашої країни а вода тече під старим"),
    (
        "fr",
        "le gouvernement a décidé hier de baisser les impôts que paient les petites entreprises du pays sous le pont",
    ),
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, n_prompts, n_chars, mode] = arguments.as_slice() else {
        return Err("expected FOLDER N_PROMPTS N_CHARS make|off|default".into());
    };
    let (folder, n_prompts, n_chars) = (Path::new(folder), n_prompts.parse()?, n_chars.parse()?);
    fs::create_dir_all(folder)?;
    fs::write(folder.join("prompts.jsonl"), "{}\n")?;
    let plan = plan(folder, mode)?;
    if mode == "make" { make(&plan, folder, (n_prompts, n_chars)) } else { select(&plan, folder, (n_prompts, mode)) }
}

fn plan(folder: &Path, mode: &str) -> Outcome<Plan> {
    let member = |id: &&str| {
        format!(
            "- {{id: {id}, license: Apache-2.0, price: {{input: 0.1, output: 0.3}}, endpoint: {{base_url: \"http://127.0.0.1:9\", model: {id}}}}}\n"
        )
    };
    let pool: String = TEACHERS.iter().map(member).collect();
    let gates = match mode {
        "off" => "gates: {language: null, repetition: null, echo: null, mixed: null, refusal: null}",
        _ => "gates: {}",
    };
    let recipe = format!(
        "name: select-speed\npool:\n{pool}arbiters:\n- {{id: judge, recorded: {{file: prompts.jsonl}}}}\nsteps:\n\
         - id: prompts\n  prompts: {{file: prompts.jsonl}}\n\
         - id: answers\n  generate: {{prompts: prompts, router: all, arbiter: judge}}\n\
         - id: data\n  select: {{from: answers, strategies: {{reward: {{router: all}}}}, {gates}}}\n"
    );
    Ok(Plan::new(Recipe::parse("speed.yaml", &recipe, &[])?, folder)?)
}

/// Numbers of SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn say(&mut self, words: &[&str], n_chars: usize) -> String {
        let mut text = String::new();
        while text.chars().count() < n_chars {
            text.push_str(words[self.roll() as usize % words.len()]);
            text.push_str(if self.roll().is_multiple_of(9) { ". " } else { " " });
        }
        text
    }
}

fn make(plan: &Plan, folder: &Path, (n_prompts, n_chars): (usize, usize)) -> Outcome<()> {
    let store = Store::open(&folder.join("store"))?;
    let (asked, answered) = (store.begin(plan.jobs[0].identity.clone())?, store.begin(plan.jobs[1].identity.clone())?);
    let mut prompts = TableWriter::<Prompt>::create(&asked.path("prompts.parquet")?)?;
    let mut completions = TableWriter::<Completion>::create(&answered.path("completions.parquet")?)?;
    let mut scores = TableWriter::<Score>::create(&answered.path("scores.parquet")?)?;
    let mut dice = Dice(7);
    for at in 0..n_prompts {
        let (tag, words) = WORDS[at % WORDS.len()];
        let words: Vec<&str> = words.split(' ').collect();
        let (id, language) = (format!("p{at:08}"), Language::parse(tag)?);
        for teacher in TEACHERS {
            let roll = dice.roll();
            completions.push(&Completion {
                prompt_id: id.clone(),
                source_id: id.clone(),
                language: language.clone(),
                teacher: teacher.to_owned(),
                sample: 0,
                text: dice.say(&words, n_chars),
                finish_reason: FinishReason::Stop,
                failure: None,
                tokens_in: Some(20),
                tokens_out: Some((n_chars / 4) as u32),
                cost_usd: 1e-5,
                origin: None,
            })?;
            scores.push(&Score {
                prompt_id: id.clone(),
                teacher: teacher.to_owned(),
                sample: 0,
                arbiter: "judge".to_owned(),
                value: Some((roll >> 11) as f64 / (1u64 << 53) as f64),
                missing: None,
            })?;
        }
        let question = format!("{at} {}?", dice.say(&words, 60).trim_end_matches(['.', ' ']));
        prompts.push(&Prompt {
            id: id.clone(),
            source_id: id,
            language,
            answer_language: None,
            messages: vec![Message::user(question)],
            task: None,
            reference: None,
            check: None,
            source: "speed".to_owned(),
            origin: None,
            mt_engine: None,
        })?;
    }
    prompts.finish()?;
    completions.finish()?;
    scores.finish()?;
    let draft = |kind: &str| ManifestDraft { kind: kind.to_owned(), ..ManifestDraft::default() };
    asked.commit(draft("prompts"))?;
    answered.commit(draft("completions"))?;
    for job in &plan.jobs[..2] {
        writeln!(std::io::stdout(), "{}", folder.join("store/artifacts").join(job.id.to_string()).display())?;
    }
    Ok(())
}

fn select(plan: &Plan, folder: &Path, (n_prompts, mode): (usize, &str)) -> Outcome<()> {
    let store = folder.join("store");
    let goal = store.join("artifacts").join(plan.jobs[2].id.to_string());
    if goal.exists() {
        fs::remove_dir_all(&goal)?;
    }
    let (began, cpu) = (Instant::now(), cpu_seconds()?);
    let stop = AtomicBool::new(false);
    let threads = std::thread::available_parallelism()?.get();
    let calls = StopSignal::new();
    let runtime = Runtime {
        threads,
        progress: &Silent,
        stop: &stop,
        calls,
        capabilities: Capabilities::default(),
        state_every: cambist_pipeline::run::STATE_EVERY,
    };
    run(plan, &[2], &store, &runtime)?;
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    let n_cells = n_prompts * TEACHERS.len();
    writeln!(
        std::io::stdout(),
        "gates {mode}: {n_cells} answers, wall {wall:.1} s, CPU {cpu:.1} s, {:.0} answers per CPU second, peak {}",
        n_cells as f64 / cpu,
        peak()?
    )?;
    Ok(())
}

/// User and system time of this process.
fn cpu_seconds() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    // Linux shows these in hundredths of a second, whatever its own clock does.
    Ok(ticks as f64 / 100.0)
}

/// The most memory that this process had at once.
fn peak() -> Outcome<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmHWM")?.trim().parse()?;
    Ok(format!("{:.0} MB", kib * 1024.0 / 1e6))
}
