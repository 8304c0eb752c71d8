//! Selection and alignment account for every prompt.

use std::collections::BTreeMap;

use cambist_core::{
    align::{Align, align},
    router::{All, Fallback, Random, Router, Single, replay},
    select::{keep_best, keep_chosen},
};
use proptest::prelude::*;

use crate::made::{language, matrices};

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
