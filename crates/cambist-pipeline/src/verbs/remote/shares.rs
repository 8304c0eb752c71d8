//! What each of several answers in one reply has cost: shares that add up to what was paid.

use cambist_core::teacher::Price;
use cambist_io::{
    dialect::{
        answer::{TeacherAnswer, TokenUsage},
        teacher::TeacherDialect,
    },
    exchange::{Failure, FailureClass},
};

/// One answer with its share of the reply's tokens and cost.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::verbs) struct Share {
    /// The answer; its usage is its share.
    pub answer: TeacherAnswer,
    /// USD; none when nobody can tell.
    pub cost_usd: Option<f64>,
}

/// An answer as it came, or what was wrong with it.
type Came = Result<TeacherAnswer, Failure>;

/// Returns what a reply used in all. SGLang's own dialect counts each answer apart, the others all together; the
/// request is paid for once.
pub(super) fn whole_usage(dialect: TeacherDialect, answers: &[Came]) -> TokenUsage {
    let good: Vec<&TokenUsage> = answers.iter().flatten().map(|answer| &answer.usage).collect();
    let Some(first) = good.first().copied().copied() else { return TokenUsage::default() };
    if dialect != TeacherDialect::SglangGenerate {
        return first;
    }
    let sum = |of: fn(&TokenUsage) -> Option<u32>| good.iter().map(|usage| of(usage)).sum();
    TokenUsage { output: sum(|usage| usage.output), reasoning_out: sum(|usage| usage.reasoning_out), ..first }
}

/// What a reply came to as a whole.
pub(super) struct Whole {
    /// Tokens.
    pub usage: TokenUsage,
    /// USD; none when nobody can tell.
    pub cost_usd: Option<f64>,
    /// The teacher's list price.
    pub price: Price,
}

/// Gives each of the `n` answers that were asked for its place and its share: an equal one of the request, as much of
/// the answers as its length is of all lengths, and of the cost as its tokens are at the list price. An answer that is
/// of no use leaves its place empty, and its cost to the others.
///
/// # Errors
/// The first failure when no answer is of use.
pub(super) fn share(
    (dialect, n): (TeacherDialect, u32),
    answers: Vec<Came>,
    whole: &Whole,
) -> Result<Vec<Option<Share>>, Failure> {
    let n = n.max(1) as usize;
    let mut first_failure = None;
    let keep = |came: Came| came.map_err(|failure| first_failure.get_or_insert(failure).class).ok();
    let mut placed: Vec<Option<TeacherAnswer>> = answers.into_iter().take(n).map(keep).collect();
    let lengths: Vec<u64> = placed.iter().flatten().map(|answer| length(dialect, answer)).collect();
    if lengths.is_empty() {
        let none = || Failure::new(FailureClass::Shape, "the reply holds no answer");
        return Err(first_failure.unwrap_or_else(none));
    }
    placed.resize(n, None);
    let usages = split_usage(&whole.usage, &lengths);
    let mut shares = usages.iter().zip(split_cost(whole, &usages, &lengths));
    let shared = |answer: Option<TeacherAnswer>| {
        let answer = answer?;
        let (usage, cost_usd) = shares.next()?;
        Some(Share { answer: TeacherAnswer { usage: *usage, ..answer }, cost_usd })
    };
    Ok(placed.into_iter().map(shared).collect())
}

/// How long an answer is beside others of its reply: its tokens where they were counted apart, else its bytes.
fn length(dialect: TeacherDialect, answer: &TeacherAnswer) -> u64 {
    let counted = answer.usage.output.filter(|_| dialect == TeacherDialect::SglangGenerate);
    let bytes = || answer.text.len() + answer.reasoning.as_deref().map_or(0, str::len);
    counted.map_or_else(|| bytes() as u64, u64::from).max(1)
}

/// Splits a count by weights, none of them 0, into whole numbers that add up to it.
fn split(count: Option<u32>, weights: &[u64]) -> Vec<Option<u32>> {
    let Some(count) = count else { return vec![None; weights.len()] };
    let total: u64 = weights.iter().sum();
    let (mut before, mut given) = (0u64, 0u64);
    let part = |weight: &u64| {
        before += weight;
        // Rounding the sums and not the parts keeps their total.
        let until = (u128::from(count) * u128::from(before) / u128::from(total.max(1))) as u64;
        let part = until - given;
        given = until;
        u32::try_from(part).ok()
    };
    weights.iter().map(part).collect()
}

fn split_usage(usage: &TokenUsage, lengths: &[u64]) -> Vec<TokenUsage> {
    let equal = vec![1; lengths.len()];
    let [input, cached_in] = [usage.input, usage.cached_in].map(|count| split(count, &equal));
    let [output, reasoning_out] = [usage.output, usage.reasoning_out].map(|count| split(count, lengths));
    let one = |at: usize| TokenUsage {
        input: input[at],
        output: output[at],
        cached_in: cached_in[at],
        reasoning_out: reasoning_out[at],
        source: usage.source,
    };
    (0..lengths.len()).map(one).collect()
}

/// Splits the cost; what rounding leaves goes to the last.
fn split_cost(whole: &Whole, usages: &[TokenUsage], lengths: &[u64]) -> Vec<Option<f64>> {
    let Some(cost) = whole.cost_usd else { return vec![None; usages.len()] };
    let listed: Vec<f64> = usages.iter().map(|usage| whole.price.of(usage.input, usage.output)).collect();
    let is_listed = listed.iter().sum::<f64>() > 0.0;
    let weights = if is_listed { listed } else { lengths.iter().map(|length| *length as f64).collect() };
    let total: f64 = weights.iter().sum();
    let mut left = cost;
    let last = weights.len().saturating_sub(1);
    let part = |(at, weight): (usize, f64)| {
        let part = if at == last { left } else { cost * (weight / total) };
        left -= part;
        Some(part)
    };
    weights.into_iter().enumerate().map(part).collect()
}

#[cfg(test)]
mod tests {
    use cambist_core::completion::FinishReason;
    use proptest::prelude::*;

    use super::*;

    fn answer(text: &str) -> TeacherAnswer {
        TeacherAnswer {
            text: text.to_owned(),
            reasoning: None,
            finish: FinishReason::Stop,
            raw_finish: "stop".to_owned(),
            tool_calls: None,
            usage: TokenUsage::default(),
            logprobs: None,
            model_reported: None,
            request_id: None,
            marks: Vec::new(),
        }
    }

    fn whole(input: u32, output: u32, cost_usd: Option<f64>) -> Whole {
        let usage = TokenUsage { input: Some(input), output: Some(output), ..TokenUsage::default() };
        Whole { usage, cost_usd, price: Price { input: 2.0, output: 5.0, ..Price::default() } }
    }

    proptest! {
        #[test]
        fn shares_add_up_to_what_was_paid(
            texts in prop::collection::vec(prop::option::weighted(0.8, "[a-zé語]{0,40}"), 1..9),
            (input, output) in (0u32..9000, 0u32..9000),
            has_cost in any::<bool>(),
        ) {
            prop_assume!(texts.iter().any(Option::is_some));
            let came: Vec<Came> = texts
                .iter()
                .map(|text| text.as_deref().map(answer).ok_or(Failure::new(FailureClass::Empty, "nothing")))
                .collect();
            let paid = Price { input: 2.0, output: 5.0, ..Price::default() }.of(Some(input), Some(output));
            let whole = whole(input, output, has_cost.then_some(paid));
            let n = texts.len() as u32 + 1;
            let shares = share((TeacherDialect::OpenAiChat, n), came, &whole).unwrap();
            prop_assert_eq!(shares.len(), n as usize);
            for (place, text) in texts.iter().enumerate() {
                prop_assert_eq!(shares[place].as_ref().map(|share| &share.answer.text), text.as_ref());
            }
            let sum = |of: fn(&TokenUsage) -> Option<u32>| -> Option<u32> {
                shares.iter().flatten().map(|share| of(&share.answer.usage)).sum()
            };
            prop_assert_eq!((sum(|usage| usage.input), sum(|usage| usage.output)), (Some(input), Some(output)));
            let cost: Option<f64> = shares.iter().flatten().map(|share| share.cost_usd).sum();
            prop_assert_eq!(cost.is_some(), has_cost);
            prop_assert!((cost.unwrap_or(paid) - paid).abs() <= 1e-12 * paid.max(1.0));
            for share in shares.iter().flatten().filter(|_| has_cost) {
                let usage = share.answer.usage;
                let at_list = Price { input: 2.0, output: 5.0, ..Price::default() }.of(usage.input, usage.output);
                prop_assert!((share.cost_usd.unwrap() - at_list).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn answers_that_were_counted_apart_are_added() {
        let counted = |output| {
            let usage = TokenUsage { input: Some(7), output: Some(output), ..TokenUsage::default() };
            Ok(TeacherAnswer { usage, ..answer("x") })
        };
        let came: Vec<Came> = vec![counted(10), counted(30)];
        let usage = whole_usage(TeacherDialect::SglangGenerate, &came);
        assert_eq!((usage.input, usage.output), (Some(7), Some(40)));
        assert_eq!(whole_usage(TeacherDialect::OpenAiChat, &came).output, Some(10));
        let whole = Whole { usage, cost_usd: Some(1.0), price: Price::default() };
        let shares = share((TeacherDialect::SglangGenerate, 2), came, &whole).unwrap();
        let outputs: Vec<_> = shares.iter().flatten().map(|share| share.answer.usage.output).collect();
        assert_eq!(outputs, [Some(10), Some(30)]);
        assert_eq!(shares.iter().flatten().map(|share| share.cost_usd).collect::<Vec<_>>(), [Some(0.25), Some(0.75)]);
    }

    #[test]
    fn a_reply_without_any_good_answer_is_its_first_failure() {
        let came = vec![Err(Failure::new(FailureClass::Empty, "nothing")), Err(Failure::new(FailureClass::Shape, "x"))];
        let failure = share((TeacherDialect::OpenAiChat, 2), came, &whole(1, 1, None)).unwrap_err();
        assert_eq!(failure.class, FailureClass::Empty);
    }
}
