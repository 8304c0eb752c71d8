//! Partial feedback against a known truth: what was asked for by taste misleads, and weights put it right.

use cambist_core::{
    candidate::{Candidate, Matrix},
    chance::Chance,
    features::{FeatureReader, FeatureSource, FeatureVector},
    feedback::{FeedbackError, PartialOptions, Propensities, Unasked, lessons_of_feedback},
    head::{HeadKind, Lessons, TuneOptions, fit_table, tune},
    pool::Pool,
    prompt::Prompt,
    reward::Scales,
    router::{Budgeted, BudgetedOptions, Random, Route, Router, route},
    search::Goal,
};

use crate::made::{answer, language, pool, prompt};

const IDS: [&str; 3] = ["a", "b", "c"];

/// Tells the kind of a prompt, which is its task, and nothing else.
struct Kinds;

impl FeatureSource for Kinds {
    fn name(&self) -> String {
        "kinds".into()
    }

    fn width(&self) -> usize {
        2
    }

    fn reader(&self) -> Box<dyn FeatureReader> {
        Box::new(KindOf(FeatureVector::default()))
    }
}

struct KindOf(FeatureVector);

impl FeatureReader for KindOf {
    fn read(&mut self, prompt: &Prompt) -> &FeatureVector {
        let kind = u32::from(prompt.task.as_deref() == Some("order"));
        self.0 = FeatureVector { indices: vec![kind], values: vec![1.0] };
        &self.0
    }
}

/// Who was asked, and with what probability, beside what everybody would have answered.
struct Simulated {
    everybody: Matrix,
    asked: Matrix,
    propensities: Propensities,
    pool: Pool,
}

/// `a` is better than `b` by 0.1 on every prompt; on orders `c` is the best of all by 0.3 over `a`, else the worst.
fn rewards(chance: &mut Chance, is_easy: bool, is_order: bool) -> [f64; 3] {
    let ease = if is_easy { 0.6 } else { 0.0 };
    let own = [0.4, 0.3, if is_order { 0.7 } else { 0.1 }];
    own.map(|own| own + ease + 0.1 * chance.normal())
}

/// Easy prompts are mostly asked of `b` and hard ones of `a`: whoever believes the answers that are there prefers `b`.
fn simulated(n: usize, seed: u64) -> Simulated {
    let (mut prompts, mut everybody, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    let mut propensities = Propensities::default();
    for at in 0..n {
        let mut chance = Chance::new(seed, &["prompt", &at.to_string()]);
        let (is_easy, is_order) = (chance.below(2) == 0, chance.below(2) == 0);
        let mut prompt = prompt(&format!("p{at}"), ["tr", "uk"][at % 2]);
        prompt.task = Some(if is_order { "order" } else { "question" }.into());
        let shares = if is_easy { [0.1, 0.7, 0.2] } else { [0.7, 0.1, 0.2] };
        let mut lot = chance.unit();
        let drawn = shares.iter().position(|share| {
            lot -= share;
            lot < 0.0
        });
        for (place, reward) in rewards(&mut chance, is_easy, is_order).into_iter().enumerate() {
            let candidate = answer(&prompt, IDS[place], 0, Some(reward));
            if drawn.unwrap_or(2) == place {
                propensities.insert(&prompt.id, IDS[place], shares[place]).unwrap();
                asked.push(candidate.clone());
            }
            everybody.push(candidate);
        }
        prompts.push(prompt);
    }
    let matrix = |candidates| Matrix::new(prompts.clone(), candidates).unwrap();
    Simulated { everybody: matrix(everybody), asked: matrix(asked), propensities, pool: pool(&IDS) }
}

/// By how much a table prefers `a` to `b` in Turkish, in the units of the raw rewards.
fn preference(lessons: &Lessons, matrix: &Matrix) -> f64 {
    let tag = language("tr");
    let scores = fit_table(lessons).scores(&FeatureVector::default(), &tag);
    (scores[0] - scores[1]) * Scales::fit(matrix).languages()[&tag].width
}

/// The lessons that whoever believes the answers that are there learns from.
fn naive(made: &Simulated) -> Lessons {
    let mut lessons = Lessons::of(&made.everybody, &made.pool, &Kinds).unwrap();
    for (lesson, row) in lessons.lessons.iter_mut().zip(made.asked.rows()) {
        let asked = |id: &&str| row.candidate(id, 0).is_some();
        lesson.rewards.iter_mut().zip(&IDS).filter(|(_, id)| !asked(id)).for_each(|(reward, _)| *reward = None);
    }
    lessons
}

fn weighted(made: &Simulated) -> Lessons {
    let feedback = (&made.propensities, PartialOptions::default());
    lessons_of_feedback((&made.asked, &made.pool), &Kinds, feedback).unwrap().0
}

#[test]
fn weights_take_out_the_bias_that_a_router_put_in() {
    const N_SEEDS: u64 = 24;
    let (mut by_naive, mut by_weights) = (Vec::new(), Vec::new());
    for seed in 0..N_SEEDS {
        let made = simulated(600, seed);
        by_naive.push(preference(&naive(&made), &made.everybody));
        by_weights.push(preference(&weighted(&made), &made.asked));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let error = |values: &[f64]| {
        let center = mean(values);
        let squares: f64 = values.iter().map(|value| (value - center).powi(2)).sum();
        (squares / (values.len() * (values.len() - 1)) as f64).sqrt()
    };
    // The truth is 0.1. Belief in what was asked for is off by more than 0.3, whatever the seed.
    assert!(by_naive.iter().all(|found| *found < -0.2), "{by_naive:?}");
    let (found, error) = (mean(&by_weights), error(&by_weights));
    assert!((found - 0.1).abs() < 3.5 * error && error < 0.03, "{found} give or take {error}");
}

#[test]
fn what_prompts_tell_is_learned_from_what_was_asked_for() {
    let made = simulated(1_500, 3);
    let options = TuneOptions { heads: vec![HeadKind::Ridge], ..TuneOptions::default() };
    let tuned = tune(&weighted(&made), &options);
    assert_eq!(tuned.chosen.head, HeadKind::Ridge);
    for (task, best) in [("question", 0), ("order", 2)] {
        let mut prompt = prompt("new", "uk");
        prompt.task = Some(task.into());
        let scores = tuned.head.scores(&Kinds.features(&prompt), &prompt.language);
        assert!((0..3).all(|at| at == best || scores[at] < scores[best]), "{task}: {scores:?}");
    }
}

#[test]
fn answers_that_a_search_asked_for_are_weighed_by_its_audits() {
    let calibration = simulated(300, 11);
    let made = simulated(2_000, 12);
    let options = BudgetedOptions { audit_share: 0.15, ..BudgetedOptions::default() };
    let goal = Goal::Target(0.7);
    let router = Budgeted::fit(&calibration.everybody, &calibration.pool, (goal, options), 5).unwrap();
    let (mut kept, mut propensities, mut shown) = (Vec::new(), Propensities::default(), [(0.0, 0.0); 3]);
    for row in made.everybody.rows() {
        let query = made.pool.query(&row.prompt);
        let Route::Decided(decision) = route(&router, &query, row) else { panic!("everything was recorded") };
        let observed: Vec<&Candidate> = decision.asked.iter().map(|id| row.candidate(id, 0).unwrap()).collect();
        for (candidate, propensity) in observed.iter().zip(router.propensities(&query, &observed).unwrap()) {
            let id = &candidate.completion.teacher;
            assert!(propensity == 1.0 || propensity == 0.15);
            propensities.insert(&row.prompt.id, id, propensity).unwrap();
            let own = &mut shown[IDS.iter().position(|other| other == id).unwrap()];
            *own = (own.0 + 1.0, own.1 + candidate.reward.unwrap());
        }
        kept.extend(observed.into_iter().cloned());
    }
    let prompts = made.everybody.rows().iter().map(|row| row.prompt.clone()).collect();
    let asked = Matrix::new(prompts, kept).unwrap();
    assert!(Unasked::of(&asked, &made.pool).n_unasked > 1_000);
    let feedback = (&propensities, PartialOptions::default());
    let (lessons, told) = lessons_of_feedback((&asked, &made.pool), &Kinds, feedback).unwrap();
    let (truth, scales) = (Lessons::of(&made.everybody, &made.pool, &Kinds).unwrap(), |m: &Matrix| Scales::fit(m));
    // Means over all prompts, in raw rewards.
    let mean = |lessons: &Lessons, matrix: &Matrix, at: usize| {
        let scales = scales(matrix);
        let raw = |lesson: &cambist_core::head::Lesson| {
            let scale = &scales.languages()[&lessons.languages[lesson.language]];
            lesson.rewards[at].unwrap() * scale.width + scale.median
        };
        lessons.lessons.iter().map(raw).sum::<f64>() / lessons.lessons.len() as f64
    };
    let mut worst: f64 = 0.0;
    for at in 0..3 {
        let (found, expected) = (mean(&lessons, &asked, at), mean(&truth, &made.everybody, at));
        assert!((found - expected).abs() < 0.06, "{}: {found}, expected {expected}", IDS[at]);
        assert!((told.teachers[IDS[at]].weight - 1.0).abs() < 0.2, "{told:?}");
        worst = worst.max((shown[at].1 / shown[at].0 - expected).abs());
    }
    assert!(worst > 0.1, "the search shows no taste: {worst}");
}

#[test]
fn a_lot_for_everybody_is_one_over_their_number() {
    let made = simulated(40, 1);
    let router = Random { seed: 1, fallback: Default::default() };
    let row = &made.everybody.rows()[0];
    let query = made.pool.query(&row.prompt);
    let found = router.propensities(&query, &[&row.candidates[1]]).unwrap();
    assert!((found[0] - 1.0 / 3.0).abs() < 1e-12);
}

fn refused(made: &Simulated, propensities: &Propensities) -> FeedbackError {
    let options = PartialOptions::default();
    lessons_of_feedback((&made.asked, &made.pool), &Kinds, (propensities, options)).unwrap_err()
}

#[test]
fn feedback_that_teaches_nothing_is_refused() {
    let made = simulated(400, 2);
    let unasked = Unasked::of(&made.asked, &made.pool);
    assert_eq!((unasked.n_cells, unasked.n_unasked), (1_200, 800));
    let refusal = unasked.refuse().unwrap_err().to_string();
    assert!(refusal.starts_with("800 of 1200 answers were never asked for"), "{refusal}");
    assert_eq!(Unasked::of(&made.everybody, &made.pool).refuse(), Ok(()));
    let mut some = Propensities::default();
    assert!(matches!(refused(&made, &some), FeedbackError::NoPropensity { n_unknown: 400, .. }));
    for bad in [0.0, -0.5, 1.5, f64::NAN] {
        assert!(matches!(some.insert("p", "a", bad), Err(FeedbackError::NoProbability { .. })));
    }
    // As if everybody had been sure to be asked.
    for row in made.asked.rows() {
        some.insert(&row.prompt.id, &row.candidates[0].completion.teacher, 1.0).unwrap();
    }
    match refused(&made, &some) {
        FeedbackError::WrongPropensities { weight, .. } => assert!(weight < 0.5, "{weight}"),
        other => panic!("{other}"),
    }
    let few = simulated(45, 2);
    assert!(matches!(refused(&few, &few.propensities), FeedbackError::TooFewPrompts { found: 45, needed: 50 }));
    // All but three answers of `c` are gone, with the prompts that nobody was then asked about.
    let whole = simulated(80, 2);
    let mut n_seen = 0;
    let answers = whole.asked.rows().iter().flat_map(|row| row.candidates.clone()).filter(|candidate| {
        n_seen += usize::from(candidate.completion.teacher == "c");
        candidate.completion.teacher != "c" || n_seen <= 3
    });
    let answers: Vec<Candidate> = answers.collect();
    let prompts = whole.asked.rows().iter().map(|row| row.prompt.clone()).collect();
    let rare = Simulated { asked: Matrix::new(prompts, answers).unwrap(), ..whole };
    match refused(&rare, &rare.propensities) {
        FeedbackError::TooFewAnswers { teacher, n_asked, needed, .. } => {
            assert_eq!((teacher.as_str(), n_asked, needed), ("c", 3, 10));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn weights_are_cut_where_that_is_asked_for_and_told() {
    let made = simulated(1_000, 4);
    let with = |max_weight| {
        let options = PartialOptions { max_weight, seed: 0 };
        lessons_of_feedback((&made.asked, &made.pool), &Kinds, (&made.propensities, options)).unwrap()
    };
    let (whole, told) = with(50.0);
    assert_eq!((told.n_clipped, told.n_asked, told.n_cells), (0, 1_000, 3_000));
    let (cut, told) = with(2.0);
    assert!(told.n_clipped > 100 && told.teachers["a"].effective > 0.0, "{told:?}");
    // Cut weights vary less, and believe more of what was asked for.
    let found = [&whole, &cut].map(|lessons| preference(lessons, &made.asked));
    assert!(found[1] < found[0] - 0.05, "{found:?}");
    assert!((with(0.5).1.max_weight - 0.5).abs() < 1e-12);
}

#[test]
fn a_teacher_that_is_left_out_of_a_language_is_not_missing_there() {
    let made = simulated(200, 6);
    let prompts = made.everybody.rows().iter().map(|row| row.prompt.clone()).collect();
    let answers = made.everybody.rows().iter().flat_map(|row| row.candidates.clone());
    let is_left_out = |c: &Candidate| c.completion.teacher == "c" && c.completion.language == language("uk");
    let matrix = Matrix::new(prompts, answers.filter(|c| !is_left_out(c)).collect()).unwrap();
    assert_eq!(Unasked::of(&matrix, &made.pool).refuse(), Ok(()));
    let lessons = Lessons::of(&matrix, &made.pool, &Kinds).unwrap();
    let uk = lessons.languages.iter().position(|own| *own == language("uk")).unwrap();
    assert!(lessons.lessons.iter().all(|lesson| lesson.rewards[2].is_none() == (lesson.language == uk)));
}
