//! Selection and alignment account for every prompt.

use std::collections::BTreeMap;

use cambist_core::{
    align::{Align, align},
    candidate::{Matrix, MatrixError},
    completion::Completion,
    gates::Gates,
    router::{All, Fallback, Random, Router, Single, replay},
    score::Score,
    select::{keep_best, keep_chosen},
};
use proptest::prelude::*;

use crate::made::{answer, language, matrices, prompt};

proptest! {
    #[test]
    fn aligned_strategies_have_identical_ids_and_all_prompts_are_counted((matrix, pool) in matrices(), seed in 0..99u64) {
        let (single, random) = (Single { teacher: "a".into() }, Random { seed, fallback: Fallback::None });
        let strategies: [&dyn Router; 3] = [&All, &single, &random];
        let decided: BTreeMap<_, _> = strategies
            .iter()
            .map(|router| (router.strategy(), replay(*router, &matrix, &pool).unwrap().decisions))
            .collect();
        let aligned = align(&decided, Align::Intersection);
        let ids: Vec<_> = aligned.values().map(|strategy| &strategy.prompt_ids).collect();
        prop_assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
        for (name, strategy) in &aligned {
            prop_assert_eq!(strategy.tally.total(), matrix.rows().len());
            prop_assert_eq!(strategy.prompt_ids.len() + strategy.dropped.len(), matrix.rows().len());
            prop_assert!(strategy.dropped.iter().all(|d| (d.reason != "unaligned") == d.lacking.contains(name)));
        }
        let free = align(&decided, Align::None);
        prop_assert!(aligned.iter().all(|(name, s)| s.prompt_ids.iter().all(|id| free[name].prompt_ids.contains(id))));
    }

    #[test]
    fn keeping_the_best_is_what_asking_everyone_chooses((matrix, pool) in matrices()) {
        let chosen = keep_chosen(&replay(&All, &matrix, &pool).unwrap().decisions);
        let best = keep_best(&matrix, &pool);
        prop_assert_eq!(&chosen.kept, &best.kept);
        prop_assert_eq!(best.tally.total(), matrix.rows().len());
        prop_assert_eq!(best.kept.len() + best.left_out.len(), matrix.rows().len());
        let n_kept: usize = best.tally.counts().keys().map(|l| best.tally.count(l, "kept")).sum();
        prop_assert_eq!(n_kept, best.kept.len());
        prop_assert_eq!(best.tally.count(&language("fr"), "kept"), 0);
    }
}

#[test]
fn answers_meet_their_verdicts_and_scores() {
    let prompt = prompt("p", "tr");
    let said = |teacher, text: &str| Completion { text: text.into(), ..answer(&prompt, teacher, 0, None).completion };
    let scored = |teacher: &str, value| {
        let (prompt_id, arbiter) = ("p".into(), "judge".into());
        Score { prompt_id, teacher: teacher.into(), sample: 0, arbiter, value, missing: None }
    };
    let completions = vec![said("c", "üç"), said("b", " "), said("a", "bir")];
    let judged =
        |scores: &[Score]| Matrix::judged(vec![prompt.clone()], completions.clone(), scores, &Gates::default());
    let matrix = judged(&[scored("a", Some(0.5)), scored("b", Some(9.0)), scored("c", None)]).unwrap();
    let valid: Vec<_> =
        matrix.rows()[0].candidates.iter().map(|c| (c.cell().0, c.passed(), c.valid_reward())).collect();
    assert_eq!(valid, [("a", true, Some(0.5)), ("b", false, None), ("c", true, None)]);
    let twice = judged(&[scored("a", None), scored("a", Some(1.0))]);
    assert!(matches!(twice, Err(MatrixError::DuplicateScore { .. })));
    let strange = Matrix::judged(vec![], completions.clone(), &[], &Gates::default());
    assert!(matches!(strange, Err(MatrixError::UnknownPrompt { .. })));
}
