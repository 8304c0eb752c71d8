//! Minimisation of smooth convex functions: L-BFGS (Nocedal 1980; Liu and Nocedal 1989).

use std::collections::VecDeque;

use rayon::prelude::*;

/// Steps that are remembered.
const MEMORY: usize = 8;
/// What a step must gain of what the slope promises (Armijo 1966).
const MIN_GAIN: f64 = 1e-4;
/// How often a step is halved before no better point is expected.
const MAX_HALVINGS: usize = 30;

/// One remembered step: how far, how the gradient changed, and one over their product.
struct Step {
    moved: Vec<f64>,
    bent: Vec<f64>,
    rho: f64,
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stop {
    /// The largest component of the gradient at which a point counts as the minimum.
    pub gradient: f64,
    /// Two steps that each lower the value by less than this share of it are the last ones; 0 for never.
    pub gain: f64,
    /// Steps, at most.
    pub max_steps: usize,
}

/// Steps of little gain, one after the other, that are the last ones: one alone may be an accident of the search.
const LAST_STEPS: usize = 2;

/// Returns where `value` is least, from `start` on; `value` writes its gradient into its second argument.
///
/// Steps are taken in `units`, one above 0 for each parameter: with units in which the function bends alike in all
/// directions few steps are enough. Deterministic. Ends at the best point so far when no step along the gradient gains
/// anything any more.
pub(super) fn minimize_in(
    units: &[f64],
    mut value: impl FnMut(&[f64], &mut [f64]) -> f64,
    start: Vec<f64>,
    stop: Stop,
) -> Vec<f64> {
    let scaled = |at: &[f64]| {
        let mut scaled = at.to_vec();
        each(&mut scaled, units, |x, unit| *x *= unit);
        scaled
    };
    let start = start.iter().zip(units).map(|(x, unit)| x / unit).collect();
    let in_units = |at: &[f64], slope: &mut [f64]| {
        let value = value(&scaled(at), slope);
        each(slope, units, |part, unit| *part *= unit);
        value
    };
    let is_done = |slope: &[f64]| slope.iter().zip(units).all(|(part, unit)| (part / unit).abs() <= stop.gradient);
    scaled(&minimize(in_units, start, (is_done, stop)))
}

fn minimize(
    mut value: impl FnMut(&[f64], &mut [f64]) -> f64,
    start: Vec<f64>,
    (is_done, stop): (impl Fn(&[f64]) -> bool, Stop),
) -> Vec<f64> {
    let mut at = start;
    let mut slope = vec![0.0; at.len()];
    let mut now = value(&at, &mut slope);
    let mut memory: VecDeque<Step> = VecDeque::new();
    let mut n_small = 0;
    for _ in 0..stop.max_steps {
        if is_done(&slope) || n_small == LAST_STEPS {
            break;
        }
        let mut direction = descent(&memory, &slope);
        if dot(&direction, &slope) >= 0.0 {
            memory.clear();
            direction = slope.iter().map(|part| -part).collect();
        }
        let first = if memory.is_empty() { 1.0 / dot(&slope, &slope).sqrt().max(1.0) } else { 1.0 };
        let promised = dot(&direction, &slope);
        let Some((next, next_value, next_slope)) =
            search(&mut value, (&at, &direction), first, |gain, length| gain >= -MIN_GAIN * length * promised, now)
        else {
            if memory.is_empty() {
                break;
            }
            memory.clear();
            continue;
        };
        n_small = if now - next_value < stop.gain * now.abs() { n_small + 1 } else { 0 };
        remember(&mut memory, difference(&next, &at), difference(&next_slope, &slope));
        (at, now, slope) = (next, next_value, next_slope);
    }
    at
}

type Point = (Vec<f64>, f64, Vec<f64>);

/// Halves the step until it gains enough.
fn search(
    value: &mut impl FnMut(&[f64], &mut [f64]) -> f64,
    (at, direction): (&[f64], &[f64]),
    first: f64,
    is_enough: impl Fn(f64, f64) -> bool,
    now: f64,
) -> Option<Point> {
    let mut length = first;
    let mut slope = vec![0.0; at.len()];
    for _ in 0..MAX_HALVINGS {
        let mut next = at.to_vec();
        add(&mut next, direction, length);
        let next_value = value(&next, &mut slope);
        if next_value < now && is_enough(now - next_value, length) {
            return Some((next, next_value, slope));
        }
        length /= 2.0;
    }
    None
}

/// The two loops of Nocedal: minus the inverse Hessian, as far as it is known, times the gradient.
fn descent(memory: &VecDeque<Step>, slope: &[f64]) -> Vec<f64> {
    let mut direction: Vec<f64> = slope.iter().map(|part| -part).collect();
    let mut alphas = Vec::with_capacity(memory.len());
    for step in memory.iter().rev() {
        let alpha = step.rho * dot(&step.moved, &direction);
        add(&mut direction, &step.bent, -alpha);
        alphas.push(alpha);
    }
    if let Some(last) = memory.back() {
        let scale = 1.0 / (last.rho * dot(&last.bent, &last.bent));
        direction.iter_mut().for_each(|part| *part *= scale);
    }
    for (step, alpha) in memory.iter().zip(alphas.into_iter().rev()) {
        let beta = step.rho * dot(&step.bent, &direction);
        add(&mut direction, &step.moved, alpha - beta);
    }
    direction
}

/// Keeps a step along which the function curves upwards.
fn remember(memory: &mut VecDeque<Step>, moved: Vec<f64>, bent: Vec<f64>) {
    let curvature = dot(&moved, &bent);
    if curvature > f64::EPSILON * dot(&bent, &bent) {
        memory.push_back(Step { moved, bent, rho: 1.0 / curvature });
    }
    if memory.len() > MEMORY {
        memory.pop_front();
    }
}

/// Long rows are worked on in parts of this many numbers, side by side; what is summed is summed by part.
const IN_A_PART: usize = 1 << 15;
/// Sums that are kept beside one another.
const LANES: usize = 8;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let of_part = |(a, b): (&[f64], &[f64])| {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        let mut sums = [0.0; LANES];
        for (x, y) in a.iter().zip(b) {
            for lane in 0..LANES {
                sums[lane] += x[lane] * y[lane];
            }
        }
        sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f64>()
    };
    if a.len() <= IN_A_PART {
        return of_part((a, b));
    }
    let parts: Vec<f64> = a.par_chunks(IN_A_PART).zip(b.par_chunks(IN_A_PART)).map(of_part).collect();
    parts.iter().sum()
}

fn add(to: &mut [f64], what: &[f64], factor: f64) {
    each(to, what, |x, y| *x += factor * y);
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut difference = a.to_vec();
    each(&mut difference, b, |x, y| *x -= y);
    difference
}

/// Changes each number by the one that stands in its place in another row.
fn each(to: &mut [f64], by: &[f64], change: impl Fn(&mut f64, f64) + Sync) {
    let of_part = |(to, by): (&mut [f64], &[f64])| to.iter_mut().zip(by).for_each(|(x, y)| change(x, *y));
    if to.len() <= IN_A_PART {
        return of_part((to, by));
    }
    to.par_chunks_mut(IN_A_PART).zip(by.par_chunks(IN_A_PART)).for_each(of_part);
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOP: Stop = Stop { gradient: 1e-9, gain: 0.0, max_steps: 500 };

    #[test]
    fn a_long_narrow_bowl_is_found_the_bottom_of() {
        let bottom = [3.0, -2.0, 0.5, 7.0];
        let steep = [1.0, 1e-2, 1e2, 1.0];
        let found = minimize_in(
            &[1.0, 2.0, 0.5, 1.0],
            |x, slope| {
                let each = x.iter().zip(bottom).zip(steep).zip(slope.iter_mut());
                each.map(|(((x, b), s), slope)| {
                    *slope = s * (x - b);
                    s * (x - b).powi(2) / 2.0
                })
                .sum()
            },
            vec![0.0; 4],
            STOP,
        );
        assert!(found.iter().zip(bottom).all(|(x, b)| (x - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn two_steps_of_little_gain_are_the_last_ones() {
        let n_values = |gain: f64| {
            let mut n = 0;
            let value = |x: &[f64], slope: &mut [f64]| {
                n += 1;
                slope.iter_mut().zip(x).zip([1.0, 1e-4]).for_each(|((slope, x), bend)| *slope = bend * (x - 9.0));
                1.0 + ((x[0] - 9.0).powi(2) + 1e-4 * (x[1] - 9.0).powi(2)) / 2.0
            };
            minimize_in(&[1.0; 2], value, vec![0.0; 2], Stop { gain, ..STOP });
            n
        };
        assert!(n_values(0.5) < n_values(0.0), "{} {}", n_values(0.5), n_values(0.0));
    }

    #[test]
    fn a_minimum_stays_where_it_is() {
        let found = minimize_in(
            &[1.0],
            |x, slope| {
                slope[0] = 2.0 * x[0];
                x[0] * x[0]
            },
            vec![0.0],
            STOP,
        );
        assert_eq!(found, [0.0]);
    }
}
