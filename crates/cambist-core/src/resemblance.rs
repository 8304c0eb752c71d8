//! How alike two texts are.

use std::collections::HashMap;

/// Returns the share of the characters that need no edit: 1 - Levenshtein distance / length of the longer text.
///
/// Counted over Unicode scalar values; two empty texts are alike (1). Returns none when the similarity is `floor` or
/// less; most such pairs are told apart by their lengths and letter counts, without the quadratic alignment.
pub fn edit_similarity_above(a: &str, b: &str, floor: f64) -> Option<f64> {
    let (len_a, len_b) = (a.chars().count(), b.chars().count());
    let longer = len_a.max(len_b);
    if longer == 0 {
        return (1.0 > floor).then_some(1.0);
    }
    let similarity = |distance: usize| 1.0 - distance as f64 / longer as f64;
    // Any edit changes the length by at most 1 and the letter counts by at most 1 on either side.
    if similarity(len_a.abs_diff(len_b)) <= floor || similarity(letter_distance(a, b)) <= floor {
        return None;
    }
    Some(similarity(strsim::levenshtein(a, b))).filter(|&s| s > floor)
}

/// Returns the larger of the numbers of letters that one text has in excess of the other.
fn letter_distance(a: &str, b: &str) -> usize {
    let mut counts: HashMap<char, i64> = HashMap::new();
    a.chars().for_each(|c| *counts.entry(c).or_default() += 1);
    b.chars().for_each(|c| *counts.entry(c).or_default() -= 1);
    let excess = |sign: i64| counts.values().map(|&n| (sign * n).max(0)).sum::<i64>();
    excess(1).max(excess(-1)).unsigned_abs() as usize
}

/// The set of character n-grams of a text, white space folded; a shorter text is its own only member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shingles {
    /// Ascending; up to six code points of 21 bits each make one number.
    grams: Vec<u128>,
}

/// The longest n-gram that [`Shingles`] are made of.
pub const LONGEST_SHINGLE: usize = 6;

impl Shingles {
    /// Returns the 5-grams of `text`.
    pub fn of(text: &str) -> Self {
        Self::sized(text, 5)
    }

    /// Returns the n-grams of `text` of `length` characters, 1 to [`LONGEST_SHINGLE`]; a length outside counts as the
    /// nearest inside.
    pub fn sized(text: &str, length: usize) -> Self {
        let length = length.clamp(1, LONGEST_SHINGLE);
        let folded = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut letters: Vec<u32> = folded.chars().map(u32::from).collect();
        if !letters.is_empty() && letters.len() < length {
            letters.resize(length, 0);
        }
        let pack = |window: &[u32]| window.iter().fold(0, |packed, letter| packed << 21 | u128::from(*letter));
        let mut grams: Vec<u128> = letters.windows(length).map(pack).collect();
        grams.sort_unstable();
        grams.dedup();
        Self { grams }
    }

    /// The n-grams as numbers, ascending.
    pub(crate) fn grams(&self) -> &[u128] {
        &self.grams
    }

    /// Returns the Jaccard similarity, 0 to 1: shared members over all members. Two empty texts are alike (1).
    pub fn jaccard(&self, other: &Self) -> f64 {
        let (mut ours, mut theirs, mut n_shared) = (0, 0, 0);
        while let (Some(a), Some(b)) = (self.grams.get(ours), other.grams.get(theirs)) {
            n_shared += usize::from(a == b);
            ours += usize::from(a <= b);
            theirs += usize::from(b <= a);
        }
        let n_all = self.grams.len() + other.grams.len() - n_shared;
        if n_all == 0 { 1.0 } else { n_shared as f64 / n_all as f64 }
    }

    /// Whether the similarity is above `threshold`; sets of very different sizes are not compared member by member.
    pub fn is_near(&self, other: &Self, threshold: f64) -> bool {
        let (small, large) = (self.grams.len().min(other.grams.len()), self.grams.len().max(other.grams.len()));
        (large == 0 || small as f64 / large as f64 > threshold) && self.jaccard(other) > threshold
    }
}

/// Groups texts that are alike: members of a group are joined by a chain of pairs whose Jaccard similarity is above
/// `threshold`. Returns the group of each text, in the order of the input; a group is named by its first member.
pub fn near_duplicates(texts: &[&str], threshold: f64) -> Vec<usize> {
    let shingles: Vec<Shingles> = texts.iter().map(|text| Shingles::of(text)).collect();
    let mut groups: Vec<usize> = (0..texts.len()).collect();
    for later in 0..texts.len() {
        for earlier in 0..later {
            if groups[earlier] != groups[later] && shingles[earlier].is_near(&shingles[later], threshold) {
                let (kept, joined) = (groups[earlier].min(groups[later]), groups[earlier].max(groups[later]));
                groups.iter_mut().filter(|group| **group == joined).for_each(|group| *group = kept);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn similarity_is_one_minus_the_share_of_edits() {
        let similarity = edit_similarity_above("kitten", "sitting", 0.5);
        assert!((similarity.unwrap() - (1.0 - 3.0 / 7.0)).abs() < 1e-12);
        assert_eq!(edit_similarity_above("kitten", "sitting", 0.6), None);
        assert_eq!(edit_similarity_above("", "", 0.9), Some(1.0));
    }

    #[test]
    fn jaccard_by_hand() {
        // abcde bcdef | bcdef cdefg: one shared of three.
        assert!((Shingles::of("abcdef").jaccard(&Shingles::of("bcdefg")) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(Shingles::of("12").jaccard(&Shingles::of("13")), 0.0);
        assert_eq!(Shingles::of("日 本").jaccard(&Shingles::of("日  本\n")), 1.0);
    }

    #[test]
    fn groups_are_chains_named_by_their_first_member() {
        let long =
            "The quick brown fox jumps over the lazy dog while the sun sets behind the old stone bridge, slowly.";
        let (one, two) = (format!("{long}!"), format!("{long}!?"));
        assert_eq!(near_duplicates(&[long, "other", &one, &two], 0.9), [0, 1, 0, 0]);
    }

    proptest! {
        #[test]
        fn packed_sets_are_sets_of_strings(a in "[abc]{5,30}", b in "[abc]{5,30}", threshold in 0.0..1.0f64) {
            let grams = |text: &str| (0..text.len() - 4).map(|at| text[at..at + 5].to_owned()).collect::<BTreeSet<_>>();
            let (of_a, of_b) = (grams(&a), grams(&b));
            let direct = of_a.intersection(&of_b).count() as f64 / of_a.union(&of_b).count() as f64;
            let (a, b) = (Shingles::of(&a), Shingles::of(&b));
            prop_assert!((a.jaccard(&b) - direct).abs() < 1e-12);
            prop_assert_eq!(a.is_near(&b, threshold), a.jaccard(&b) > threshold);
        }

        #[test]
        fn shortcuts_never_change_the_answer(a in "[abc]{0,12}", b in "[abc]{0,12}", floor in 0.0..0.99f64) {
            let longer = a.len().max(b.len());
            let direct = if longer == 0 { 1.0 } else { 1.0 - strsim::levenshtein(&a, &b) as f64 / longer as f64 };
            prop_assert_eq!(edit_similarity_above(&a, &b, floor), Some(direct).filter(|&s| s > floor));
        }
    }
}
